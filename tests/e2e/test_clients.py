"""Every client against the real server: what arrives is what the server recorded.

Python, Unity core, Unreal core and the npm package, each under both subprotocols,
watch the same stream at once: undisturbed, with the engine restarted, with 5 % of the time lost
in stalls, with a clock 200 ppm fast, and while they stand still themselves.
`tests/artifacts/clients/matrix.jsonl` gets the figures; `python -m tests.clients.matrix`
runs all of it and prints the table.
"""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamer.server import Server, ServerConfig
from streamer.sinks.file import JsonlSink
from streamer.types import Event
from streamer.wire import Layout, decode_frame_json, dumps
from tests.clients.probes import ALL, BUILT, Frame, Report, command, parse, watch
from tests.serving import FPS, HELLO, check_glb, make_frame, until, ws_url
from tests.support import require

FORMS = ("gesture.v1.bin", "gesture.v1.json")
LIMIT_S = 45.0
"""For a probe that never hears "stop"; starting takes seconds on a busy machine."""

Watchers = dict[tuple[str, str], asyncio.subprocess.Process]


@dataclass
class Engine:
    """A server that can be restarted on its port, and records what it sends."""

    folder: Path
    port: int = 0
    starts: int = 0
    server: Server | None = None
    recordings: list[Path] = field(default_factory=list)
    recording: JsonlSink | None = None

    async def start(self) -> str:
        self.starts += 1
        config = ServerConfig(
            port=self.port,
            avatars=self.folder / "avatars",
            web=self.folder,
            mannequin=self.folder / "none.vrm",
        )
        self.server = Server(config, hello=lambda: HELLO, check_avatar=check_glb)
        url = await self.server.start()
        self.port = int(url.rstrip("/").rsplit(":", 1)[1])
        self.recordings.append(self.folder / f"{self.starts}.jsonl")
        self.recording = JsonlSink(self.recordings[-1], lambda: HELLO)
        return ws_url(url)

    async def stop(self) -> None:
        if self.server is not None:
            assert self.recording is not None
            await self.server.aclose()
            await self.recording.aclose()
            self.server = None

    async def watched(self, by: int) -> None:
        server = self.server
        assert server is not None
        await until(lambda: server.sink.viewers == by, 30)

    async def send(self, index: int) -> None:
        assert self.server is not None
        assert self.recording is not None
        frame = make_frame(index, captured_at=time.perf_counter())
        await self.recording.send(frame)
        await self.server.sink.send(frame)

    async def say(self, text: str) -> None:
        assert self.server is not None
        event = Event(kind="caption", sample=0, data={"text": text, "final": True})
        await self.server.sink.event(event)

    async def play(
        self, frames: int, *, rate: float = 1.0, stall: tuple[int, float] = (0, 0)
    ) -> None:
        """Send frames in real time; `stall`: before which frame to stand still, seconds."""
        start = time.perf_counter()
        for index in range(frames):
            due = start + index / (FPS * rate)
            if index == stall[0]:
                due += stall[1]
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await self.send(index)


@asynccontextmanager
async def watching(engine: Engine) -> AsyncIterator[Watchers]:
    for client in ALL:
        command(client)  # compiles before the clock runs
    url = await engine.start()
    watchers: Watchers = {}
    try:
        for client in ALL:
            for form in FORMS:
                watchers[client, form] = await watch(client, url, form, LIMIT_S)
        await engine.watched(len(watchers))
        yield watchers
    finally:
        for process in watchers.values():
            if process.returncode is None:
                process.kill()
        await engine.stop()


async def finish(engine: Engine, watchers: Watchers) -> dict[tuple[str, str], Report]:
    """Let every client say what it got."""
    await asyncio.sleep(0.3)  # the last frames are on their way, and in the jitter buffer
    await engine.say("stop")
    reports = {}
    for key, process in watchers.items():
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
        assert process.returncode == 0, (key, err.decode()[-2000:])
        reports[key] = parse(out.decode())
    return reports


def recorded(path: Path) -> dict[int, Any]:
    lines = path.read_text("utf-8").splitlines()[1:]
    layout = Layout.of(HELLO)
    frames = [decode_frame_json(line, layout) for line in lines]
    return {frame.seq: frame for frame in frames}


def same(got: Frame, want: Any, form: str) -> bool:
    """Compare with the recording, which has 5 decimals: exactly, under both forms."""
    for name in ("root", "rotations"):
        numbers = got.arrays[name]
        if form == "gesture.v1.bin":
            exact = getattr(make_frame(got.index), name)
            if not np.array_equal(numbers, exact.ravel()):
                return False
            numbers = np.round(numbers.astype(np.float64), 5).astype(np.float32)
        if not np.array_equal(numbers, getattr(want, name).ravel()):
            return False
    meta = (got.index, got.sample, got.state, got.reset)
    return meta == (want.index, want.sample, want.state, want.reset)


