"""`gesture bench`: step times, memory and start-up, with machine and commit."""

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from streamer import __version__
from streamer.backends.base import StepBackend
from streamer.backends.loading import choose_backend, find_artifact
from streamer.clock import SAMPLE_RATE
from streamer.config import BenchConfig
from streamer.errors import UsageError
from streamer.memory import peak_resident_mb
from streamer.progress import StatusLine
from streamer.spec import ModelSpec
from streamer.types import AudioChunk, StepInputs, Window
from streamer.windowing import Windower, style_mixture

_WARM_UP_STEPS = 10
_FEWEST_STEPS = 30


def bench(config: BenchConfig) -> dict[str, Any]:
    """Measure; return `rows`, one for each number of slots, and where they were measured.

    Every slot is ready in every step and hears its own voice-like noise.
    `sessions_at_deadline` is how many sessions steps of that size serve in one
    frame, back to back, each as slow as the 99th percentile.
    """
    if config.threads < 1:
        raise UsageError("--threads 0: at least 1")
    line = StatusLine(sys.stderr, time.perf_counter)
    folder = find_artifact(config.model.model)
    choice = choose_backend(config.model.backend, folder, threads=config.threads)
    began = time.perf_counter()
    backend = choice.make()
    loading_s = time.perf_counter() - began
    windows = _windows(backend.spec)
    rows = list[dict[str, Any]]()
    for slots in config.slots:
        line.show(f"{slots} slots")
        rows.append(_row(backend, windows, slots, config.seconds))
    backend.close()
    line.clear()
    result: dict[str, Any] = {
        "rows": rows,
        "threads": config.threads,
        "load_s": round(loading_s, 3),
        "rss_mb": round(peak_resident_mb(), 1),
        "machine": machine(),
        "commit": commit(),
        "version": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if config.log is not None:
        _append(config.log, result)
    return result


def table(result: dict[str, Any]) -> str:
    """Return the rows as a table."""
    lines = [f"{result['machine']}, commit {result['commit']}, {result['threads']} thread(s)"]
    lines.append(
        f"{'slots':>6} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'sessions at deadline':>21}"
    )
    for row in result["rows"]:
        step = row["step_ms"]
        lines.append(
            f"{row['slots']:6} {step['p50']:8.2f} {step['p95']:8.2f} {step['p99']:8.2f} "
            f"{row['sessions_at_deadline']:21}"
        )
    lines.append(f"loading {result['load_s']:.2f} s, {result['rss_mb']:.0f} MB resident")
    return "\n".join(lines)


def _windows(spec: ModelSpec) -> list[Window]:
    """Return 4 s of windows: noise in bursts, so that the network has something to do."""
    rng = np.random.default_rng(0)
    count = 4 * SAMPLE_RATE
    loud = (np.arange(count) // (SAMPLE_RATE // 2) % 2) * 0.2
    samples = (rng.standard_normal(count) * loud).clip(-1, 1).astype(np.float32)
    style = style_mixture(spec, None)
    windower = Windower(spec, lookahead=spec.default_lookahead, style=style, seed=0)
    return windower.push_audio(AudioChunk(samples=samples, start=0, captured_at=0.0))


def _row(
    backend: StepBackend[Any], windows: list[Window], slots: int, seconds: float
) -> dict[str, Any]:
    spec = backend.spec
    batches = [_batch(windows, step, slots) for step in range(len(windows))]
    state = backend.initial_state(slots)
    ready = np.ones(slots, np.bool_)
    times = list[float]()
    ends = time.perf_counter() + seconds
    step = 0
    while len(times) < _FEWEST_STEPS or time.perf_counter() < ends:
        inputs = StepInputs(
            tensors=batches[step % len(batches)], start=np.full(slots, step == 0), ready=ready
        )
        began = time.perf_counter()
        _, state = backend.step(inputs, state)
        if step >= _WARM_UP_STEPS:
            times.append(time.perf_counter() - began)
        step += 1
    p50, p95, p99 = (float(p) * 1e3 for p in np.percentile(times, (50, 95, 99)))
    frame_ms = 1000 / float(spec.fps)
    return {
        "model": spec.name,
        "backend": backend.name,
        "precision": "float32",
        "slots": slots,
        "steps": len(times),
        "step_ms": {"p50": round(p50, 3), "p95": round(p95, 3), "p99": round(p99, 3)},
        "sessions_at_deadline": int(slots * frame_ms / p99),
    }


def _batch(windows: list[Window], step: int, slots: int) -> dict[str, Any]:
    """Return one step's inputs; each slot is at another place of the voice."""
    chosen = [windows[(step + 7 * slot) % len(windows)] for slot in range(slots)]
    return {name: np.stack([w.tensors[name] for w in chosen]) for name in windows[0].tensors}


def machine() -> str:
    """Return processor, cores and system in words."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
        names = [row.split(":", 1)[1].strip() for row in text.splitlines() if "model name" in row]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def commit() -> str:
    """Return the checkout's commit, with + where files have changed; the version elsewhere."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return f"release {__version__}"
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()


def _append(path: Path, result: dict[str, Any]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
    except OSError as error:
        raise UsageError(f"--log {path}: cannot be written: {error.strerror}") from error
