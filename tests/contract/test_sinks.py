"""One suite over every sink: what a session may rely on.

Another sink joins by a factory in `SINKS`: given a folder for its files, it returns
an open sink.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from streamer.humanoid import BONES
from streamer.sinks.base import Sink
from streamer.sinks.file import open_recording
from streamer.sinks.livelink_face import LiveLinkFaceSink
from streamer.sinks.rokoko import RokokoSink
from streamer.sinks.vmc import VmcSink
from streamer.sinks.vrchat import VrchatSink
from streamer.types import Event, SkeletonFrame
from tests.takes import SPEC
from tests.takes import hello as take_hello

SKELETON = SPEC.skeleton


def vmc_to_nobody(folder: Path) -> Sink:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    sink = VmcSink(*udp.getsockname())
    udp.close()
    return sink


def vrchat_to_nobody(folder: Path) -> Sink:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    sink = VrchatSink(*udp.getsockname(), captions=True, height=1.7)
    udp.close()
    return sink


def take_to(suffix: str) -> Callable[[Path], Sink]:
    return lambda folder: open_recording(folder / f"a{suffix}", take_hello)


def rokoko_to_nobody(folder: Path) -> Sink:
    return RokokoSink("127.0.0.1", free_port(), face=True)


def livelink_to_nobody(folder: Path) -> Sink:
    return LiveLinkFaceSink("127.0.0.1", free_port())


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        return int(udp.getsockname()[1])


SINKS: dict[str, Callable[[Path], Sink]] = {
    "vmc, nobody listening": vmc_to_nobody,
    "vrchat, nobody listening": vrchat_to_nobody,
    "rokoko, nobody listening": rokoko_to_nobody,
    "livelink face, nobody listening": livelink_to_nobody,
    "bvh": take_to(".bvh"),
    "vrma": take_to(".vrma"),
    "npz": take_to(".npz"),
}


@pytest.fixture(params=SINKS)
async def sink(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sink]:
    opened = SINKS[request.param](tmp_path)
    yield opened
    await opened.aclose()


def frame(index: int) -> SkeletonFrame:
    rotations = np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1))
    directions = SKELETON.mean / np.linalg.norm(SKELETON.mean, axis=-1, keepdims=True)
    arrays = {
        "rotations": rotations,
        "root": np.zeros(3, np.float32),
        "positions": SKELETON.positions(directions),
        "directions": directions,
    }
    for array in arrays.values():
        array.flags.writeable = False
    return SkeletonFrame(
        index=index,
        sample=round(index * 16_000 / 15),
        state="speaking",
        reset=index == 3,
        captured_at=index / 15,
        emitted_at=index / 15,
        **arrays,
    )


def test_it_says_what_it_is(sink: Sink) -> None:
    assert sink.name
    assert "\n" not in sink.name
    assert sink.policy in ("latest", "every")


async def test_frames_and_events_are_taken_and_not_written_to(sink: Sink) -> None:
    """Frames are shared by all sinks: their arrays are read-only, and stay as they are."""
    for index in range(6):
        await asyncio.wait_for(sink.send(frame(index)), 5)
        await asyncio.wait_for(sink.event(Event(kind="word", sample=0, data={"text": "so"})), 5)


async def test_frames_may_be_missing(sink: Sink) -> None:
    """`latest` sinks skip frames when the stream is quicker than they are."""
    for index in (0, 1, 5, 30):
        await asyncio.wait_for(sink.send(frame(index)), 5)


async def test_closing_leaves_no_task_behind_and_may_be_repeated(sink: Sink) -> None:
    before = asyncio.all_tasks()
    await sink.send(frame(0))
    await sink.aclose()
    assert asyncio.all_tasks() <= before
    await sink.aclose()
    await sink.send(frame(1))  # a frame that was on its way when the sink closed
    assert asyncio.all_tasks() <= before


async def test_closing_without_a_frame(sink: Sink) -> None:
    await asyncio.wait_for(sink.aclose(), 5)
