"""What a viewer costs: encoding a frame, and taking it to many clients at once."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection

from streamer.wire import BINARY_SUBPROTOCOL, INCLUDES, JSON_SUBPROTOCOL, frame_bytes, frame_json
from tests.serving import make_frame, serving, viewer

FRAMES = 150


def percentiles(seconds: list[float]) -> str:
    p50, p95, p99 = np.percentile(np.array(seconds) * 1e3, [50, 95, 99])
    return f"p50 {p50:.3f} ms, p95 {p95:.3f} ms, p99 {p99:.3f} ms"


@pytest.mark.parametrize("encode", [frame_json, frame_bytes])
@pytest.mark.parametrize("include", [frozenset[str](), INCLUDES], ids=["rotations", "all"])
def test_encoding(encode: Callable[..., str | bytes], include: frozenset[str]):
    frame = make_frame(1)
    times = list[float]()
    for _ in range(2000):
        began = time.perf_counter()
        message = encode(frame, 1, include)
        times.append(time.perf_counter() - began)
    print(f"\n{encode.__name__} {len(message)} B: {percentiles(times)}")
    assert np.median(times) < 1e-3


@pytest.mark.parametrize("viewers", [1, 50, 250])
@pytest.mark.parametrize("subprotocol", [JSON_SUBPROTOCOL, BINARY_SUBPROTOCOL])
async def test_broadcast(tmp_path, viewers: int, subprotocol: str):
    """From `send` to the last client's reading it; clients share the server's core here."""
    left = list[float]()
    ages = list[float]()
    all_read = asyncio.Event()

    async def watch(ws: ClientConnection) -> None:
        for seq in range(FRAMES):
            await ws.recv()
            ages.append(time.perf_counter() - left[seq])
            if len(ages) % viewers == 0:
                all_read.set()
            await ws.send(json.dumps({"type": "ack", "seq": seq}))

    async with (
        serving(tmp_path) as (server, url),
        AsyncExitStack() as connections,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(viewers):
            ws, _ = await connections.enter_async_context(viewer(url, subprotocol))
            group.create_task(watch(ws))
        sending = list[float]()
        for index in range(FRAMES):
            frame = make_frame(index, captured_at=time.perf_counter())
            left.append(time.perf_counter())
            await server.sink.send(frame)
            sending.append(time.perf_counter() - left[-1])
            await all_read.wait()
            all_read.clear()
    print(f"\n{viewers} viewers, {subprotocol}: arrival {percentiles(ages)}")
    print(f"    time in send(): {percentiles(sending)}")
    assert len(ages) == FRAMES * viewers
    assert np.median(ages) < 0.25
