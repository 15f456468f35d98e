"""Writes the project's own default avatar; not part of the wheel.

`python -m tools.mannequin` models a stylised person with implicit surfaces,
rigs and skins it, and writes `streamer/data/avatars/mannequin.vrm` (VRM 1.0).
The same script gives the same bytes.
"""
