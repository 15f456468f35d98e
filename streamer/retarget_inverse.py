"""The way back: direction vectors of a humanoid pose, by forward kinematics.

For tests, recordings of other motion and anything that has rotations and needs
vectors. It shares no formula with `retarget.py`: bones are turned and placed,
and the vectors are read off the joints.
"""

import numpy as np

from streamer.humanoid import BONE_INDEX, BONES, PARENTS, REST_OFFSETS
from streamer.retarget_layout import humanoid_bone, rest_directions
from streamer.rotation import between_all, inverse_all, multiply_all, rotate_all
from streamer.skeleton import Skeleton
from streamer.types import Float32

_NOSE = 0.2  # metres from the neck to the nose


def bone_frames(rotations: Float32, rest: Float32 = REST_OFFSETS) -> tuple[Float32, Float32]:
    """Return world positions [..., B, 3] and world rotations [..., B, 4] of a pose.

    rotations: [..., B, 4] local; rest: [B, 3] offsets, the hips' included.
    """
    world = np.empty_like(rotations)
    positions = np.empty((*rotations.shape[:-1], 3), rotations.dtype)
    for bone, parent in enumerate(PARENTS):
        if parent < 0:
            world[..., bone, :] = rotations[..., bone, :]
            positions[..., bone, :] = rest[bone]
        else:
            above = world[..., parent, :]
            world[..., bone, :] = multiply_all(above, rotations[..., bone, :])
            positions[..., bone, :] = positions[..., parent, :] + rotate_all(above, rest[bone])
    return positions, world


def directions_from(
    rotations: Float32, skeleton: Skeleton, rest: Float32 = REST_OFFSETS
) -> Float32:
    """Return the unit vectors [..., D, 3] that a pose shows, in the skeleton's own axes.

    rotations: [..., B, 4] normalised local. rest: [B, 3] the humanoid's offsets.
    Limbs are read off the joints. The humanoid has no face, and may place its
    neck and shoulders elsewhere than the skeleton's maker did: those vectors are
    the T-pose's, turned as the bones below them have turned.
    """
    body = _Body(rotations, rest)
    t_pose = skeleton.to_vrm(rest_directions(skeleton))
    out = np.empty((*rotations.shape[:-2], skeleton.vectors, 3), rotations.dtype)
    for i, name in enumerate(skeleton.vector_names):
        out[..., i, :] = _vector(body, name, t_pose[i])
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    return skeleton.to_vrm(out)


class _Body:
    """A posed humanoid beside the same one at rest."""

    def __init__(self, rotations: Float32, rest: Float32) -> None:
        self.positions, self.world = bone_frames(rotations, rest)
        identity = np.zeros((len(BONES), 4), rotations.dtype)
        identity[:, 3] = 1
        self.at_rest, _ = bone_frames(identity, rest)

    def turn(self, bone: str) -> Float32:
        """Return the world rotation [..., 4] of a bone."""
        return self.world[..., BONE_INDEX[bone], :]

    def between(self, parent: str, child: str) -> tuple[Float32, Float32]:
        """Return the vectors from bone to bone, at rest [3] and posed [..., 3]."""
        a, b = BONE_INDEX[parent], BONE_INDEX[child]
        posed = self.positions[..., b, :] - self.positions[..., a, :]
        return self.at_rest[b] - self.at_rest[a], posed


def _vector(body: _Body, name: str, t_pose: Float32) -> Float32:
    parent, _, child = name.partition(">")
    match parent, child:
        case palm, "":
            return rotate_all(body.turn(f"{palm.removesuffix('_palm')}Hand"), t_pose)
        case "pelvis", _:
            return rotate_all(between_all(*body.between("hips", "upperChest")), t_pose)
        case (("spine3" | "spine"), "neck"):
            return rotate_all(body.turn("upperChest"), t_pose)
        case "neck", ("left_shoulder" | "right_shoulder"):
            chest = body.turn("upperChest")
            at_rest, posed = body.between("neck", str(humanoid_bone(child)))
            moved = between_all(at_rest, rotate_all(inverse_all(chest), posed))
            return rotate_all(chest, rotate_all(moved, t_pose))
        case "neck", "nose":
            at_rest, posed = body.between("neck", "head")
            return posed + rotate_all(body.turn("head"), _NOSE * t_pose - at_rest)
        case _:
            a, b = humanoid_bone(parent), humanoid_bone(child)
            if a is None or b is None:
                return rotate_all(body.turn("head"), t_pose)
            return body.between(a, b)[1]
