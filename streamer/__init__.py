"""Gesture Streamer: a live voice in, a live body out."""

__version__ = "0.1.0"
