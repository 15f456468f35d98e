"""SMPL-X joint rotations, as BEAT2 holds them, as rotations of humanoid bones.

The body model is not needed: its rest pose is a T-pose in VRM's axes (y up,
left is +x), so each joint's rotation is its bone's.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

SMPLX_JOINTS: Final = 55

_SIDES = ("left", "right")
_FINGERS = ("Index", "Middle", "Little", "Ring", "Thumb")  # SMPL-X's order in a hand
_BODY = {
    "hips": (0, ""),
    "spine": (3, "hips"),
    "chest": (6, "spine"),
    "upperChest": (9, "chest"),
    "neck": (12, "upperChest"),
    "head": (15, "neck"),
}
_ARM = (("Shoulder", 13), ("UpperArm", 16), ("LowerArm", 18), ("Hand", 20))
_FIRST_FINGER = (25, 40)


def _tree() -> dict[str, tuple[int, str]]:
    """Return bone to (SMPL-X joint, parent bone), parents first."""
    tree = dict(_BODY)
    for s, side in enumerate(_SIDES):
        parent = "upperChest"
        for bone, joint in _ARM:
            tree[f"{side}{bone}"] = (joint + s, parent)
            parent = f"{side}{bone}"
        for f, finger in enumerate(_FINGERS):
            above = f"{side}Hand"
            thumb = ("Metacarpal", "Proximal", "Distal")
            others = ("Proximal", "Intermediate", "Distal")
            for j, phalanx in enumerate(thumb if finger == "Thumb" else others):
                bone = f"{side}{finger}{phalanx}"
                tree[bone] = (_FIRST_FINGER[s] + 3 * f + j, above)
                above = bone
    return tree


_TREE = _tree()


def smplx_rotations(poses: npt.NDArray[np.floating]) -> dict[str, Rotation]:
    """Return each bone's world rotation of poses [T, 165], joint rotation vectors."""
    vectors = np.asarray(poses, np.float64).reshape(len(poses), SMPLX_JOINTS, 3)
    world: dict[str, Rotation] = {}
    for bone, (joint, parent) in _TREE.items():
        local = Rotation.from_rotvec(vectors[:, joint])
        world[bone] = world[parent] * local if parent else local
    return world
