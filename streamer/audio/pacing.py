"""Releases recorded samples at the pace of a clock."""

import asyncio
from collections.abc import Awaitable, Callable

from streamer.clock import SAMPLE_RATE, Clock

Sleep = Callable[[float], Awaitable[object]]
"""Waits for so many seconds; `asyncio.sleep`, or a manual one in tests."""


class Pacer:
    """Waits until a session sample would have been captured.

    Sample 0 is captured at the first call. Every wait is measured from there,
    so that late wake-ups never add up to drift.
    """

    def __init__(self, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._began: float | None = None

    async def until(self, sample: int) -> float:
        """Wait until a sample's time has come; return that time, in the clock's seconds."""
        if self._began is None:
            self._began = self._clock()
        due = self._began + sample / SAMPLE_RATE
        while (wait := due - self._clock()) > 0:
            await self._sleep(wait)
        return due
