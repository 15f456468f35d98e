"""What was kept and what was dropped and why: `report.json` and `summary.png`."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from training.store.manifest import Manifest
from training.store.shards import PART, write_whole
from training.store.types import SPLITS
from training.store.windows import REASONS

REPORT = "report.json"
FIGURE = "summary.png"

_KEPT, _DROPPED = "#2a7f62", "#b5523b"


def write_summary(folder: Path, manifest: Manifest) -> None:
    """Write the report and the figure of a finished store."""
    problems = [
        {"recording": unit["unit"], "part": part, "why": why}
        for unit in manifest.units
        for part, why in unit["problems"]
    ]
    report = {**manifest.totals, "problems": problems}
    text = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
    write_whole(folder / REPORT, text.encode())
    _draw(folder, manifest, problems)


def summary_lines(manifest: Manifest, shown: int = 10) -> list[str]:
    """Return what to tell at the end: totals, then the first problems."""
    totals = manifest.totals
    windows = totals["windows"]
    dropped = ", ".join(f"{windows[r]} {r}" for r in REASONS[1:] if windows[r]) or "none"
    hours = ", ".join(
        f"{split} {totals['clips'][split]} clips {_span(totals['hours'][split])}"
        for split in SPLITS
    )
    lines = [
        f"{totals['recordings']} recordings, {hours}; {totals['words']} words",
        f"windows: {windows['kept']} kept; dropped: {dropped}",
    ]
    lines += [
        f"warning: split {split!r} is empty; give more recordings or a smaller --clip-seconds"
        for split in SPLITS
        if not totals["clips"][split]
    ]
    problems = [(u["unit"], p, w) for u in manifest.units for p, w in u["problems"]]
    for unit, part, why in problems[:shown]:
        lines.append(f"problem: {part if part.startswith(unit) else f'{unit}: {part}'}: {why}")
    if len(problems) > shown:
        lines.append(f"... and {len(problems) - shown} more, see {REPORT}")
    return lines


def _draw(folder: Path, manifest: Manifest, problems: list[dict[str, str]]) -> None:
    windows: dict[str, int] = manifest.totals["windows"]
    chart, axes = plt.subplots(1, 3, figsize=(13, 4))
    total = max(1, sum(windows.values()))
    names = [r for r in REASONS if windows[r]] or ["kept"]
    counts = [windows[r] for r in names]
    _bars(axes[0], names, counts, [f"{n} ({100 * n / total:.1f} %)" for n in counts])
    axes[0].set_title(f"{total} windows of 2.8 s: kept, or dropped for")
    hours = [manifest.totals["hours"][split] for split in SPLITS]
    labels = [
        f"{_span(h)}, {manifest.totals['clips'][s]} clips"
        for s, h in zip(SPLITS, hours, strict=True)
    ]
    _bars(axes[1], list(SPLITS), hours, labels, colour=_KEPT)
    axes[1].set_title("hours by split")
    kinds = Counter(_kind(problem["why"]) for problem in problems).most_common(6)
    if kinds:
        _bars(
            axes[2],
            [k for k, _ in kinds],
            [n for _, n in kinds],
            [str(n) for _, n in kinds],
            colour=_DROPPED,
        )
    else:
        axes[2].axis("off")
    axes[2].set_title(f"{len(problems)} problems with recordings")
    settings = manifest.settings
    chart.suptitle(f"{settings.kind} to {settings.skeleton}", fontsize=10)
    chart.tight_layout()
    path = folder / FIGURE
    part = path.with_name(FIGURE + PART)
    try:
        chart.savefig(part, format="png", dpi=90, metadata={"Software": None})
        part.replace(path)
    finally:
        plt.close(chart)
        part.unlink(missing_ok=True)


def _span(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def _bars(
    axis: Any, names: list[str], values: list[Any], labels: list[str], colour: str | None = None
) -> None:
    colours = [colour or (_KEPT if name == "kept" else _DROPPED) for name in names]
    bars = axis.barh(names[::-1], values[::-1], color=colours[::-1])
    axis.bar_label(bars, labels[::-1], padding=3, fontsize=8)
    axis.set_xlim(0, 1.5 * max(1e-9, *values, 1e-9))
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _kind(why: str) -> str:
    """Return the kind of a problem: its line without numbers and names, short."""
    for key, name in (
        ("NaN", "not finite"),
        ("outside of the audio", "words outside the audio"),
        ("audio lasts", "unequal lengths"),
        ("spectrogram has", "unequal lengths"),
        ("a window needs", "too short"),
        ("is missing", "something is missing"),
        ("no such file", "something is missing"),
    ):
        if key in why:
            return name
    return "cannot be read"
