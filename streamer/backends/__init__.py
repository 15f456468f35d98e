"""Inference back ends: one contract, several engines."""
