"""Where a stream is now, judged from when its frames arrive.

The same estimator as `clients/web/src/clock.ts` and the Unity and Unreal cores;
`tests/e2e/test_client_time.py` holds them to each other.
"""

from bisect import bisect_left, insort
from collections import deque
from typing import Final

WINDOW_S: Final = 8.0
JUMP_S: Final = 0.25
JUMP_FRAMES: Final = 8
SLEW: Final = 0.03
"""How fast corrections are followed, as a part of the speed of time."""

MOST_JITTER_S: Final = 0.045


class StreamClock:
    """Estimates the stream time of the newest frame that could be here by now.

    A frame is never early, only late: the least delay of a window is the true
    offset between the clocks, whatever bursts and stalls lie between. Drift is
    followed so slowly that nobody sees it; a real jump of the stream is taken
    at once. All times are seconds.

    most_jitter_s: bounds what playback waits for late frames.
    """

    def __init__(self, *, most_jitter_s: float = MOST_JITTER_S) -> None:
        self._most = most_jitter_s
        self.reset()

    def reset(self) -> None:
        """Forget everything: the stream starts anew."""
        self._arrivals: deque[tuple[float, float]] = deque()
        self._delays: list[float] = []
        self._target: float | None = None
        self._offset = 0.0
        self._margin = self._wanted = 0.0
        self._jumped = 0
        self._last: float | None = None

    @property
    def synced(self) -> bool:
        """Whether a frame has come."""
        return self._target is not None

    @property
    def jitter_s(self) -> float:
        """What playback waits beyond the earliest frames: nine of ten come in time."""
        return self._margin

    def arrive(self, stream: float, at: float, *, fresh: bool = False) -> None:
        """Note a frame of a stream time that arrived at a local time.

        fresh: it may follow a gap, so that even one late frame is a jump.
        """
        delay = at - stream
        if self._target is not None:
            self._jumped = self._jumped + 1 if delay - self._target > JUMP_S else 0
            moved = self._jumped >= (1 if fresh else JUMP_FRAMES)
            if moved or self._target - delay > JUMP_S:
                self.reset()
        if self._target is None:
            self._offset = delay
        self._arrivals.append((at, delay))
        insort(self._delays, delay)
        while at - self._arrivals[0][0] > WINDOW_S:
            _, gone = self._arrivals.popleft()
            del self._delays[bisect_left(self._delays, gone)]
        self._target = self._delays[0]
        late = self._delays[int(0.9 * (len(self._delays) - 1))] - self._target
        self._wanted = min(late, self._most)
        if abs(self._target - self._offset) > JUMP_S:  # after a pause longer than the window
            self._offset = self._target

    def time(self, at: float, behind: float = 0.0) -> float:
        """Return the stream time to show at a local time, `behind` the newest frame."""
        step = float("inf") if self._last is None else max(0.0, at - self._last) * SLEW
        self._last = at
        target = self._offset if self._target is None else self._target
        self._offset = _approach(self._offset, target, step)
        self._margin = _approach(self._margin, self._wanted, step)
        return at - self._offset - self._margin - behind


def _approach(value: float, target: float, step: float) -> float:
    return min(value + step, target) if value < target else max(value - step, target)
