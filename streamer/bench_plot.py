"""The rows of `gesture bench` as a picture."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from streamer.errors import UsageError

_SIZE = (10.0, 4.2)
_DOTS = 150


def check_plot(path: Path) -> None:
    """Raise `UsageError` where `plot` could not write this file."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"--plot {path}: the file must end in .png")
    if find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib: pip install 'gesture-streamer[plot]'")


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Write step times and sessions at the deadline against slots; one line a back end.

    result: what `bench` returned. Raises `UsageError` where the file cannot be written.
    """
    figure: Any = import_module("matplotlib.figure").Figure(figsize=_SIZE, layout="constrained")
    times, sessions = figure.subplots(1, 2)
    rows = sorted(result["rows"], key=_line)  # stable: the slots keep their order
    for (backend, precision), group in groupby(rows, key=_line):
        line = sorted(group, key=lambda row: row["slots"])
        slots = [row["slots"] for row in line]
        label = f"{backend}, {precision}"
        low, high = ([row["step_ms"][name] for row in line] for name in ("p50", "p99"))
        (drawn,) = times.plot(slots, high, marker="o", label=label)
        times.fill_between(slots, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
        served = [row["sessions_at_deadline"] for row in line]
        sessions.plot(slots, served, marker="o", color=drawn.get_color())
    deadline_ms = result["rows"][0]["deadline_ms"]
    times.axhline(deadline_ms, color="grey", linestyle="--", label="the deadline")
    times.set(title="a step, p50 to p99", ylabel="ms")
    sessions.set(title="sessions at p99 < the deadline", ylabel="sessions")
    for axes in (times, sessions):
        axes.set(xlabel="slots", xscale="log", yscale="log")
        axes.grid(visible=True, which="both", alpha=0.3)
    times.legend(fontsize="small")
    model = result["rows"][0]["model"]
    figure.suptitle(
        f"{model}, {result['machine']}, {result['threads']} thread(s), {result['commit']}",
        fontsize="small",
    )
    try:
        figure.savefig(path, dpi=_DOTS, format="png")
    except OSError as error:
        raise UsageError(f"--plot {path}: cannot be written: {error.strerror}") from error


def _line(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["backend"], row["precision"]
