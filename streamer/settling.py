"""How an interrupted pose stops, and how it then comes to rest: pure.

It stops first: each vector goes on along its own arc, ever more slowly, and
stands still before 200 ms have passed. Then it eases home so slowly that it
reads as letting go, not as a gesture.
"""

import math
from itertools import pairwise
from typing import Final

from streamer.skeleton import Skeleton
from streamer.types import Float32
from streamer.vectors import blend, ease, onward

STOP_S: Final = 0.2
"""From the interrupt until nothing moves, display included: a frame may be waited
for, and a client shows each pose on its way from the one before."""
HOME_M_S: Final = 0.38
"""How fast the fastest joint goes home, at most."""
HOME_S: Final = 1.0
"""How long the way home takes, at least."""

_SAMPLES = 12


class Settling:
    """The poses of one interrupt, in order, endless: the last one is `rest`.

    before, shown: the last two poses, rest: where to, all [D, 3] unit vectors.
    """

    def __init__(
        self, before: Float32, shown: Float32, rest: Float32, *, skeleton: Skeleton, fps: float
    ) -> None:
        self._before = before
        self._shown = shown
        self._rest = rest
        self._skeleton = skeleton
        self._fps = fps
        self._stops = stopping(fps)
        self._stopped: Float32 | None = None
        self._frames = 0
        self._home = 1

    def __call__(self) -> Float32:
        """Return the next pose."""
        self._frames += 1
        if self._frames <= len(self._stops):
            return onward(self._before, self._shown, sum(self._stops[: self._frames]))
        if self._stopped is None:
            self._stopped = onward(self._before, self._shown, sum(self._stops))
            self._home = self._frames_home(self._stopped)
        done = (self._frames - len(self._stops)) / self._home
        return blend(self._stopped, self._rest, ease(min(done, 1.0)))

    def _frames_home(self, pose: Float32) -> int:
        """Return how many frames the way home takes, for the joint with the longest way."""
        path = [
            self._skeleton.positions(blend(pose, self._rest, i / _SAMPLES))
            for i in range(_SAMPLES + 1)
        ]
        fastest = max(
            float(((b - a) ** 2).sum(-1).max()) ** 0.5 * _SAMPLES for a, b in pairwise(path)
        )
        # `ease` is at most 1.5 times as fast as an even way.
        return math.ceil(max(1.5 * fastest / HOME_M_S, HOME_S) * self._fps)


def stopping(fps: float) -> tuple[float, ...]:
    """Return the speeds of the frames in which a pose stops, as shares of what it had."""
    frames = max(math.floor(STOP_S * fps) - 1, 1)
    return tuple(1.0 - ease(k / (frames + 1)) for k in range(1, frames + 1))
