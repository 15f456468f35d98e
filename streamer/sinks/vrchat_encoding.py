"""Poses as VRChat's OSC: avatar parameters, chatbox, trackers (protocols.md 2).

VRChat takes no bone rotations. What others see are 15 floats and a bool, 121
synced bits, which an animator layer of the avatar turns into arms and hands.
"""

from collections.abc import Mapping, Sequence
from math import asin, atan2, degrees, pi
from typing import Final

import numpy as np

from streamer.humanoid import BONE_INDEX, REST_OFFSETS, to_unity_position, to_unity_rotation
from streamer.mouth import VOWELS
from streamer.retarget_inverse import bone_frames
from streamer.rotation import (
    Quaternion,
    Vector,
    angle_of,
    multiply,
    rotate,
    twist_about_x,
)
from streamer.sinks.vmc_encoding import osc_bundle, osc_message
from streamer.types import Float32

STEP: Final = 1 / 127
"""The finest difference that VRChat sends to others."""

PREFIX: Final = "/avatar/parameters/Gesture/"
ACTIVE: Final = PREFIX + "Active"

_ELBOW: Final = 150.0  # degrees that are 1
_TURN: Final = 90.0
_LEAN: Final = 45.0
_CURL: Final = 160.0  # of the two inner joints of a finger together: a fist
_FINGERS: Final = ("Index", "Middle", "Ring", "Little")

# The numbering that other programs use; VRChat assigns parts by itself.
_TRACKERS: Final = {1: "hips", 6: "chest", 7: "leftUpperArm", 8: "rightUpperArm"}


def parameters(rotations: Float32) -> dict[str, float]:
    """Return the 15 floats by name, -1 to 1, for rotations [B, 4].

    For each side: ArmX how far the upper arm points forwards (1) or back, ArmY
    upwards (1) or down, both sines as angles and relative to the chest; Elbow 0
    straight to 1 folded; WristRoll; HandOpen 0 fist to 1 flat; Point. And
    Chest_Yaw, Chest_Pitch, Head_Nod.
    """
    rows: list[Quaternion] = [(x, y, z, w) for x, y, z, w in rotations.tolist()]
    out = dict[str, float]()
    for side, letter, sign in (("left", "L", 1.0), ("right", "R", -1.0)):

        def local(bone: str, side: str = side) -> Quaternion:
            return rows[BONE_INDEX[side + bone]]

        along: Vector = (sign, 0.0, 0.0)
        _, y, z = rotate(multiply(local("Shoulder"), local("UpperArm")), along)
        out[f"{letter}_ArmX"] = asin(_clamped(z)) * 2 / pi
        out[f"{letter}_ArmY"] = asin(_clamped(y)) * 2 / pi
        cosine = sign * rotate(local("LowerArm"), along)[0]
        out[f"{letter}_Elbow"] = _clamped(degrees(pi / 2 - asin(_clamped(cosine))) / _ELBOW)
        roll = twist_about_x(multiply(local("LowerArm"), local("Hand")))
        out[f"{letter}_WristRoll"] = _clamped(degrees(roll) / _TURN)
        opened = [
            _clamped(1 - degrees(sum(angle_of(local(f + j)) for j in _INNER)) / _CURL, 0.0)
            for f in _FINGERS
        ]
        out[f"{letter}_HandOpen"] = sum(opened) / len(opened)
        out[f"{letter}_Point"] = _clamped(opened[0] - sum(opened[1:]) / 3, 0.0)
    chest = rows[0]
    for bone in ("spine", "chest", "upperChest"):
        chest = multiply(chest, rows[BONE_INDEX[bone]])
    x, y, z = rotate(chest, (0.0, 0.0, 1.0))
    out["Chest_Yaw"] = _clamped(degrees(atan2(x, z)) / _LEAN)
    out["Chest_Pitch"] = _clamped(degrees(asin(_clamped(y))) / _LEAN)
    head = multiply(rows[BONE_INDEX["neck"]], rows[BONE_INDEX["head"]])
    out["Head_Nod"] = _clamped(degrees(asin(_clamped(rotate(head, (0.0, 0.0, 1.0))[1]))) / _LEAN)
    return out


_INNER: Final = ("Proximal", "Intermediate")


def face_parameters(face: Float32) -> dict[str, float]:
    """Return `Mouth_aa` to `Mouth_oh` and `Blink`, 0 to 1, for a face [6]."""
    names = [*(f"Mouth_{vowel}" for vowel in VOWELS), "Blink"]
    return dict(zip(names, face.tolist(), strict=True))


class ParameterEncoder:
    """Remembers what VRChat was told, and tells it what has changed since."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def __call__(self, values: Mapping[str, float]) -> bytes | None:
        """Return a bundle of the parameters that moved by a step or more; None for none."""
        moved = {
            name: value
            for name, value in values.items()
            if name not in self._told or abs(value - self._told[name]) >= STEP
        }
        first = not self._told
        self._told.update(moved)
        messages = [osc_message(PREFIX + name, "f", value) for name, value in moved.items()]
        if first and messages:
            messages.append(osc_message(ACTIVE, "T", 1))
        return osc_bundle(messages) if messages else None

    def forget(self) -> None:
        """Tell everything again: another avatar may have been put on."""
        self._told.clear()


def active(on: bool) -> bytes:
    """Return the message that turns the avatar's layer on or off."""
    return osc_message(ACTIVE, "T" if on else "F", int(on))


def trackers(rotations: Float32, root: Float32, height: float) -> bytes:
    """Return hip, chest and upper arms as tracker messages in one bundle.

    height: the user's, in metres. World space, Unity's axes; Euler angles in
    degrees, turned about Z, then X, then Y.
    """
    places, world = bone_frames(rotations)
    scale = height / _BODY_HEIGHT
    messages = list[bytes]()
    for number, bone in _TRACKERS.items():
        i = BONE_INDEX[bone]
        x, y, z = (to_unity_position(places[i] + root) * np.float32(scale)).tolist()
        address = f"/tracking/trackers/{number}"
        messages.append(osc_message(f"{address}/position", "fff", x, y, z))
        a, b, c = unity_euler(to_unity_rotation(world[i]).tolist())
        messages.append(osc_message(f"{address}/rotation", "fff", a, b, c))
    return osc_bundle(messages)


_BODY_HEIGHT: Final = float(REST_OFFSETS[:6, 1].sum()) + 0.2  # to the head bone, and the head


def unity_euler(q: Sequence[float]) -> tuple[float, float, float]:
    """Return Unity's Euler angles in degrees of a rotation in Unity's axes (protocols.md 2.4)."""
    x, y, z, w = q
    return (
        degrees(asin(_clamped(2 * (w * x - y * z)))),
        degrees(atan2(2 * (w * y + x * z), 1 - 2 * (x * x + y * y))),
        degrees(atan2(2 * (w * z + x * y), 1 - 2 * (x * x + z * z))),
    )


def chatbox(text: str) -> bytes:
    """Return the message that shows a text at once and without a sound."""
    return osc_message("/chatbox/input", "sTF", text, 1, 0)


def typing(on: bool) -> bytes:
    """Return the message that shows or hides the typing dots."""
    return osc_message("/chatbox/typing", "T" if on else "F", int(on))


def _clamped(value: float, low: float = -1.0) -> float:
    return min(max(value, low), 1.0)
