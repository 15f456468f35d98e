"""The pose to show now: the stream, a hold while it stalls, or nothing."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from streamer.client.clock import StreamClock
from streamer.clock import SAMPLE_RATE
from streamer.interpolation import PoseInterpolator
from streamer.retarget import Pose
from streamer.rotation import slerp_all
from streamer.types import Float32, Hello, VoiceState
from streamer.wire import WireFrame

Mode = Literal["rest", "live", "held"]

HOLD_S: Final = 1.2
"""A stream that stalls for longer gives the avatar back."""

EASE_IN_S: Final = 0.6
EASE_OUT_S: Final = 1.4
CATCH_UP_S: Final = 0.3
"""After a hold or a reset."""

STALL_FRAMES: Final = 1.5

GAP_S: Final = 1.0
"""A gap between two frames that is blended over, not interpolated through."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """What to draw: rotations [B, 4] and root [3] as in a frame.

    weight: 1 while the stream lives, easing to 0 when it is away: blend with
    the avatar's own idle pose by it. sample: of the audio that belongs to it.
    """

    rotations: Float32
    root: Float32
    weight: float
    mode: Mode
    state: VoiceState
    sample: float


class Playback:
    """Turns frames into poses at the display's rate; times are local seconds.

    One frame behind the newest, so that there are two to interpolate between,
    and by `jitter_s` more where the network is uneven.
    """

    def __init__(self) -> None:
        self._fps = 15.0
        self._clock = StreamClock()
        self._poses = PoseInterpolator()
        self._newest: WireFrame | None = None
        self._pose = _identity(0)
        self._from = self._pose
        self._blend_start = -float("inf")
        self._mode: Mode = "rest"
        self._weight = 0.0
        self._last: float | None = None

    @property
    def jitter_s(self) -> float:
        """What it waits for late frames, beyond the one frame."""
        return self._clock.jitter_s

    def begin(self, hello: Hello, at: float) -> None:
        """Start on a stream; what is shown of an earlier one is blended out."""
        self._fps = hello.fps
        self._clock.reset()
        self._clear(at)
        if len(hello.bones) != len(self._pose.rotations):
            self._pose = self._from = _identity(len(hello.bones))

    def push(self, frame: WireFrame, at: float) -> None:
        """Take a frame of the stream that has begun; it arrived at a local time."""
        if (newest := self._newest) is not None:
            step = frame.sample - newest.sample
            if frame.reset or not 0 <= step <= GAP_S * SAMPLE_RATE:
                self._clear(at)
                newest = None
        self._clock.arrive(frame.sample / SAMPLE_RATE, at, fresh=frame.reset)
        if newest is None or frame.sample > newest.sample:
            pose = Pose(rotations=frame.rotations, root=frame.root)
            if self._poses.push(pose, frame.sample / SAMPLE_RATE):
                self._newest = frame

    def update(self, at: float) -> Shown:
        """Return what to draw at a local time."""
        time = self._clock.time(at, 1 / self._fps) if self._newest is not None else 0.0
        mode = self._follow(time)
        if mode == "live" != self._mode:
            self._blend(at)
        self._mode = mode
        step = 0.0 if self._last is None else max(0.0, at - self._last)
        self._last = at
        if mode == "rest":
            self._weight = max(0.0, self._weight - step / EASE_OUT_S)
        else:
            self._weight = min(1.0, self._weight + step / EASE_IN_S)
        if (target := self._poses.sample(time)) is not None:
            share = _smooth((at - self._blend_start) / CATCH_UP_S)
            self._pose = target if share >= 1 else _between(self._from, target, share)
        return Shown(
            rotations=self._pose.rotations,
            root=self._pose.root,
            weight=_smooth(self._weight),
            mode=mode,
            state=self._newest.state if self._newest is not None and mode != "rest" else "idle",
            sample=time * SAMPLE_RATE,
        )

    def _follow(self, time: float) -> Mode:
        if self._newest is None:
            return "rest"
        starved = time - self._newest.sample / SAMPLE_RATE
        if starved > HOLD_S:
            return "rest"
        if starved > STALL_FRAMES / self._fps:
            return "held"
        # Leaving rest or a hold: only once fresh frames are there.
        return self._mode if self._mode != "live" and starved > 0 else "live"

    def _clear(self, at: float) -> None:
        self._poses = PoseInterpolator()
        self._newest = None
        self._blend(at)

    def _blend(self, at: float) -> None:
        self._from = self._pose
        self._blend_start = at


def _identity(bones: int) -> Pose:
    rotations = np.tile(np.array([0, 0, 0, 1], np.float32), (bones, 1))
    return Pose(rotations=rotations, root=np.zeros(3, np.float32))


def _between(a: Pose, b: Pose, share: float) -> Pose:
    return Pose(
        rotations=slerp_all(a.rotations, b.rotations, share),
        root=(a.root + share * (b.root - a.root)).astype(np.float32),
    )


def _smooth(share: float) -> float:
    t = min(max(share, 0.0), 1.0)
    return t * t * (3 - 2 * t)
