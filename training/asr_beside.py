"""What a recogniser costs beside a running engine: `python -m training asr --beside SECONDS`.

`gesture live` plays the recordings in real time, once without and once with each
recogniser, as a user runs it. Both processes are watched from outside.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
import soundfile

from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError
from streamer.types import Float32

_LOOK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Processor seconds for each second of the stream, and the most memory that was resident."""

    cpu_factor: float = 0.0
    rss_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One run of `gesture live`.

    late: frames that came more than a frame's duration after their last sample.
    unheard_s: audio that the recogniser was too slow for. load: processes that
    wanted the machine's processors meanwhile, ours included (1-minute average).
    """

    asr: str
    seconds: float
    frames: int
    late: int
    words: int
    unheard_s: float
    step_p99_ms: float
    engine: Cost
    recogniser: Cost | None
    load: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures."""
        return asdict(self)


def measure_beside(names: Sequence[str], speech: Float32, seconds: float) -> list[Beside]:
    """Run `gesture live` on speech [n] for so long, without and with each recogniser.

    Raises `InputError` with what it said where it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        wave = Path(folder) / "speech.wav"
        soundfile.write(wave, np.resize(speech, round(seconds * SAMPLE_RATE)), SAMPLE_RATE)
        return [_live(name, wave, seconds, Path(folder)) for name in ("none", *names)]


def _live(name: str, wave: Path, seconds: float, folder: Path) -> Beside:
    command = [sys.executable, "-m", "streamer.cli", "live", "--source", str(wave)]
    command += ["--asr", name, "--no-server", "--json"]
    answer, errors = folder / "answer", folder / "errors"
    with answer.open("w+") as out, errors.open("w+") as err:
        watched = _Watched(command, out, err)
        code = watched.run()
        out.seek(0)
        err.seek(0)
        if code:
            raise InputError(f"gesture live --asr {name}: {err.read().strip()[-300:]}")
        report = json.load(out)
    return Beside(
        asr=name,
        seconds=seconds,
        frames=report["frames"],
        late=report["deadline_misses"],
        words=report["words"],
        unheard_s=report.get("unheard_s", 0.0),
        step_p99_ms=report["latency_ms"]["compute"]["p99"],
        engine=watched.engine.over(report["seconds"]),
        recogniser=watched.recogniser.over(report["seconds"]) if name != "none" else None,
        load=round(psutil.getloadavg()[0], 1),
    )


class _Most:
    """The most processor time and memory that a process was seen with."""

    def __init__(self) -> None:
        self._cpu_s = self._rss = 0.0

    def look(self, process: psutil.Process) -> None:
        with process.oneshot():
            times = process.cpu_times()
            self._cpu_s = max(self._cpu_s, times.user + times.system)
            self._rss = max(self._rss, process.memory_info().rss)

    def over(self, seconds: float) -> Cost:
        return Cost(cpu_factor=round(self._cpu_s / seconds, 3), rss_mb=round(self._rss / 1e6, 1))


class _Watched:
    """A `gesture live` and its recogniser, looked at four times a second."""

    def __init__(self, command: Sequence[str], out: IO[str], err: IO[str]) -> None:
        self._command, self._out, self._err = command, out, err
        self.engine, self.recogniser = _Most(), _Most()

    def run(self) -> int:
        """Run it to its end; return its exit code."""
        with subprocess.Popen(self._command, stdout=self._out, stderr=self._err) as process:
            engine = psutil.Process(process.pid)
            while True:
                try:
                    self.engine.look(engine)
                    for child in engine.children():
                        if "streamer.asr.worker" in child.cmdline():
                            self.recogniser.look(child)
                except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
                    pass  # it has just ended
                try:
                    return process.wait(_LOOK_S)
                except subprocess.TimeoutExpired:
                    continue


def table(rows: Sequence[Beside]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| beside `gesture live` | late frames | step p99 | unheard | engine: processor, memory "
        "| recogniser: processor, memory | load |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        costs = [
            "-" if cost is None else f"{cost.cpu_factor:.2f}, {cost.rss_mb:.0f} MB"
            for cost in (row.engine, row.recogniser)
        ]
        lines.append(
            f"| {row.asr} | {row.late} of {row.frames} | {row.step_p99_ms:.1f} ms "
            f"| {row.unheard_s:.1f} of {row.seconds:.0f} s | {' | '.join(costs)} | {row.load} |"
        )
    return "\n".join(lines)
