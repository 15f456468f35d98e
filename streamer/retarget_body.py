"""Torso, shoulders and head: from direction vectors to rotations.

Vectors are unit and in VRM 1.0 axes; `rest` are the same vectors in the T-pose.
Rotations are in the world unless they say local.
"""

from dataclasses import dataclass
from math import radians

from streamer.retarget_layout import Layout
from streamer.rotation import (
    IDENTITY,
    Quaternion,
    Vector,
    between,
    cross,
    inverse,
    limited,
    multiply,
    rotate,
    share,
    undo,
    unrotate,
    upright_frame,
)

Vectors = list[Vector] | tuple[Vector, ...]

# What part of the lean (pelvis to upper spine) and of the remaining turn each
# bone has reached, from the hips up. The lean passes 1 so that the upper spine,
# which rides on all three, lands where the vector puts it; the hips keep a
# small part, because the legs hang from them.
_LEAN = (0.15, 1.2, 1.4)
_TURN = (0.0, 0.3, 0.7)

_MAX_LEAN = radians(45)
_SHOULDER_PART = 0.4
_MAX_SHOULDER = radians(15)
_NECK_PART = 0.4
_MAX_HEAD = radians(80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Torso:
    """Local rotations from hips to upper chest; `world` is the upper chest's."""

    hips: Quaternion
    spine: Quaternion
    chest: Quaternion
    upper_chest: Quaternion
    world: Quaternion


class TorsoSolver:
    """Leans and turns the spine: lean from the vectors upwards, turn from the shoulder line."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rest = inverse(self._frame(layout.rest))

    def __call__(self, vectors: Vectors) -> Torso:
        """Return the torso of one pose."""
        world = multiply(self._frame(vectors), self._rest)
        pelvis = self._layout.pelvis
        if pelvis is None:
            lean = IDENTITY
        else:
            lean = limited(between(self._layout.rest[pelvis], vectors[pelvis]), _MAX_LEAN)
        turn = undo(lean, world)
        hips, spine, chest = (
            multiply(share(lean, a), share(turn, b)) for a, b in zip(_LEAN, _TURN, strict=True)
        )
        return Torso(
            hips=hips,
            spine=undo(hips, spine),
            chest=undo(spine, chest),
            upper_chest=undo(chest, world),
            world=world,
        )

    def _frame(self, vectors: Vectors) -> Quaternion:
        left, right = (vectors[arm.shoulder] for arm in self._layout.arms)
        return upright_frame(_difference(left, right), vectors[self._layout.spine])


def solve_shoulder(torso: Quaternion, direction: Vector, rest: Vector) -> Quaternion:
    """Return the local rotation of a clavicle, damped and within 15 degrees.

    The neck-to-shoulder vectors of the corpora are noisy.
    """
    moved = between(rest, unrotate(torso, direction))
    return limited(share(moved, _SHOULDER_PART), _MAX_SHOULDER)


class HeadSolver:
    """Turns neck and head with the face: all three axes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rest = inverse(self._frame(layout.rest))

    def __call__(self, vectors: Vectors, torso: Quaternion) -> tuple[Quaternion, Quaternion]:
        """Return the local rotations of neck and head."""
        world = multiply(self._frame(vectors), self._rest)
        local = limited(undo(torso, world), _MAX_HEAD)
        neck = share(local, _NECK_PART)
        return neck, undo(neck, local)

    def _frame(self, vectors: Vectors) -> Quaternion:
        """Return a frame that is fixed to the skull: X to its left, Y up."""
        face = [vectors[i] for i in self._layout.face]
        if len(face) == 1:  # nose and top of the head: their plane parts left from right
            nose, top = vectors[self._layout.nose], face[0]
            return upright_frame(cross(top, nose), _sum(nose, top))
        right_eye, left_eye, right_ear, left_ear = face
        left = _difference(_sum(left_eye, left_ear), _sum(right_eye, right_ear))
        back = _sum(right_ear, left_ear)
        return upright_frame(left, cross(left, back))


def planted_root(hips: Quaternion, height: float) -> Vector:
    """Return the offset of the hips that keeps the soles where they stand.

    The legs are rigid here, so the body shifts its weight as a pole about the
    ankles. height: of the hips at rest, metres.
    """
    x, y, z = rotate(hips, (0.0, height, 0.0))
    return (x, y - height, z)


def _sum(a: Vector, b: Vector) -> Vector:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def _difference(a: Vector, b: Vector) -> Vector:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])
