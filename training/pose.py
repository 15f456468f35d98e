"""Poses of the `upper_body` layout as groups that turn rigidly: blend, offset, mirror.

Direction vectors cannot be blended one by one: the fingers of a hand that
turns over would shear. So vectors are put into groups: a lone bone turns by
the shortest arc, a hand and the head turn as rigid frames, and only what is
left (the curl of the fingers) is blended as vectors. G is the number of
groups; a rotation of a pose is [..., G, 3] rotation vectors.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from streamer.skeleton import load_skeleton
from training.smartbody import unit

Float = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LAYOUT = load_skeleton("upper_body")
NAMES = LAYOUT.vector_names
LEFT_WRIST = LAYOUT.joints.index("left_wrist")
RIGHT_WRIST = LAYOUT.joints.index("right_wrist")
WRISTS = [LEFT_WRIST, RIGHT_WRIST]
ELBOWS = [LAYOUT.joints.index("left_elbow"), LAYOUT.joints.index("right_elbow")]
CHEST = LAYOUT.joints.index("spine3")
NECK = LAYOUT.joints.index("neck")

SINGLES = (
    "pelvis>spine3",
    "spine3>neck",
    "neck>left_shoulder",
    "neck>right_shoulder",
    "left_shoulder>left_elbow",
    "left_elbow>left_wrist",
    "right_shoulder>right_elbow",
    "right_elbow>right_wrist",
)
GROUPS = (*SINGLES, "left_hand", "right_hand", "head")
G = len(GROUPS)
ARMS = {
    "left": [GROUPS.index(n) for n in (*SINGLES[4:6], "left_hand")],
    "right": [GROUPS.index(n) for n in (*SINGLES[6:8], "right_hand")],
}
TRUNK = [GROUPS.index(n) for n in (*SINGLES[:4], "head")]
HEAD = GROUPS.index("head")


def _group_of(name: str) -> int:
    if name in SINGLES:
        return GROUPS.index(name)
    if name in ("left_palm", "right_palm"):
        return GROUPS.index(name.replace("palm", "hand"))
    end = name.split(">")[1]
    if end == "nose" or end.endswith(("eye", "ear")):
        return HEAD
    return GROUPS.index("left_hand" if end.startswith("left") else "right_hand")


GROUP_OF: Ints = np.array([_group_of(name) for name in NAMES])
"""[45] the group of each vector."""

_LONE = np.array([NAMES.index(name) for name in SINGLES])
_SHAPED = np.flatnonzero(GROUP_OF >= len(SINGLES))


def groups_to_vectors(groups: list[int]) -> Ints:
    """Return the indices of the vectors that belong to any of the groups."""
    return np.flatnonzero(np.isin(GROUP_OF, groups))


@cache
def _mirror_order() -> Ints:
    def other(name: str) -> str:
        return name.replace("left", "#").replace("right", "left").replace("#", "right")

    return np.array([NAMES.index(other(name)) for name in NAMES])


def mirror(directions: Float) -> Float:
    """Return poses [..., 45, 3] seen in a mirror: left and right swapped, x flipped."""
    return directions[..., _mirror_order(), :] * np.array([-1.0, 1.0, 1.0])


def positions(directions: Float) -> Float:
    """Return joint positions [..., 44, 3] in metres, the pelvis at 0."""
    return LAYOUT.positions(directions.astype(np.float32)).astype(np.float64)


def between(a: Float, b: Float) -> Float:
    """Return the rotations [..., G, 3] that take the groups of pose a to those of b."""
    out = np.zeros((*a.shape[:-2], G, 3))
    x, y = a[..., _LONE, :], b[..., _LONE, :]
    axis = np.cross(x, y)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    cosine = (x * y).sum(-1, keepdims=True)
    # Opposite vectors have no shortest arc; arms then swing forward, about x.
    axis = np.where(sine > 1e-6, axis / np.maximum(sine, 1e-6), np.array([1.0, 0.0, 0.0]))
    out[..., : len(_LONE), :] = axis * np.arctan2(sine, cosine)
    turn = _frames(b) @ np.swapaxes(_frames(a), -1, -2)
    flat = Rotation.from_matrix(turn.reshape(-1, 3, 3)).as_rotvec()
    out[..., len(_LONE) :, :] = flat.reshape(*turn.shape[:-2], 3)
    return out


def rotate(directions: Float, rotations: Float) -> Float:
    """Turn the groups of poses [..., 45, 3] by rotation vectors [..., G, 3]."""
    angle = np.linalg.norm(rotations, axis=-1, keepdims=True)
    axis = (rotations / np.maximum(angle, 1e-9))[..., GROUP_OF, :]
    cosine, sine = np.cos(angle)[..., GROUP_OF, :], np.sin(angle)[..., GROUP_OF, :]
    along = (axis * directions).sum(-1, keepdims=True)
    return directions * cosine + np.cross(axis, directions) * sine + axis * along * (1 - cosine)


def offset(target: Float, pose: Float) -> tuple[Float, Float]:
    """Return what makes `pose` of `target`: rotations [..., G, 3], residue [..., 45, 3].

    `apply(target, *offset(target, pose))` is `pose`; scaled towards zero it
    goes smoothly to `target`.
    """
    turn = between(target, pose)
    return turn, pose - rotate(target, turn)


def apply(target: Float, turn: Float, residue: Float) -> Float:
    """Return the pose that an `offset`, possibly scaled, makes of a target."""
    return unit(rotate(target, turn) + residue)


def blend(a: Float, b: Float, share: Float | float) -> Float:
    """Return the poses a share of the way from a to b.

    share: broadcast over [..., G], so that groups can move apart in time; above
    1 the rotation is carried on past b, the finger shape is not.
    """
    turn, residue = offset(a, b)
    by_group = np.broadcast_to(np.asarray(share, float), turn.shape[:-1])[..., None]
    by_vector = np.clip(by_group[..., GROUP_OF, :], 0.0, 1.0)
    return apply(a, turn * by_group, residue * by_vector)


def _frames(directions: Float) -> Float:
    """Return the frames [..., 3, 3, 3] of left hand, right hand and head, axes as columns."""

    def vector(name: str) -> Float:
        return directions[..., NAMES.index(name), :]

    frames = [
        _frame(vector(f"{side}_wrist>{side}_middle1"), vector(f"{side}_palm"))
        for side in ("left", "right")
    ]
    across = vector("nose>left_eye") - vector("nose>right_eye")
    upward = vector("nose>left_eye") + vector("nose>right_eye")
    frames.append(_frame(across, upward))
    return np.stack(frames, -3)


def _frame(first: Float, second: Float) -> Float:
    x = unit(first)
    z = unit(second - (second * x).sum(-1, keepdims=True) * x)
    return np.stack([x, np.cross(z, x), z], -1)
