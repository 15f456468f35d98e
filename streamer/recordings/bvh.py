"""BVH: motion for Blender, MotionBuilder and most other animation programs.

Y up, the character faces +Z and rests in the T-pose; centimetres; only the hips
have positions; rotations are Z, X, Y in degrees. Joints carry the names that
MotionBuilder and Mixamo use, so that characters are recognised by themselves.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from streamer.recordings.take import Motion, TakeRig
from streamer.types import Float32

_CM: Final = 100.0
_NAMES: Final = {
    "hips": "Hips",
    "spine": "Spine",
    "chest": "Spine1",
    "upperChest": "Spine2",
    "neck": "Neck",
    "head": "Head",
    "Shoulder": "Shoulder",
    "UpperArm": "Arm",
    "LowerArm": "ForeArm",
    "Hand": "Hand",
    "UpperLeg": "UpLeg",
    "LowerLeg": "Leg",
    "Foot": "Foot",
    "Toes": "ToeBase",
}
_PHALANX: Final = {"Metacarpal": 1, "Proximal": 1, "Intermediate": 2, "Distal": 3}

# Where a chain ends: a length in metres for the bone that has no child to show it.
_TIPS: Final = {"head": (0.0, 0.18, 0.0), "Toes": (0.0, 0.0, 0.06), "": (0.02, 0.0, 0.0)}


def bvh_text(motion: Motion, rig: TakeRig) -> str:
    """Return a BVH file; a rig with names and axes of its own gets those."""
    order = _depth_first(rig)
    lines = ["HIERARCHY", *_joint(rig, 0, 0)]
    lines += ["MOTION", f"Frames: {len(motion.rotations)}", f"Frame Time: {1 / motion.fps:.7f}"]
    angles = euler_zxy(rig.raw(motion.rotations)[:, order])
    place = (rig.offsets[0] + rig.shift(motion.root)) * _CM
    values = np.concatenate([place, angles.reshape(len(angles), 3 * len(order))], axis=1) + 0.0
    lines += [" ".join(f"{v:.4f}" for v in row) for row in values.tolist()]
    return "\n".join(lines) + "\n"


def bvh_name(bone: str) -> str:
    """Return the name of a VRM 1.0 bone in MotionBuilder's and Mixamo's terms."""
    if bone in _NAMES:
        return _NAMES[bone]
    side = "Left" if bone.startswith("left") else "Right"
    part = bone.removeprefix("left").removeprefix("right")
    if part in _NAMES:
        return side + _NAMES[part]
    for finger in ("Thumb", "Index", "Middle", "Ring", "Little"):
        if part.startswith(finger):
            phalanx = part.removeprefix(finger)
            number = _PHALANX[phalanx] + (finger == "Thumb" and phalanx == "Proximal")
            return f"{side}Hand{finger.replace('Little', 'Pinky')}{number}"
    raise AssertionError(f"{bone} is no bone of a take")


def euler_zxy(rotations: Float32) -> npt.NDArray[np.float64]:
    """Return degrees [T, N, 3] about Z, then X, then Y, from quaternions [T, N, 4].

    Frame by frame each angle is the nearest to the one before, so that curves
    do not jump by full turns.
    """
    x, y, z, w = np.moveaxis(rotations.astype(np.float64), -1, 0)
    # Of half the angles: (w + x, y + z) points along Z + Y, (w - x, z - y) along Z - Y,
    # and their lengths give X. Exact next to the poles, where sines are not.
    together, apart = np.arctan2(y + z, w + x), np.arctan2(z - y, w - x)
    about_z, about_y = together + apart, together - apart
    about_x = 2 * np.arctan2(np.hypot(w + x, y + z), np.hypot(w - x, z - y)) - np.pi / 2
    angles = np.stack([about_z, about_x, about_y], axis=-1)
    angles[:1] = _near(angles[:1], np.zeros(3))
    other = np.stack([about_z + np.pi, np.pi - about_x, about_y + np.pi], axis=-1)
    for n in range(1, len(angles)):
        first, second = _near(angles[n], angles[n - 1]), _near(other[n], angles[n - 1])
        far = [np.abs(a - angles[n - 1]).sum(-1, keepdims=True) for a in (first, second)]
        angles[n] = np.where(far[0] <= far[1], first, second)
    return np.degrees(angles)


def _near(
    angles: npt.NDArray[np.float64], last: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return last + (angles - last + np.pi) % (2 * np.pi) - np.pi


def _depth_first(rig: TakeRig, bone: int = 0) -> list[int]:
    order = [bone]
    for child, parent in enumerate(rig.parents):
        if parent == bone:
            order += _depth_first(rig, child)
    return order


def _joint(rig: TakeRig, bone: int, depth: int) -> list[str]:
    """Return the lines of a joint and all below it, in the order of `_depth_first`."""
    tab = "\t" * depth
    children = [child for child, parent in enumerate(rig.parents) if parent == bone]
    kind = "ROOT" if depth == 0 else "JOINT"
    position = "6 Xposition Yposition Zposition " if depth == 0 else "3 "
    offset = rig.raw_offsets()[bone] if depth else np.zeros(3)
    lines = [
        f"{tab}{kind} {_name(rig, bone)}",
        f"{tab}{{",
        f"{tab}\tOFFSET {_triple(offset)}",
        f"{tab}\tCHANNELS {position}Zrotation Xrotation Yrotation",
    ]
    for child in children:
        lines += _joint(rig, child, depth + 1)
    if not children:
        lines += [f"{tab}\tEnd Site", f"{tab}\t{{"]
        lines += [f"{tab}\t\tOFFSET {_triple(_tip(rig, bone))}", f"{tab}\t}}"]
    return [*lines, f"{tab}}}"]


def _name(rig: TakeRig, bone: int) -> str:
    own = rig.names[bone] if rig.names else ""
    # A name ends where a space is.
    return "_".join(own.split()) or bvh_name(rig.bones[bone])


def _tip(rig: TakeRig, bone: int) -> Float32:
    name = rig.bones[bone]
    for end, offset in _TIPS.items():
        if end and name.endswith(end):
            return np.array(offset, np.float32)
    own = rig.raw_offsets()[bone]
    length = float(np.linalg.norm(own))
    return (own * 0.8 if length > 0 else np.array(_TIPS[""])).astype(np.float32)


def _triple(offset: npt.NDArray[np.floating]) -> str:
    return " ".join(f"{v:.4f}" for v in (offset.astype(np.float64) * _CM + 0.0).tolist())
