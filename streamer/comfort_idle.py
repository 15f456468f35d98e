"""Small motions of a body that is alive, and what it looks like to listen or think.

Functions of time alone: the same moment gives the same motion.
"""

from math import pi, radians, sin
from typing import Final

import numpy as np

from streamer.humanoid import BONE_INDEX
from streamer.rotation import Vector, about, multiply_all
from streamer.types import Float32

_X: Final[Vector] = (1.0, 0.0, 0.0)
_Y: Final[Vector] = (0.0, 1.0, 0.0)
_Z: Final[Vector] = (0.0, 0.0, 1.0)

_BREATH_HZ: Final = 0.23
_SWAY_HZ: Final = (0.11, 0.07)
_SWAY_M: Final = 0.008
_NOD_EVERY_S: Final = 4.1
_NOD_S: Final = 0.7


def add_breathing(rotations: Float32, seconds: float, amount: float) -> Float32:
    """Return a pose that breathes: the chest rises, the head stays level."""
    breath = amount * sin(2 * pi * _BREATH_HZ * seconds)
    turns = {
        "chest": (_X, -0.9 * breath),
        "upperChest": (_X, -0.9 * breath),
        "neck": (_X, 1.8 * breath),
        "leftShoulder": (_Z, 0.9 * breath),
        "rightShoulder": (_Z, -0.9 * breath),
    }
    return _turned(rotations, turns)


def add_sway(
    rotations: Float32, root: Float32, seconds: float, amount: float
) -> tuple[Float32, Float32]:
    """Return a pose whose weight goes from foot to foot."""
    side = amount * sin(2 * pi * _SWAY_HZ[0] * seconds)
    front = amount * sin(2 * pi * _SWAY_HZ[1] * seconds + 1.0)
    turns = {"spine": (_Z, -1.2 * side), "chest": (_Z, 0.7 * side), "upperChest": (_Y, 1.0 * front)}
    shift = np.array([_SWAY_M * side, 0.0, _SWAY_M / 2 * front], np.float32)
    return _turned(rotations, turns), root + shift


def add_mood(rotations: Float32, seconds: float, listening: float, thinking: float) -> Float32:
    """Return a pose that listens (leans in, nods now and then) or thinks (looks up, aside)."""
    within = seconds % _NOD_EVERY_S
    nod = sin(pi * within / _NOD_S) ** 2 if within < _NOD_S else 0.0
    drift = sin(2 * pi * 0.13 * seconds)
    turns = {
        "spine": (_X, 3.0 * listening),
        "neck": (_X, (-2.0 + 4.0 * nod) * listening - 4.0 * thinking),
        "head": (_X, 5.0 * nod * listening - 4.0 * thinking),
    }
    aside = {"neck": (_Y, 6.0 * thinking), "head": (_Z, (3.0 + drift) * listening + 7.0 * thinking)}
    return _turned(_turned(rotations, turns), aside)


def _turned(rotations: Float32, turns: dict[str, tuple[Vector, float]]) -> Float32:
    """Return rotations with further turns, in degrees, in each bone's parent's frame."""
    out = rotations.copy()
    for bone, (axis, degrees) in turns.items():
        i = BONE_INDEX[bone]
        out[i] = multiply_all(np.array(about(axis, radians(degrees)), np.float32), out[i])
    return out
