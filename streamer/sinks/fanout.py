"""One stream to many sinks, each at its own pace."""

import asyncio
import logging
from collections.abc import Iterable

from streamer.clock import Clock
from streamer.durations import Durations
from streamer.outbox import Item, Outbox, OutboxFull
from streamer.sinks.base import Sink
from streamer.types import Event

_log = logging.getLogger(__name__)

LATEST_FRAMES = 3
"""Frames that wait for a viewer: a burst after a hiccup, no more."""
EVERY_FRAMES = 1_800
"""Frames that wait for a file: 2 minutes of them."""

_CLOSE_S = 5.0


class Fanout:
    """Hands every frame and event to every sink; the event loop's alone.

    Each sink has its own queue and task, so a slow one slows nobody. `latest`
    sinks lose the older frames, which is counted; `every` sinks lose none: one
    that falls 2 minutes behind has failed. A sink that fails is closed and the
    others are told by a `warning` event. measured: the sink whose delay counts.
    """

    def __init__(
        self, sinks: Iterable[Sink], *, clock: Clock, measured: Sink | None = None
    ) -> None:
        self._clock = clock
        self._measured = measured
        self._branches = [_Branch(sink) for sink in sinks]
        self._room = asyncio.Event()
        self._sample = 0
        self.wire_times = Durations()
        """From the capture of a frame's last sample until the `measured` sink has sent it."""
        self._tasks = [asyncio.create_task(self._run(branch)) for branch in self._branches]

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that each `latest` sink did not get."""
        return {b.sink.name: b.outbox.dropped for b in self._branches if b.sink.policy == "latest"}

    @property
    def failed(self) -> dict[str, str]:
        """Why each failed sink was closed."""
        return {b.sink.name: b.failure for b in self._branches if b.failure}

    def put(self, item: Item) -> None:
        """Queue a frame or an event for every sink; never waits."""
        self._sample = max(self._sample, item.sample)
        for branch in self._branches:
            try:
                branch.outbox.put(item)
            except OutboxFull as error:
                self._fail(branch, error)

    async def room(self) -> None:
        """Wait until every `every` sink has room; for streams that can wait."""
        while any(b.outbox.frames > EVERY_FRAMES // 2 for b in self._branches):
            self._room.clear()
            await self._room.wait()

    async def aclose(self) -> None:
        """Deliver what waits and close every sink; a viewer that takes over 5 s is cut off."""
        for branch in self._branches:
            branch.outbox.close()
        pairs = list(zip(self._branches, self._tasks, strict=True))
        viewers = [task for branch, task in pairs if branch.sink.policy == "latest"]
        if viewers:
            _, late = await asyncio.wait(viewers, timeout=_CLOSE_S)
            for task in late:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, branch: "_Branch") -> None:
        sink = branch.sink
        try:
            while (item := await branch.outbox.get()) is not None:
                self._room.set()
                if isinstance(item, Event):
                    await sink.event(item)
                else:
                    await sink.send(item)
                    if sink is self._measured:
                        self.wire_times.add(self._clock() - item.captured_at)
        except Exception as error:  # whatever it is, the other sinks go on
            self._fail(branch, error)
        finally:
            try:
                await sink.aclose()
            except Exception as error:
                self._fail(branch, error)

    def _fail(self, branch: "_Branch", error: Exception) -> None:
        if branch.failure:
            return
        branch.failure = str(error) or repr(error)
        branch.outbox.close()
        message = f"{branch.sink.name} failed and was closed: {branch.failure}"
        _log.warning("%s", message)
        _log.debug("sink %s", branch.sink.name, exc_info=error)
        data = {"code": "sink_failed", "message": message}
        self.put(Event(kind="warning", sample=self._sample, data=data))


class _Branch:
    """One sink with what waits for it."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        frames = LATEST_FRAMES if sink.policy == "latest" else EVERY_FRAMES
        self.outbox = Outbox(sink.policy, frames)
        self.failure = ""
