"""A whole recorded stream as arrays, and the skeleton that files of other programs get."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamer.avatar import Avatar
from streamer.clock import SAMPLE_RATE, FrameClock
from streamer.humanoid import BONE_INDEX, BONES, PARENTS, REST_OFFSETS
from streamer.rotation import (
    IDENTITY,
    aligned_all,
    inverse_all,
    multiply_all,
    rotate_all,
    slerp_all,
)
from streamer.types import Float32, Hello

Samples = npt.NDArray[np.int64]

# Bones that no network moves, with the mannequin's offsets from the bone above.
_LEG: Final = (
    ("UpperLeg", "hips", (0.09, -0.045, 0.0)),
    ("LowerLeg", "UpperLeg", (0.007, -0.405, 0.004)),
    ("Foot", "LowerLeg", (0.006, -0.415, -0.016)),
    ("Toes", "Foot", (0.0, -0.06, 0.12)),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Take:
    """Every frame of one recording, in order of time.

    sample: [T] first sample of each pose. root [T, 3], rotations [T, B, 4],
    positions [T, J, 3], directions [T, D, 3]: as in `SkeletonFrame`.
    """

    hello: Hello
    sample: Samples
    root: Float32
    rotations: Float32
    positions: Float32
    directions: Float32

    @property
    def seconds(self) -> npt.NDArray[np.float64]:
        """The time of each pose since the first one."""
        if not len(self.sample):
            return np.empty(0)
        return (self.sample - self.sample[0]) / SAMPLE_RATE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motion:
    """Poses at an even rate, for formats that know no time stamps.

    root [T, 3], rotations [T, B, 4], signs of quaternions continued.
    """

    fps: float
    root: Float32
    rotations: Float32


def even_motion(take: Take, fps: float) -> Motion:
    """Return a take at an even rate; a frame that is missing lies between its neighbours.

    At the take's own rate every frame that is there comes out exactly as it was.
    """
    count = len(take.sample)
    if count == 0:
        return Motion(fps=fps, root=take.root, rotations=take.rotations)
    clock = FrameClock(fps=Fraction(fps).limit_denominator(1001))
    first = int(take.sample[0])
    length = clock.frame_of(int(take.sample[-1]) - first + 1) + 1
    # Stamps are rounded to samples: the one of an even frame may be off by one.
    wanted = np.array([clock.start(n) for n in range(length)]) + first
    after = np.clip(np.searchsorted(take.sample, wanted - 1), 0, count - 1)
    exact = np.abs(take.sample[after] - wanted) <= 1
    before = np.where(exact, after, np.maximum(after - 1, 0))
    span = np.maximum(take.sample[after] - take.sample[before], 1)
    share = np.where(exact, 0.0, np.clip((wanted - take.sample[before]) / span, 0, 1))
    rotations = np.empty((length, *take.rotations.shape[1:]), np.float32)
    for n in range(length):
        a, b = take.rotations[before[n]], take.rotations[after[n]]
        rotations[n] = a if exact[n] else slerp_all(a, b, float(share[n]))
    part = share[:, None].astype(np.float32)
    root = take.root[before] + part * (take.root[after] - take.root[before])
    return Motion(fps=fps, root=root.astype(np.float32), rotations=continued(rotations))


def continued(rotations: Float32) -> Float32:
    """Return rotations [T, ..., 4] whose signs continue from frame to frame."""
    out = rotations.copy()
    for n in range(1, len(out)):
        out[n] = aligned_all(out[n], out[n - 1])
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TakeRig:
    """The bones that a file gets: an avatar's, or the mannequin's; legs included.

    bones: VRM 1.0 names, parents first. parents: indices, -1 for the hips.
    offsets: [N, 3] from the parent in the T-pose, metres, the hips' from the ground.
    folded: for each bone the indices in `BONES` whose turns it gets, outermost
    first: those of bones above that the avatar lacks, then its own. names: the
    rig's own names, none where it has the usual ones. frames: [N, 4], how each bone
    is turned in the world while the body stands in the T-pose; None for not at all.
    """

    bones: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float32
    folded: tuple[tuple[int, ...], ...]
    names: tuple[str, ...] = ()
    frames: Float32 | None = None

    @classmethod
    def of(cls, avatar: Avatar | None) -> "TakeRig":
        """Return the rig of an avatar, or of the mannequin."""
        if avatar is None:
            return _rig([(bone, parent, offset) for bone, parent, offset in _mannequin()])
        known = {bone for bone, _, _ in _mannequin()}
        # Eyes and jaw belong to whoever animates the face. A file may hang bones
        # beside its hips; those cannot be told in one tree and are left out.
        rows: list[tuple[str, str, Any]] = [("hips", "", avatar.offset("hips"))]
        for bone in avatar.bones:
            parent = _known_parent(avatar, bone, known)
            if bone in known and any(parent == name for name, _, _ in rows):
                rows.append((bone, parent, avatar.offset(bone)))
        rig = _rig(rows)
        return rig if not avatar.names else _own(rig, avatar)

    @property
    def height(self) -> float:
        """How high the hips are above the ground, metres."""
        return float(self.offsets[0, 1])

    def local(self, rotations: Float32) -> Float32:
        """Return the rotations [..., N, 4] of these bones from those [..., B, 4] of `BONES`."""
        out = np.empty((*rotations.shape[:-2], len(self.bones), 4), np.float32)
        out[...] = np.array(IDENTITY, np.float32)
        for i, chain in enumerate(self.folded):
            for bone in chain:
                out[..., i, :] = multiply_all(out[..., i, :], rotations[..., bone, :])
        return out

    def raw(self, rotations: Float32) -> Float32:
        """Return the local rotations [..., N, 4] in the bones' own axes."""
        local = self.local(rotations)
        if self.frames is None:
            return local
        return multiply_all(multiply_all(inverse_all(self._above(self.frames)), local), self.frames)

    def raw_offsets(self) -> Float32:
        """Return `offsets` [N, 3] in the axes of the bones above."""
        if self.frames is None:
            return self.offsets
        return rotate_all(inverse_all(self._above(self.frames)), self.offsets)

    def _above(self, frames: Float32) -> Float32:
        identity = np.array(IDENTITY, np.float32)
        return np.array([frames[p] if p >= 0 else identity for p in self.parents])

    def shift(self, root: Float32) -> Float32:
        """Return offsets of the hips [..., 3] for this rig's size."""
        return (root * (self.height / float(REST_OFFSETS[0, 1]))).astype(np.float32)


