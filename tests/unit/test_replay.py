import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from streamer.cli import main
from streamer.clock import FrameClock
from streamer.sinks.file import open_recording
from tests.takes import SPEC, frame, hello, take


async def recorded(path: Path, frames: int = 12) -> Path:
    sink, source = open_recording(path, hello), take(frames)
    for n in range(frames):
        await sink.send(frame(source, n))
    await sink.aclose()
    return path


@pytest.mark.parametrize("suffix", [".npz", ".jsonl"])
def test_what_is_replayed_is_what_was_recorded(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = asyncio.run(recorded(tmp_path / f"a{suffix}"))
    words = ["replay", str(source), "--no-server", "--record", str(tmp_path / "b.npz"), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 12
    with np.load(tmp_path / "b.npz") as again:
        np.testing.assert_allclose(again["rotations"], take(12).rotations, atol=6e-6)
        clock = FrameClock(fps=SPEC.fps)
        assert again["sample"].tolist() == [clock.start(n + 7) - clock.start(7) for n in range(12)]


def test_what_cannot_be_replayed_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.npz").write_bytes(b"no")
    for path in ("a.npz", "missing.jsonl", "a.wav"):
        assert main(["replay", str(tmp_path / path), "--no-server"]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("gesture: ")
