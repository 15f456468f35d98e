"""`gesture bench`: step times, memory and start-up, with machine and commit."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from streamer import __version__
from streamer.backends.base import StepBackend
from streamer.backends.loading import (
    BACKENDS,
    BackendChoice,
    choose_backend,
    find_artifact,
    precisions_of,
)
from streamer.backends.measuring import step_times
from streamer.backends.precision import Precision
from streamer.config import BenchConfig
from streamer.errors import UsageError
from streamer.memory import peak_resident_mb
from streamer.progress import StatusLine

_FEWEST_STEPS = 30


def bench(config: BenchConfig) -> dict[str, Any]:
    """Measure; return `rows`, for each back end and number of slots, and where it was.

    Every slot is ready in every step and hears its own voice-like noise.
    `sessions_at_deadline` is how many sessions steps of that size serve in one
    frame, back to back, each as slow as the 99th percentile.
    """
    if config.threads < 1:
        raise UsageError("--threads 0: at least 1")
    if config.plot is not None:
        from streamer.bench_plot import check_plot

        check_plot(config.plot)  # now, not after minutes
    line = StatusLine(sys.stderr, time.perf_counter)
    folder = find_artifact(config.model.model)
    rows, loading_s = list[dict[str, Any]](), 0.0
    for choice in _choices(config, folder, line.say):
        began = time.perf_counter()
        backend = choice.make()
        loading_s += time.perf_counter() - began
        try:
            for slots in config.slots:
                line.show(f"{backend.name}, {slots} slots")
                rows.append(measured_row(backend, slots, config.seconds))
        finally:
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
    log = config.log or checkout_log()
    if log is not None:
        _append(log, result)
    if config.plot is not None:
        from streamer.bench_plot import plot

        plot(result, config.plot)
    return result


def table(result: dict[str, Any]) -> str:
    """Return the rows as a table."""
    lines = [f"{result['machine']}, commit {result['commit']}, {result['threads']} thread(s)"]
    lines.append(
        f"{'back end':20} {'precision':9} {'slots':>6} {'p50 ms':>8} {'p95 ms':>8} "
        f"{'p99 ms':>8} {'sessions at deadline':>21}"
    )
    for row in result["rows"]:
        step = row["step_ms"]
        lines.append(
            f"{row['backend']:20} {row['precision']:9} {row['slots']:6} {step['p50']:8.2f} "
            f"{step['p95']:8.2f} {step['p99']:8.2f} {row['sessions_at_deadline']:21}"
        )
    lines.append(f"loading {result['load_s']:.2f} s, {result['rss_mb']:.0f} MB resident")
    return "\n".join(lines)


def measured_row(backend: StepBackend[Any], slots: int, seconds: float) -> dict[str, Any]:
    """Measure steps of `slots` sessions; return one of the rows of `bench`."""
    spec = backend.spec
    times = step_times(backend, slots=slots, steps=_FEWEST_STEPS, seconds=seconds)
    p50, p95, p99 = (float(p) * 1e3 for p in np.percentile(times, (50, 95, 99)))
    deadline_ms = 1000 * spec.frames_per_step / float(spec.fps)
    return {
        "model": spec.name,
        "backend": backend.name,
        "precision": backend.precision,
        "slots": slots,
        "steps": len(times),
        "step_ms": {"p50": round(p50, 3), "p95": round(p95, 3), "p99": round(p99, 3)},
        "deadline_ms": round(deadline_ms, 3),
        "sessions_at_deadline": int(slots * deadline_ms / p99),
    }


def _choices(config: BenchConfig, folder: Path, say: Callable[[str], None]) -> list[BackendChoice]:
    """Return the back ends to measure: the one asked for, or each in each precision it has."""
    slots = max(config.slots)

    def choose(name: str, precision: Precision | None) -> BackendChoice:
        return choose_backend(
            name, folder, precision=precision, threads=config.threads, slots=slots
        )

    told = config.model
    if not config.compare:
        choice = choose(told.backend, told.precision)
        if choice.name == told.backend:
            return [choice]
        say(f"{choice.name}: {choice.reason}")
        # what `auto` tried is loaded already; loading is to be measured too
        in_half = told.precision == "float16" and told.backend == "auto"
        return [choose(choice.name, "float16" if in_half else None)]
    choices, said = list[BackendChoice](), set[str]()
    for name in BACKENDS:
        for precision in () if name == "auto" else precisions_of(name):
            try:
                choice = choose(name, precision)
            except UsageError as error:
                why = str(error)
            else:
                why = f"{choice.name}: {choice.reason}"
                if choice.name == name:
                    choices.append(choice)
                    continue
            if why not in said:
                say(why)
                said.add(why)
    return choices


def checkout_log() -> Path | None:
    """Return the log of measurements of a checkout; None where the program was installed."""
    root = Path(__file__).resolve().parent.parent
    return root / "tests" / "bench" / "results" / "log.jsonl" if (root / ".git").exists() else None


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
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
    except OSError as error:
        raise UsageError(f"--log {path}: cannot be written: {error.strerror}") from error
