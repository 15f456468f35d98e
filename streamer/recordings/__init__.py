"""Whole takes as files: reading them back, and the formats of other programs."""
