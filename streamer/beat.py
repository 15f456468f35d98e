"""The frames of one step, handed out one by one to the beat of the stream."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Beat(Generic[T]):
    """Spreads what one step of K frames put out at once; the event loop's alone.

    The first goes on at once, the others each `period_s` later, so that every
    frame comes equally long after its own audio and viewers see an even
    stream. Whatever still waits when the next step is done goes on before it:
    nothing is lost, reordered or delayed for good. emit: takes each in order.
    """

    def __init__(self, period_s: float, emit: Callable[[T], None]) -> None:
        self._period_s = period_s
        self._emit = emit
        self._waiting = deque[tuple[float, T]]()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many have not gone on yet."""
        return len(self._waiting)

    def put(self, items: Sequence[T]) -> None:
        """Hand on the first, and the others in their time."""
        self.flush()
        if len(items) > 1:
            began = asyncio.get_running_loop().time()
            self._waiting.extend(
                (began + n * self._period_s, item) for n, item in enumerate(items) if n
            )
            self._arm()
        for item in items[:1]:
            self._emit(item)

    def flush(self) -> None:
        """Hand on now whatever waits."""
        self._disarm()
        while self._waiting:
            self._emit(self._waiting.popleft()[1])

    def cancel(self) -> None:
        """Forget whatever waits."""
        self._disarm()
        self._waiting.clear()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self._waiting[0][0], self._due)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        _, item = self._waiting.popleft()
        if self._waiting:
            self._arm()
        self._emit(item)