def _own(rig: TakeRig, avatar: Avatar) -> TakeRig:
    frames = np.array([avatar.bones[bone].world_rotation for bone in rig.bones], np.float32)
    plain = bool(np.abs(frames[:, :3]).max() < 1e-6)
    return replace(
        rig,
        names=tuple(avatar.names.get(bone, "") for bone in rig.bones),
        frames=None if plain else frames,
    )


def _mannequin() -> list[tuple[str, str, Any]]:
    rows: list[tuple[str, str, Any]] = [
        (bone, BONES[parent] if parent >= 0 else "", REST_OFFSETS[i])
        for i, (bone, parent) in enumerate(zip(BONES, PARENTS, strict=True))
    ]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for part, above, (x, y, z) in _LEG:
            parent = above if above == "hips" else side + above
            rows.append((side + part, parent, (sign * x, y, z)))
    return rows


def _known_parent(avatar: Avatar, bone: str, known: set[str]) -> str:
    parent = avatar.bones[bone].parent
    while parent is not None and parent not in known:
        parent = avatar.bones[parent].parent
    return parent or ""


def _rig(rows: Sequence[tuple[str, str, Any]]) -> TakeRig:
    names = [bone for bone, _, _ in rows]
    return TakeRig(
        bones=tuple(names),
        parents=tuple(names.index(parent) if parent else -1 for _, parent, _ in rows),
        offsets=np.array([offset for _, _, offset in rows], np.float32),
        folded=tuple(_chain(bone, names) for bone in names),
    )


def _chain(bone: str, names: Sequence[str]) -> tuple[int, ...]:
    chain = list[int]()
    at = BONE_INDEX.get(bone, -1)
    while at >= 0 and (not chain or BONES[at] not in names):
        chain.insert(0, at)
        at = PARENTS[at]
    return tuple(chain)
