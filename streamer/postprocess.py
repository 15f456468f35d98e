"""From what a step puts out to poses fit to be seen: unit vectors, blends, voice state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamer.humanoid import BONE_INDEX, PARENTS, REST_OFFSETS
from streamer.settling import Settling
from streamer.skeleton import Skeleton
from streamer.types import Float32, VoiceState
from streamer.vectors import blend, ease, unit

BLEND_S = 0.3
"""How long a reset pose takes from the last pose to the new stream's."""
SILENT_S = 0.5
"""How long an interrupt lasts at least, if the voice simply goes on."""
IDLE_S = 2.0
"""How much quiet turns listening into idle."""

_SPEAKING, _QUIET = 0.6, 0.4


class Posing(Protocol):
    """A retargeted pose: rotations [B, 4] and root [3]."""

    @property
    def rotations(self) -> Float32:
        """Normalised local rotations, xyzw."""
        ...

    @property
    def root(self) -> Float32:
        """Offset of the hips from rest, metres."""
        ...


class Retarget(Protocol):
    """Turns unit vectors [D, 3] in the skeleton's axes into rotations; one stream's own."""

    def __call__(self, directions: Float32) -> Posing:
        """Return the next pose of the stream."""
        ...


MakeRetarget = Callable[[Skeleton, float], Retarget]
"""Makes the retargeting of one stream from its skeleton and frame rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """One finished pose; the fields are those of `SkeletonFrame`."""

    rotations: Float32
    root: Float32
    positions: Float32
    directions: Float32
    state: VoiceState


class VoiceTracker:
    """Speaking, listening or idle, from voice activity in 0..1, with hysteresis."""

    def __init__(self, fps: float) -> None:
        self._idle_after = round(IDLE_S * fps)
        self._quiet = 0
        self.state: VoiceState = "listening"

    def __call__(self, voice: float) -> VoiceState:
        """Take the voice activity of the next frame; anything not finite counts as quiet."""
        if voice > (_QUIET if self.state == "speaking" else _SPEAKING):
            self.state, self._quiet = "speaking", 0
        else:
            self._quiet += 1
            self.state = "idle" if self._quiet >= self._idle_after else "listening"
        return self.state


class PostProcessor:
    """Finishes the poses of one session, in order.

    rest: [D, 3] unit vectors in which the session settles and from which a
    vector starts that has no direction yet.
    """

    def __init__(
        self, skeleton: Skeleton, *, fps: float, rest: Float32, retarget: Retarget
    ) -> None:
        self._skeleton = skeleton
        self._retarget = retarget
        self._rest = rest
        self._anchor = _anchor(skeleton)
        self._voice = VoiceTracker(fps)
        self._blend_frames = max(round(BLEND_S * fps), 1)
        self._silent_frames = max(round(SILENT_S * fps), 1)
        self._fps = fps
        self._before = self._shown = rest
        self._raw = rest
        self._blend_from = rest
        self._blend_left = 0
        self._settling: Settling | None = None
        self._settled_frames = 0
        self._settled = rest
        self._leave_left = 0
        self._heard_quiet = False

    def follow(self, other: "PostProcessor") -> None:
        """Take over from another one of the same vectors: its pose and what the voice does."""
        self._shown = self._raw = other._shown
        self._voice.state = other._voice.state

    def settle(self) -> None:
        """Let the pose stop within 200 ms, then ease to rest, until the voice begins anew."""
        if self._settling is None:
            self._settling = Settling(
                self._before, self._shown, self._rest, skeleton=self._skeleton, fps=self._fps
            )
            self._settled_frames = self._leave_left = 0
        self._heard_quiet = False

    def __call__(self, directions: Float32, voice: float, *, reset: bool) -> Posed:
        """Finish one pose: [D, 3] of any length, in the skeleton's axes.

        A vector shorter than 0.3 or not finite has no direction: it keeps its
        last one. `reset` says that this pose does not follow from the one
        before: it is reached from there within 300 ms.
        """
        state = self._voice(voice)
        self._raw = unit(directions, self._raw)
        if reset:
            self._blend_from, self._blend_left = self._shown, self._blend_frames
        pose = self._raw
        if self._blend_left:
            done = 1.0 - self._blend_left / (self._blend_frames + 1)
            pose = blend(self._blend_from, pose, ease(done))
            self._blend_left -= 1
        pose = self._interrupted(pose, state)
        self._before, self._shown = self._shown, pose
        return self._finish(pose, state)

    def _interrupted(self, pose: Float32, state: VoiceState) -> Float32:
        """Return the pose of an interrupt that lasts or has just ended, else the stream's."""
        self._heard_quiet |= state != "speaking"
        enough = self._heard_quiet or self._settled_frames >= self._silent_frames
        if self._settling is not None and state == "speaking" and enough:
            self._settling, self._leave_left = None, self._blend_frames
        if self._settling is not None:
            self._settled_frames += 1
            self._settled = self._settling()
            return self._settled
        if self._leave_left:
            done = 1.0 - self._leave_left / (self._blend_frames + 1)
            self._leave_left -= 1
            return blend(self._settled, pose, ease(done))
        return pose

    def _finish(self, pose: Float32, state: VoiceState) -> Posed:
        posing = self._retarget(pose)
        positions = self._skeleton.to_vrm(self._skeleton.positions(pose)) + self._anchor
        return Posed(
            rotations=_frozen(posing.rotations),
            root=_frozen(posing.root),
            positions=_frozen(positions),
            directions=_frozen(pose),
            state=state,
        )


def unit_rest(skeleton: Skeleton) -> Float32:
    """Return the mean pose [D, 3] of a skeleton as unit vectors."""
    up = np.zeros_like(skeleton.mean)
    up[:, 1] = skeleton.axes[1]
    return unit(skeleton.mean, up, least=1e-3)


def _anchor(skeleton: Skeleton) -> Float32:
    """Return where the root joint stands, so that the pelvis has the rest height.

    Skeletons whose root is a point of the spine hang it on the upper chest.
    """
    bone = BONE_INDEX["hips" if skeleton.joints[skeleton.root_joint] == "pelvis" else "upperChest"]
    place = np.zeros(3, np.float32)
    while bone >= 0:
        place = place + REST_OFFSETS[bone]
        bone = PARENTS[bone]
    return place.astype(np.float32)


def _frozen(array: Float32) -> Float32:
    if array.flags.writeable:
        array.flags.writeable = False
    return array
