"""From direction vectors to the humanoid's rotations (protocols.md 6.3).

Torso first, then what hangs on it: shoulders, arms, hands, fingers, head. Each
step is a file `retarget_*.py` of its own; this one holds the order, the memory
between frames and what to do with bad input.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamer.errors import InputError
from streamer.humanoid import BONE_INDEX, BONES, REST_OFFSETS
from streamer.retarget_arm import (
    ArmSolver,
    ArmState,
    HandFrame,
    natural_pronation,
    palm_from_knuckles,
)
from streamer.retarget_body import HeadSolver, TorsoSolver, planted_root, solve_shoulder
from streamer.retarget_fingers import Finger, FingerSolver
from streamer.retarget_layout import SIDES, HandLayout, Layout
from streamer.rotation import IDENTITY, Quaternion, Vector, multiply, undo, unrotate
from streamer.skeleton import Skeleton
from streamer.types import Float32, Tensors

# A vector shorter than this before normalising has no direction worth following.
_CONFIDENT = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """A humanoid pose: rotations [B, 4] normalised local, root [3] offset of the hips."""

    rotations: Float32
    root: Float32


class Retargeter:
    """Turns the poses of one stream into rotations, one after the other.

    It remembers a little (arm rolls, the last good pose), so one stream needs
    one of them and calls it in order; any one thread may.
    fps: of the poses, for smoothing the roll of straight arms.
    """

    def __init__(self, skeleton: Skeleton, fps: float = 15.0) -> None:
        self._skeleton = skeleton
        self._layout = layout = Layout.of(skeleton)
        self._axes = np.array(skeleton.axes, np.float64)
        self._rest = np.array(layout.rest)
        self._torso = TorsoSolver(layout)
        self._head = HeadSolver(layout)
        self._arms = tuple(_ArmChain(layout, i, fps) for i in range(len(SIDES)))
        self._hip_height = float(REST_OFFSETS[0, 1])
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next pose is the first of a stream."""
        self._directions = self._rest.copy()
        self._last = Pose(
            rotations=_read_only(np.tile(np.array(IDENTITY, np.float32), (len(BONES), 1))),
            root=_read_only(np.zeros(3, np.float32)),
        )
        for arm in self._arms:
            arm.state = ArmState()

    def __call__(self, directions: Float32) -> Pose:
        """Return the pose for unit vectors [D, 3] in the skeleton's own axes.

        A vector of norm below 0.3 keeps its last direction; a pose with a NaN or
        an infinity is the last good pose again. Signs of quaternions continue
        those of the pose before. Raises `InputError` on another shape.
        """
        if directions.shape != self._directions.shape:
            raise InputError(
                f"skeleton {self._skeleton.name} has directions of shape "
                f"{self._directions.shape}, got {directions.shape}"
            )
        vectors = directions * self._axes
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        if not np.isfinite(lengths).all():
            return self._last
        sure = lengths > _CONFIDENT
        vectors /= np.maximum(lengths, _CONFIDENT)[:, None]
        if not sure.all():
            vectors = np.where(sure[:, None], vectors, self._directions)
        self._directions = vectors
        self._last = self._solve([(x, y, z) for x, y, z in vectors.tolist()])
        return self._last

    def save(self) -> Tensors:
        """Return what it remembers as named arrays; `restore` takes them."""
        return {
            "directions": self._directions.copy(),
            "rotations": self._last.rotations,
            "root": self._last.root,
            "arms": np.array(
                [(a.roll, a.measured, a.shown, a.started) for a in (c.state for c in self._arms)]
            ),
        }

    def restore(self, saved: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Continue from what `save` returned."""
        self._directions = np.array(saved["directions"], np.float64)
        self._last = Pose(
            rotations=_read_only(np.array(saved["rotations"], np.float32)),
            root=_read_only(np.array(saved["root"], np.float32)),
        )
        for arm, (roll, measured, shown, started) in zip(
            self._arms, saved["arms"].tolist(), strict=True
        ):
            arm.state = ArmState(roll, measured, shown, bool(started))

    def _solve(self, vectors: list[Vector]) -> Pose:
        torso = self._torso(vectors)
        neck, head = self._head(vectors, torso.world)
        rows: list[Quaternion] = [
            torso.hips,
            torso.spine,
            torso.chest,
            torso.upper_chest,
            neck,
            head,
        ]
        for arm in self._arms:
            rows += arm(vectors, torso.world)
        rotations = np.array(rows, np.float32)
        flips = np.einsum("ij,ij->i", rotations, self._last.rotations) < 0
        rotations[flips] *= -1
        root = np.array(planted_root(torso.hips, self._hip_height), np.float32)
        return Pose(rotations=_read_only(rotations), root=_read_only(root))


class _ArmChain:
    """One arm from the clavicle to the fingertips, in the order of `BONES`."""

    def __init__(self, layout: Layout, side: int, fps: float) -> None:
        self.state = ArmState()
        self._sign = 1.0 if side == 0 else -1.0
        self._layout = layout.arms[side]
        self._rest = layout.rest
        self._solve = ArmSolver(self._sign, fps)
        thumb = REST_OFFSETS[BONE_INDEX[f"{SIDES[side]}ThumbProximal"]]
        self._fingers = FingerSolver(
            self._sign, (float(thumb[0]), float(thumb[1]), float(thumb[2]))
        )
        hand = self._layout.hand
        if hand is not None:
            middle = layout.rest[hand.knuckles[1]]
            self._hand_frame = HandFrame(middle, self._palm(hand, layout.rest))

    def __call__(self, vectors: list[Vector], torso: Quaternion) -> list[Quaternion]:
        """Return the local rotations of shoulder, arm and 15 finger bones."""
        at = self._layout
        shoulder = solve_shoulder(torso, vectors[at.shoulder], self._rest[at.shoulder])
        base = multiply(torso, shoulder)
        upper, lower = unrotate(base, vectors[at.upper]), unrotate(base, vectors[at.lower])
        if at.hand is None:
            forearm = vectors[at.lower]
            arm = self._solve(upper, lower, None, self.state, natural_pronation(forearm))
            digits = self._fingers.relaxed((1 + forearm[1]) / 2)
        else:
            wanted = self._hand_frame(vectors[at.hand.knuckles[1]], self._palm(at.hand, vectors))
            arm = self._solve(upper, lower, undo(base, wanted), self.state)
            digits = self._digits(at.hand, vectors, multiply(base, arm.hand_frame))
        index, middle, little, ring, thumb = digits
        return [
            shoulder,
            arm.upper,
            arm.lower,
            arm.hand,
            *thumb,
            *index,
            *middle,
            *ring,
            *little,
        ]

    def _digits(
        self, at: HandLayout, vectors: list[Vector], hand: Quaternion
    ) -> tuple[Finger, ...]:
        four = tuple(
            self._fingers.finger(unrotate(hand, vectors[a]), unrotate(hand, vectors[b]))
            for a, b in at.fingers
        )
        a, b = at.thumb
        return (
            *four,
            self._fingers.thumb(unrotate(hand, vectors[a]), unrotate(hand, vectors[b])),
        )

    def _palm(self, at: HandLayout, vectors: list[Vector] | tuple[Vector, ...]) -> Vector:
        if at.palm is not None:
            return vectors[at.palm]
        index, middle, pinky, _ = (vectors[i] for i in at.knuckles)
        return palm_from_knuckles(middle, index, pinky, self._sign)


def _read_only(array: Float32) -> Float32:
    array.flags.writeable = False
    return array