def check(scenario: str, engine: Engine, reports: dict[tuple[str, str], Report]) -> None:
    """What holds for every client in every scenario; notes the figures."""
    recordings = [recorded(path) for path in engine.recordings]
    for (client, form), report in reports.items():
        who = f"{client} {form}"
        summary = report.summary
        assert report.frames, who
        equal = 0
        for connection, recording in enumerate(recordings, start=1):
            frames = [f for f in report.frames if f.connection == connection]
            seqs = [f.seq for f in frames]
            assert seqs == sorted(set(seqs)), f"{who}: out of order"
            equal += sum(same(f, recording[f.seq], form) for f in frames)
        assert equal == len(report.frames), f"{who}: frames differ from the recording"
        assert summary["backwards"] == 0, who
        assert summary["frames"] + summary["missed"] >= 0.9 * len(recordings[-1]), who
        row = {
            "scenario": scenario,
            "client": client,
            "form": form.rsplit(".", 1)[1],
            "sent": sum(map(len, recordings)),
            "equal": equal,
            "missed": summary["missed"],
            "worst_gap_ms": round(summary["worst_gap_ms"], 1),
            "jitter_ms": round(summary["jitter_ms"], 1),
            "held_updates": summary["held_updates"],
            "updates": summary["updates"],
            "garbage_bytes": summary.get("garbage_bytes"),
        }
        BUILT.mkdir(parents=True, exist_ok=True)
        with (BUILT / "matrix.jsonl").open("a", encoding="utf-8") as file:
            file.write(dumps(row) + "\n")


def check_complete(engine: Engine, reports: dict[tuple[str, str], Report]) -> None:
    """Every frame came, but for the few that a busy machine cost."""
    sent = len(recorded(engine.recordings[0]))
    for who, report in reports.items():
        assert len(report.frames) + report.summary["missed"] == sent, who
        assert report.summary["missed"] <= 0.1 * sent, who


async def test_undisturbed(tmp_path):
    engine = Engine(tmp_path)
    async with watching(engine) as watchers:
        await engine.play(40)
        reports = await finish(engine, watchers)
    check("normal", engine, reports)
    check_complete(engine, reports)
    for who, report in reports.items():
        assert report.summary["worst_gap_ms"] < 500, who


async def test_the_engine_is_restarted(tmp_path):
    engine = Engine(tmp_path)
    async with watching(engine) as watchers:
        await engine.play(15)
        await asyncio.sleep(0.2)
        await engine.stop()
        await engine.start()
        await engine.watched(len(watchers))
        await engine.play(20)
        reports = await finish(engine, watchers)
    check("restart", engine, reports)
    for who, report in reports.items():
        assert {f.connection for f in report.frames} == {1, 2}, who
        after = [f for f in report.frames if f.connection == 2]
        assert len(after) + report.summary["missed"] >= 20, who


async def test_a_client_that_stands_still(tmp_path):
    """Its process is stopped: it reads nothing, then catches up at once."""
    require(sys.platform != "win32", "needs SIGSTOP")
    engine = Engine(tmp_path)
    async with watching(engine) as watchers:
        playing = asyncio.create_task(engine.play(50))
        await asyncio.sleep(0.8)
        for process in watchers.values():
            process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.2)
        for process in watchers.values():
            process.send_signal(signal.SIGCONT)
        await playing
        reports = await finish(engine, watchers)
    check("slow", engine, reports)
    sent = len(recorded(engine.recordings[0]))
    for who, report in reports.items():
        # 18 frames in 1.2 s, 4 of them on their way: the rest was replaced.
        assert 8 <= report.summary["missed"] <= 24, who
        assert report.frames[-1].seq >= sent - 2, who


@pytest.mark.slow
async def test_five_percent_of_the_time_is_lost(tmp_path):
    """The engine stands still for 150 ms of 3 s; what it owes comes in one burst."""
    engine = Engine(tmp_path)
    async with watching(engine) as watchers:
        await engine.play(45, stall=(20, 0.15))
        reports = await finish(engine, watchers)
    check("stalls", engine, reports)
    check_complete(engine, reports)


@pytest.mark.slow
async def test_the_clocks_drift(tmp_path):
    """200 ppm; what that does in ten minutes is in `test_client_time.py`."""
    engine = Engine(tmp_path)
    async with watching(engine) as watchers:
        await engine.play(45, rate=1 + 200e-6)
        reports = await finish(engine, watchers)
    check("drift", engine, reports)
    check_complete(engine, reports)
