"""Corpora, losses, loop, metrics. Runs from a checkout."""
