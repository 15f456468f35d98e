"""A bounded queue of frames and events with one policy for when it is full."""

import asyncio
from collections import deque

from streamer.errors import GestureError
from streamer.sinks.base import Policy
from streamer.types import Event, SkeletonFrame

Item = SkeletonFrame | Event

EVENTS = 1_000
"""Events that may wait; they are never dropped, so more of them is a failure."""


class OutboxFull(GestureError):
    """Whoever takes from this queue is too slow for what may never be dropped."""


class Outbox:
    """Frames and events in order, for one taker; the event loop's alone.

    At most `frames` frames wait. Beyond that `latest` drops the oldest frame
    and counts it in `dropped`; `every` raises `OutboxFull`.
    """

    def __init__(self, policy: Policy, frames: int) -> None:
        self._policy = policy
        self._limit = frames
        self._items = deque[Item]()
        self._frames = 0
        self._changed = asyncio.Event()
        self._closed = False
        self.dropped = 0

    @property
    def frames(self) -> int:
        """Frames that wait."""
        return self._frames

    def put(self, item: Item) -> None:
        """Add a frame or an event; raises `OutboxFull` where nothing may be dropped."""
        if self._closed:
            return
        if isinstance(item, SkeletonFrame):
            if self._frames >= self._limit:
                self._drop_oldest()
            self._frames += 1
        elif len(self._items) - self._frames >= EVENTS:
            raise OutboxFull(f"{EVENTS} events wait and none was taken")
        self._items.append(item)
        self._changed.set()

    async def get(self) -> Item | None:
        """Wait for the next item; None after the last one of a closed queue."""
        while not self._items:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        item = self._items.popleft()
        self._frames -= isinstance(item, SkeletonFrame)
        return item

    def close(self) -> None:
        """Take no more; what waits can still be taken."""
        self._closed = True
        self._changed.set()

    def _drop_oldest(self) -> None:
        if self._policy == "every":
            raise OutboxFull(f"{self._limit} frames wait, and none may be dropped")
        oldest = next(i for i, item in enumerate(self._items) if isinstance(item, SkeletonFrame))
        del self._items[oldest]
        self._frames -= 1
        self.dropped += 1
