"""Named gestures that can be asked for at any moment: a wave, a nod, a shrug.

Each is a few poses at times, in the frames of the normalised humanoid, and says
which bones it moves; the rest of the body goes on with what it does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import radians
from types import MappingProxyType
from typing import Final

import numpy as np

from streamer.errors import UsageError
from streamer.humanoid import BONE_INDEX
from streamer.rotation import IDENTITY, Quaternion, about, multiply, multiply_all, slerp_all
from streamer.types import Float32

_EASE_S: Final = 0.25

Turns = Mapping[str, tuple[float, float, float]]
"""Degrees about X, then Y, then Z of the parent's frame, by bone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gesture:
    """Poses at times. added: they come on top of the motion and do not replace it."""

    keys: tuple[tuple[float, Turns], ...]
    added: bool = False

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.keys[-1][0]


_WAVE_UP: Final = {
    "rightUpperArm": (0.0, 20.0, 20.0),
    "rightLowerArm": (-80.0, 0.0, -85.0),
    "rightHand": (0.0, 0.0, 0.0),
}


def _swung(pose: Turns, degrees: float) -> Turns:
    x, y, z = pose["rightLowerArm"]
    return {**pose, "rightLowerArm": (x, y, z + degrees)}


def _mirrored(pose: Turns) -> Turns:
    return {bone.replace("right", "left"): (x, -y, -z) for bone, (x, y, z) in pose.items()}


_WAVE: Final = (
    (0.0, _WAVE_UP),
    (0.35, _swung(_WAVE_UP, 22)),
    (0.65, _swung(_WAVE_UP, -22)),
    (0.95, _swung(_WAVE_UP, 22)),
    (1.25, _swung(_WAVE_UP, -22)),
    (1.6, _WAVE_UP),
)
_SHRUG: Final = {
    "rightShoulder": (0.0, 0.0, -14.0),
    "rightUpperArm": (0.0, 10.0, 62.0),
    "rightLowerArm": (-50.0, 75.0, 0.0),
    "rightHand": (-40.0, 0.0, 15.0),
}
_POINT: Final = {
    "rightUpperArm": (0.0, 70.0, 15.0),
    "rightLowerArm": (0.0, 10.0, 0.0),
    "rightHand": (0.0, 0.0, 0.0),
    "rightIndexProximal": (0.0, 0.0, 0.0),
    "rightIndexIntermediate": (0.0, 0.0, 0.0),
    **{
        f"right{finger}{joint}": (0.0, 0.0, 70.0)
        for finger in ("Middle", "Ring", "Little")
        for joint in ("Proximal", "Intermediate")
    },
}

GESTURES: Mapping[str, Gesture] = MappingProxyType(
    {
        "nod": Gesture(
            keys=tuple(
                (0.22 * i, {"head": (d, 0.0, 0.0)}) for i, d in enumerate((0, 14, -4, 12, 0))
            ),
            added=True,
        ),
        "shake": Gesture(
            keys=tuple(
                (0.2 * i, {"head": (0.0, d, 0.0)}) for i, d in enumerate((0, 18, -18, 14, -10, 0))
            ),
            added=True,
        ),
        "wave": Gesture(keys=_WAVE),
        "wave_left": Gesture(keys=tuple((t, _mirrored(pose)) for t, pose in _WAVE)),
        "point": Gesture(keys=((0.0, _POINT), (1.2, _POINT))),
        "point_left": Gesture(keys=((0.0, _mirrored(_POINT)), (1.2, _mirrored(_POINT)))),
        "shrug": Gesture(
            keys=((0.0, {**_SHRUG, **_mirrored(_SHRUG)}), (0.9, {**_SHRUG, **_mirrored(_SHRUG)}))
        ),
    }
)
"""The gestures there are, by the names that `trigger` takes."""


class Performance:
    """One gesture as it is performed, from its first frame to its last."""

    def __init__(self, name: str) -> None:
        gesture = GESTURES.get(name)
        if gesture is None:
            raise UsageError(f"no gesture {name!r:.40}; there are {', '.join(GESTURES)}")
        self._gesture = gesture
        self._at = 0.0

    def __call__(self, rotations: Float32, dt: float) -> Float32 | None:
        """Return the pose with the gesture in it, `dt` seconds on; None when it is over."""
        self._at += dt
        gesture = self._gesture
        if self._at >= gesture.seconds + 2 * _EASE_S:
            return None
        inside = min(max(self._at - _EASE_S, 0.0), gesture.seconds)
        begun = min(self._at / _EASE_S, 1.0)
        ending = min((gesture.seconds + 2 * _EASE_S - self._at) / _EASE_S, 1.0)
        weight = min(begun, ending)
        weight = weight * weight * (3 - 2 * weight)
        out = rotations.copy()
        for bone, turn in self._turns(inside).items():
            i = BONE_INDEX[bone]
            goal = np.array(turn, np.float32)
            if gesture.added:
                goal = multiply_all(goal, rotations[i])
            out[i] = slerp_all(rotations[i], goal, weight)
        return out

    def _turns(self, at: float) -> dict[str, Quaternion]:
        keys = self._gesture.keys
        after = next((n for n, (time, _) in enumerate(keys) if time >= at), len(keys) - 1)
        before = max(after - 1, 0)
        (start, first), (end, second) = keys[before], keys[after]
        share = (at - start) / (end - start) if end > start else 1.0
        share = share * share * (3 - 2 * share)
        return {
            bone: _quaternion(
                tuple(a + share * (b - a) for a, b in zip(first[bone], second[bone], strict=True))
            )
            for bone in second
        }


def _quaternion(degrees: tuple[float, ...]) -> Quaternion:
    q = IDENTITY
    for axis, angle in zip(((1, 0, 0), (0, 1, 0), (0, 0, 1)), degrees, strict=True):
        q = multiply(about((float(axis[0]), float(axis[1]), float(axis[2])), radians(angle)), q)
    return q
