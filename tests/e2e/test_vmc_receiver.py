"""VMC over real sockets: a strict receiver at 60 Hz, one that is away, one that comes later."""

import asyncio
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.humanoid import BONE_INDEX, BONES
from streamer.sinks.vmc import VmcSink
from streamer.types import SkeletonFrame
from tests.evmc4u import Receiver


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        yield udp


def frame(index: int) -> SkeletonFrame:
    """The head turns from side to side, twice a second."""
    rotations = np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1))
    turn = Rotation.from_euler("y", 30 * np.sin(index / 15 * 4 * np.pi), degrees=True)
    rotations[BONE_INDEX["head"]] = turn.as_quat()
    return SkeletonFrame(
        index=index,
        sample=round(index * 16_000 / 15),
        rotations=rotations,
        root=np.zeros(3, np.float32),
        positions=np.zeros((1, 3), np.float32),
        directions=np.zeros((1, 3), np.float32),
        state="speaking",
        reset=False,
        captured_at=0.0,
        emitted_at=0.0,
    )


async def receive(listener: socket.socket, receiver: Receiver, frames: int) -> None:
    """Take datagrams until the receiver holds so many frames."""
    loop = asyncio.get_running_loop()
    while len(receiver.frames) < frames:
        receiver.take(await asyncio.wait_for(loop.sock_recv(listener, 4096), 10))


async def test_sixty_smooth_frames_a_second_from_fifteen(listener: socket.socket) -> None:
    """Each model frame is handed over when four output frames have come, as on a live clock."""
    receiver, sink = Receiver(), VmcSink(*listener.getsockname())
    began = time.perf_counter()
    for index in range(20):
        await sink.send(frame(index))
        await receive(listener, receiver, 4 * (index + 1))
    took = time.perf_counter() - began
    spoken = len(receiver.frames)
    await receive(listener, receiver, spoken + 30)  # no frames come any more
    await sink.aclose()
    # 80 frames at 60 Hz take 1.32 s; a loaded machine may be late, never early.
    assert 1.25 < took < 4
    assert sink.frames >= len(receiver.frames)
    assert sink.rejected == 0
    times = [f.time for f in receiver.frames if f.time is not None]
    assert times == sorted(times)
    heads = np.array([f.bones["Head"][3:] for f in receiver.frames])
    steps = np.degrees(2 * np.arccos(np.clip((heads[1:] * heads[:-1]).sum(-1), -1, 1)))
    assert steps.max() < 30, "a model frame is up to 24 degrees; at 60 Hz it comes in parts"
    assert np.median(steps[:spoken]) > 1, "and it does move"
    np.testing.assert_allclose(heads[-20:], heads[-1:].repeat(20, 0), atol=1e-6)


async def test_a_receiver_that_is_away_is_counted_and_may_come_later() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    sink = VmcSink(*address)
    for index in range(6):
        await sink.send(frame(index))
        for _ in range(10):
            sink.tick()
    assert sink.frames == 60
    if hasattr(socket, "AF_UNIX"):  # Windows does not report refused datagrams to a sender
        assert sink.unsent > 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(address)
        late.setblocking(False)
        receiver = Receiver()
        await sink.send(frame(6))
        await receive(late, receiver, 5)
        unsent = sink.unsent
        await receive(late, receiver, 10)
        assert sink.unsent == unsent
    await sink.aclose()
