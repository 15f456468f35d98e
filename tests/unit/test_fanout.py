import asyncio

import numpy as np
import pytest

from streamer.outbox import EVENTS, Outbox, OutboxFull
from streamer.sinks.base import Policy
from streamer.sinks.fanout import EVERY_FRAMES, Fanout
from streamer.types import Event, SkeletonFrame
from tests.fakes import ManualClock


def frame(index: int) -> SkeletonFrame:
    zero = np.zeros((1, 3), np.float32)
    return SkeletonFrame(
        index=index,
        sample=index * 1_067,
        rotations=zero,
        root=zero[0],
        positions=zero,
        directions=zero,
        state="idle",
        reset=False,
        captured_at=99.0,
        emitted_at=100.0,
    )


WORD = Event(kind="word", sample=1, data={"text": "hi"})


class Recorder:
    """A sink that notes what it gets; with `gate` it waits there first."""

    def __init__(self, policy: Policy, gate: asyncio.Event | None = None, fail: int = -1) -> None:
        self.policy: Policy = policy
        self.name = f"recorder {policy}"
        self.frames: list[int] = []
        self.events: list[Event] = []
        self.closed = 0
        self.entered = asyncio.Event()
        self._gate = gate
        self._fail = fail

    async def send(self, frame: SkeletonFrame) -> None:
        self.entered.set()
        if self._gate is not None:
            await self._gate.wait()
        if frame.index == self._fail:
            raise OSError("disk full")
        self.frames.append(frame.index)

    async def event(self, event: Event) -> None:
        self.events.append(event)

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_slow_viewer_gets_the_newest_and_slows_nobody() -> None:
    gate = asyncio.Event()
    slow, quick, file = Recorder("latest", gate), Recorder("latest"), Recorder("every", gate)
    slow.name = "slow"
    fanout = Fanout([slow, quick, file], clock=ManualClock(), measured=quick)
    fanout.put(frame(0))
    await slow.entered.wait()
    await file.entered.wait()
    for i in range(1, 10):
        fanout.put(frame(i))
        if i == 4:
            fanout.put(WORD)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert quick.frames == list(range(10)), "nobody waited for the slow ones"
    gate.set()
    await fanout.aclose()
    assert slow.frames == [0, 7, 8, 9]
    assert slow.events == [WORD], "events are never dropped"
    assert file.frames == list(range(10))
    assert fanout.dropped["slow"] == 6
    assert (slow.closed, quick.closed, file.closed) == (1, 1, 1)
    assert fanout.wire_times.count == 10
    assert fanout.wire_times.percentile_ms(50) == pytest.approx(1_000)


async def test_a_failing_sink_is_closed_and_reported_and_the_others_go_on() -> None:
    bad, good = Recorder("every", fail=2), Recorder("every")
    bad.name = "file out.jsonl"
    fanout = Fanout([bad, good], clock=ManualClock())
    for i in range(5):
        fanout.put(frame(i))
    await asyncio.wait_for(asyncio.shield(fanout._tasks[0]), 5)
    fanout.put(frame(5))
    await fanout.aclose()
    assert bad.frames == [0, 1]
    assert bad.closed == 1
    assert good.frames == [0, 1, 2, 3, 4, 5]
    (warning,) = good.events
    assert warning.kind == "warning"
    assert warning.data["message"] == "file out.jsonl failed and was closed: disk full"
    assert fanout.failed == {"file out.jsonl": "disk full"}


async def test_a_file_that_falls_behind_for_ever_has_failed() -> None:
    gate = asyncio.Event()
    file = Recorder("every", gate)
    fanout = Fanout([file], clock=ManualClock())
    for i in range(EVERY_FRAMES + 1):
        fanout.put(frame(i))
    assert "frames wait" in fanout.failed[file.name]
    gate.set()
    await fanout.aclose()
    assert file.frames == list(range(EVERY_FRAMES)), "what it had been given is not lost"


async def test_room_waits_for_files() -> None:
    gate = asyncio.Event()
    file = Recorder("every", gate)
    fanout = Fanout([file], clock=ManualClock())
    for i in range(EVERY_FRAMES // 2 + 2):
        fanout.put(frame(i))
    waiting = asyncio.create_task(fanout.room())
    await file.entered.wait()
    assert not waiting.done()
    gate.set()
    await waiting
    await fanout.aclose()
    assert len(file.frames) == EVERY_FRAMES // 2 + 2


async def test_an_outbox_holds_events_to_a_bound() -> None:
    outbox = Outbox("latest", 2)
    for i in range(4):
        outbox.put(frame(i))
        outbox.put(WORD)
    outbox.close()
    outbox.put(frame(9))
    got = []
    while (item := await outbox.get()) is not None:
        got.append(item.index if isinstance(item, SkeletonFrame) else "word")
    assert got == ["word", "word", 2, "word", 3, "word"]
    assert outbox.dropped == 2


async def test_events_that_nobody_takes_are_a_failure() -> None:
    outbox = Outbox("latest", 1)
    for _ in range(EVENTS):
        outbox.put(WORD)
    with pytest.raises(OutboxFull, match="events wait"):
        outbox.put(WORD)
