"""A viewer that stops reading: it catches up at once, and nobody else notices."""

import asyncio
import json
import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from streamer.types import Event
from streamer.wire import BINARY_SUBPROTOCOL, Layout, decode_frame_bytes
from tests.serving import HELLO, make_frame, serving, soon, until, viewer

LAYOUT = Layout.of(HELLO)
OLDEST_S = 0.3


class Stream:
    """Sends a frame every `period` seconds, and remembers when each left."""

    def __init__(self, server: Any, period: float) -> None:
        self._server = server
        self._period = period
        self.left: list[float] = []

    async def run(self) -> None:
        start = time.perf_counter()
        while True:
            index = len(self.left)
            self.left.append(time.perf_counter())
            await self._server.sink.send(make_frame(index, captured_at=self.left[-1]))
            if index % 10 == 0:
                event = Event(kind="caption", sample=index, data={"text": str(index)})
                await self._server.sink.event(event)
            await asyncio.sleep(max(0.0, start + (index + 1) * self._period - time.perf_counter()))


async def keep_up(ws: ClientConnection, stream: Stream, ages: list[float], gaps: list[int]) -> None:
    """Read and acknowledge; note each frame's age and the frames missed before it."""
    last = None
    while True:
        message = await ws.recv()
        if isinstance(message, str):
            continue
        frame = decode_frame_bytes(message, LAYOUT)
        ages.append(time.perf_counter() - stream.left[frame.index])
        await ws.send(json.dumps({"type": "ack", "seq": frame.seq}))
        gaps.append(0 if last is None else frame.seq - last - 1)
        last = frame.seq


async def stall(tmp_path: Any, *, seconds: float, period: float) -> None:
    async with (
        serving(tmp_path) as (server, url),
        # max_queue=1: the library itself stops reading the socket at once.
        viewer(url, BINARY_SUBPROTOCOL, max_queue=1, ping_interval=None) as (slow, _),
        viewer(url, BINARY_SUBPROTOCOL) as (good, _),
    ):
        stream = Stream(server, period)
        ages, gaps = list[float](), list[int]()
        tasks = [
            asyncio.create_task(stream.run()),
            asyncio.create_task(keep_up(good, stream, ages, gaps)),
        ]
        for _ in range(5):  # it reads at first
            message = await soon(slow.recv())
            if isinstance(message, bytes):
                seq = decode_frame_bytes(message, LAYOUT).seq
                await slow.send(json.dumps({"type": "ack", "seq": seq}))
        frames = len(stream.left) + seconds / period
        await until(lambda: len(stream.left) >= frames, seconds + 5)

        resumed = time.perf_counter()
        fresh: float | None = None
        stale = 0
        captions = list[int]()
        warned = False
        while fresh is None:
            message = await soon(slow.recv())
            if isinstance(message, str):
                event = json.loads(message)
                captions += [event["sample"]] if event["event"] == "caption" else []
                warned |= event["event"] == "warning"
                continue
            frame = decode_frame_bytes(message, LAYOUT)
            await slow.send(json.dumps({"type": "ack", "seq": frame.seq}))
            if stream.left[frame.index] >= resumed - OLDEST_S:
                fresh = time.perf_counter() - stream.left[frame.index]
            else:
                stale += 1
        caught_up = time.perf_counter() - resumed
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(r, asyncio.CancelledError) for r in results), results
    # What was on its way when it stopped reading, at most the window; then the newest.
    assert stale <= 4
    assert fresh < OLDEST_S
    assert caught_up < OLDEST_S
    assert warned
    # No event was dropped, whatever happened to the frames.
    sent = range(0, stream.left.index(max(t for t in stream.left if t <= resumed)), 10)
    assert set(sent) - set(captions) <= set(range(0, 10, 10))  # those read before the stall
    # The other viewer got every frame, each at once.
    assert len(ages) > 0.9 * seconds / period
    assert sum(gaps) == 0
    assert sorted(ages)[int(0.99 * len(ages))] < 0.1


async def test_a_viewer_that_stood_still_for_two_seconds(tmp_path):
    await stall(tmp_path, seconds=2.0, period=0.02)


@pytest.mark.slow
async def test_a_viewer_that_stood_still_for_twenty_seconds(tmp_path):
    await stall(tmp_path, seconds=20.0, period=1 / 15)


async def test_a_socket_that_takes_nothing_is_closed_once_too_many_events_wait(tmp_path):
    """The kernel's buffers fill first, so the events are large; others go on."""
    text = "x" * 60_000
    async with (
        serving(tmp_path) as (server, url),
        viewer(url, max_queue=1, ping_interval=None, close_timeout=0.1),
        viewer(url) as (good, _),
    ):
        for sent in range(600):
            event = Event(kind="caption", sample=sent, data={"text": text})
            await server.sink.event(event)
            assert json.loads(await soon(good.recv()))["sample"] == sent
        await until(lambda: server.sink.viewers == 1)
        await server.sink.send(make_frame(0))
        assert json.loads(await soon(good.recv()))["index"] == 0
