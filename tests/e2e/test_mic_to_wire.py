"""`gesture live --source mic` as a user runs it: PulseAudio in, WebSocket out."""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedOK

from streamer.audio.demo import DemoSource
from streamer.backends.loading import DEFAULT_MODEL, built_in_models
from tests.e2e.pulse import pulse_server
from tests.fakes import tiny_artifact
from tests.serving import viewer

RATE = 16_000
SECONDS = 10
LIMIT_S = 60


async def page_of(stderr: asyncio.StreamReader, said: list[str]) -> str:
    """Return the address that the program prints."""
    while line := (await stderr.readline()).decode():
        said.append(line)
        if line.split()[:1] == ["page"]:
            return line.split()[1]
    raise AssertionError("".join(said))


async def watch(url: str) -> list[dict[str, Any]]:
    """Read frames as a page does, until the stream ends."""
    frames = list[dict[str, Any]]()
    async with viewer(url, "gesture.v1.json") as (ws, _):
        with suppress(ConnectionClosedOK):  # the end may come while we acknowledge
            await read(ws, frames)
    return frames


async def read(ws: ClientConnection, frames: list[dict[str, Any]]) -> None:
    """Add the frames that come, acknowledging each."""
    async for text in ws:
        message = json.loads(text)
        if message["type"] == "frame":
            frames.append(message)
            await ws.send(json.dumps({"type": "ack", "seq": message["seq"]}))


async def test_from_the_microphone_to_the_wire(tmp_path: Path) -> None:
    # Half speech, half clicks 0.5 s apart: both go the way that is measured.
    speech = [chunk.samples async for chunk in DemoSource(realtime=False).chunks()]
    track = np.concatenate(speech)[: 12 * RATE].copy()
    track[6 * RATE :] = 0
    track[6 * RATE :: RATE // 2] = 0.9
    wav = tmp_path / "track.wav"
    soundfile.write(wav, track, RATE)
    shipped = DEFAULT_MODEL in built_in_models()
    model = DEFAULT_MODEL if shipped else str(tiny_artifact(tmp_path / "tiny"))
    options = ["--source", "mic", "--device", "pulse", "--model", model, "--port", "0"]
    options += ["--duration", str(SECONDS), "--json"]
    with pulse_server() as server:
        player = server.play(wav)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streamer.cli", "live", *options,
            env=server.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        said = list[str]()
        async with asyncio.timeout(LIMIT_S):
            frames = await watch(await page_of(process.stderr, said))
            printed, more = await process.communicate()
        player.wait(LIMIT_S)
    assert process.returncode == 0, "".join(said) + more.decode()
    report = json.loads(printed)
    wire = report["latency_ms"]["mic_to_wire"]
    print(f"\n{model}: mic to wire p50 {wire['p50']:.1f} ms, p99 {wire['p99']:.1f} ms", end="; ")
    print(
        f"step p99 {report['latency_ms']['compute']['p99']:.1f} ms, filled {report['filled_s']} s"
    )

    assert abs(report["frames"] - 15 * SECONDS) <= 1
    indices = [frame["index"] for frame in frames]
    assert indices == sorted(set(indices))
    assert len(frames) > 0.8 * report["frames"]
    rotations = np.array([frame["rotations"] for frame in frames])
    assert np.isfinite(rotations).all()
    assert np.ptp(rotations.reshape(len(frames), -1), axis=0).max() > 0.01  # it moves
    assert 0 < wire["p50"] < 1000 / 15  # within a frame, whatever else this machine does
    if shipped:
        assert "speaking" in {frame["state"] for frame in frames}  # it has heard the voice
