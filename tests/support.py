"""What tests of any kind share."""

import asyncio
import heapq
import os

import pytest

_TURNS = 25


def require(available: bool, reason: str) -> None:
    """Skip the test with a reason when a system part is missing; fail in CI.

    A part that CI must have (PulseAudio, Chromium) would otherwise go untested
    without anyone noticing.
    """
    if available:
        return
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"CI must provide this: {reason}", pytrace=False)
    pytest.skip(reason)


class ManualTime:
    """A clock that moves when a test says so, and the `sleep` that goes by it.

    Pass the object itself as the clock and its `sleep` in place of
    `asyncio.sleep`.
    """

    def __init__(self, start: float = 1_000.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def __call__(self) -> float:
        """Return the time."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved so far."""
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now + seconds, self._count, wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Move the clock, waking each sleeper at its time and letting it act."""
        until = self._now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= until + 1e-9:
            due, _, wake = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            if not wake.done():
                wake.set_result(None)
            await self.settle()
        self._now = until

    async def jump(self, seconds: float) -> None:
        """Move the clock at once, as after a standstill; whoever slept wakes late."""
        self._now += seconds
        await self.advance(0)

    async def settle(self) -> None:
        """Let every task run until it waits again."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
