"""Frames that come in bursts, handed out to the beat of the audio clock."""

from collections import deque
from typing import Final

from streamer.client.clock import StreamClock
from streamer.clock import SAMPLE_RATE
from streamer.types import Event, Hello
from streamer.wire import WireFrame

Item = Hello | WireFrame | Event

MOST_FRAMES: Final = 32
MOST_ITEMS: Final = 1024


class JitterBuffer:
    """Keeps what arrived in order; the head is due when the clock reaches its sample.

    A frame that is late is due at once, and so are events, which keep their
    place between frames. Who reads too slowly loses the oldest frames
    (`MOST_FRAMES`), who never reads also the oldest events; both are counted.
    most_jitter_s: the most that a frame waits for the beat; 0 for no waiting.
    """

    def __init__(self, *, most_jitter_s: float) -> None:
        self._paced = most_jitter_s > 0
        self._clock = StreamClock(most_jitter_s=most_jitter_s)
        self._items: deque[Item] = deque()
        self._frames = self._hellos = 0
        self.dropped = 0

    @property
    def jitter_s(self) -> float:
        """What frames wait for now, beyond the earliest."""
        return self._clock.jitter_s if self._paced else 0.0

    def push(self, item: Item, at: float) -> None:
        """Take what arrived at a local time in seconds; a hello starts a new stream."""
        match item:
            case Hello():
                self._clock.reset()
                self._hellos += 1
            case WireFrame():
                self._clock.arrive(item.sample / SAMPLE_RATE, at, fresh=item.reset)
                self._frames += 1
            case Event():
                pass
        self._items.append(item)
        if self._frames > MOST_FRAMES:
            self._drop_oldest_frame()
        elif len(self._items) > MOST_ITEMS:
            self.pop()
            self.dropped += 1

    def wait(self, now: float) -> float | None:
        """Return in how many seconds the head is due, 0 for now, None when empty."""
        if not self._items:
            return None
        head = self._items[0]
        # Before a hello lie frames of an earlier stream, which the clock has left.
        if not isinstance(head, WireFrame) or not self._paced or self._hellos:
            return 0.0
        return max(0.0, head.sample / SAMPLE_RATE - self._clock.time(now))

    def pop(self) -> Item:
        """Return the head; there must be one."""
        item = self._items.popleft()
        self._frames -= isinstance(item, WireFrame)
        self._hellos -= isinstance(item, Hello)
        return item

    def _drop_oldest_frame(self) -> None:
        for i, item in enumerate(self._items):
            if isinstance(item, WireFrame):
                del self._items[i]
                self._frames -= 1
                self.dropped += 1
                return
