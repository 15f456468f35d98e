"""The VRM 1.0 humanoid as the engine uses it: names, parents, rest pose, axes.

Internal pose = normalised local rotations in VRM 1.0 axes (`spec/protocols.md`
3.2 and 3.4). Legs rest and are not part of a frame.
"""

import numpy as np

from streamer.types import Float32

_FINGERS = {
    "Thumb": ("Metacarpal", "Proximal", "Distal"),
    "Index": ("Proximal", "Intermediate", "Distal"),
    "Middle": ("Proximal", "Intermediate", "Distal"),
    "Ring": ("Proximal", "Intermediate", "Distal"),
    "Little": ("Proximal", "Intermediate", "Distal"),
}


def _tree() -> list[tuple[str, str, tuple[float, float, float]]]:
    """Return (bone, parent, offset in metres), left side at +X, T-pose."""
    rows: list[tuple[str, str, tuple[float, float, float]]] = [
        ("hips", "", (0.0, 0.95, 0.0)),
        ("spine", "hips", (0.0, 0.09, 0.0)),
        ("chest", "spine", (0.0, 0.13, 0.0)),
        ("upperChest", "chest", (0.0, 0.12, 0.0)),
        ("neck", "upperChest", (0.0, 0.14, 0.0)),
        ("head", "neck", (0.0, 0.09, 0.01)),
    ]
    roots = {  # wrist to first joint; thumb leaves at 45 degrees
        "Thumb": (0.025, -0.008, 0.022),
        "Index": (0.088, 0.0, 0.024),
        "Middle": (0.09, 0.002, 0.003),
        "Ring": (0.085, 0.0, -0.017),
        "Little": (0.078, -0.004, -0.035),
    }
    phalanx = {
        "Thumb": (0.043, 0.031),
        "Index": (0.041, 0.025),
        "Middle": (0.045, 0.028),
        "Ring": (0.042, 0.027),
        "Little": (0.033, 0.021),
    }
    for side, sign in (("left", 1.0), ("right", -1.0)):
        rows += [
            (f"{side}Shoulder", "upperChest", (sign * 0.025, 0.105, 0.0)),
            (f"{side}UpperArm", f"{side}Shoulder", (sign * 0.125, 0.0, 0.0)),
            (f"{side}LowerArm", f"{side}UpperArm", (sign * 0.27, 0.0, 0.0)),
            (f"{side}Hand", f"{side}LowerArm", (sign * 0.25, 0.0, 0.0)),
        ]
        for finger, joints in _FINGERS.items():
            x, y, z = roots[finger]
            rows.append((f"{side}{finger}{joints[0]}", f"{side}Hand", (sign * x, y, z)))
            diagonal = 0.5**0.5 if finger == "Thumb" else 1.0
            for i, length in enumerate(phalanx[finger]):
                step = length * diagonal
                offset = (sign * step, 0.0, step if finger == "Thumb" else 0.0)
                rows.append(
                    (f"{side}{finger}{joints[i + 1]}", f"{side}{finger}{joints[i]}", offset)
                )
    return rows


_ROWS = _tree()

BONES: tuple[str, ...] = tuple(name for name, _, _ in _ROWS)
"""The 44 driven bones, parents before children."""

BONE_INDEX: dict[str, int] = {name: i for i, name in enumerate(BONES)}

PARENTS: tuple[int, ...] = tuple(BONE_INDEX[p] if p else -1 for _, p, _ in _ROWS)
"""Index of each bone's parent in `BONES`; -1 for the hips."""

REST_OFFSETS: Float32 = np.array([offset for _, _, offset in _ROWS], np.float32)
"""[B, 3] offset from the parent in the T-pose, metres; of the mannequin."""

REST_OFFSETS.flags.writeable = False


def to_unity_position(v: Float32) -> Float32:
    """Convert positions [..., 3] from VRM 1.0 to Unity axes (protocols.md 3.4)."""
    return v * np.array([-1.0, 1.0, 1.0], np.float32)


def to_unity_rotation(q: Float32) -> Float32:
    """Convert xyzw rotations [..., 4] from VRM 1.0 to Unity axes (protocols.md 3.4)."""
    return q * np.array([1.0, -1.0, -1.0, 1.0], np.float32)


def unity_bone_name(bone: str) -> str:
    """Return the UnityEngine.HumanBodyBones name of a VRM 1.0 bone (protocols.md 1.5)."""
    name = bone[0].upper() + bone[1:]
    if "Thumb" in name:
        return name.replace("Proximal", "Intermediate").replace("Metacarpal", "Proximal")
    return name
