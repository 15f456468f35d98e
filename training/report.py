"""The evaluation as JSON and as Markdown."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.bench import machine
from training.answers import LEAST, Answered
from training.endurance import (
    LIMITS_DEGREES,
    MOST_DRIFT_M,
    MOST_STILL_S,
    MOST_STIRRED,
    Endurance,
    Stirred,
)
from training.relative import BOUNDS, Bound, Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One motion under one condition.

    must_fail: it is there to show that the measures can tell. judged: the bounds,
    which are a plan's, apply to it.
    """

    motion: str
    lookahead: int
    condition: str
    measures: dict[str, Measured]
    must_fail: bool = False
    judged: bool = True

    @property
    def failed(self) -> tuple[str, ...]:
        """The measures that are out of bounds."""
        if not self.judged:
            return ()
        return tuple(n for n, m in self.measures.items() if m.verdict == "fails")

    def to_json(self) -> dict[str, Any]:
        """Return the row with its verdict."""
        return asdict(self) | {"failed": self.failed}


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """What one model does with words, sounds and time, at its default lookahead."""

    model: str
    words: Answered | None
    sounds: list[Stirred]
    endurance: Endurance | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All that was measured. seconds: how long it took; stretches: what the bootstrap drew."""

    speech_s: float
    stretches: int
    seconds: float
    rows: Sequence[Row]
    further: Sequence[Further]

    @property
    def honest(self) -> bool:
        """Whether plans pass and everything fails that must: else no figure means anything."""
        plans = [row for row in self.rows if row.motion == "plan"]
        toys = [row for row in self.rows if row.must_fail]
        return all(not row.failed for row in plans) and all(row.failed for row in toys)


def write(result: Result, out: Path) -> None:
    """Write `evaluation.json` and `evaluation.md` into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_json(result), indent=1) + "\n"
    (out / "evaluation.json").write_text(text, encoding="utf-8")
    (out / "evaluation.md").write_text(markdown(result), encoding="utf-8")


def to_json(result: Result) -> dict[str, Any]:
    """Return everything; numbers that are not finite become null."""
    whole = {
        "machine": machine(),
        "speech_s": round(result.speech_s, 1),
        "stretches": result.stretches,
        "seconds": round(result.seconds, 1),
        "honest": result.honest,
        "bounds": {name: asdict(bound) for name, bound in BOUNDS.items()},
        "rows": [row.to_json() for row in result.rows],
        "further": [_further_json(further) for further in result.further],
    }
    return _clean(whole)


def markdown(result: Result) -> str:
    """Return the tables."""
    parts = [
        f"{result.speech_s:.0f} s of unseen speech, {result.stretches} stretches, "
        f"{result.seconds:.0f} s to measure. Values are relative to the causal plan unless a "
        "unit is given; in brackets 95 % of a bootstrap over stretches; **bold** is out of "
        "bounds, `?` has a part of its interval there.",
    ]
    if result.rows:
        parts.append(_rows_table(result.rows))
    for further in result.further:
        parts += _further_tables(further)
    return "\n\n".join(parts) + "\n"


def _rows_table(rows: Sequence[Row]) -> str:
    head = ["motion", "A", "condition", *(n.replace("_", " ") for n in BOUNDS), "verdict"]
    bounds = ["must be", "", "", *map(_bound_text, BOUNDS.values()), ""]
    lines = [head, ["---"] * len(head), bounds]
    for row in rows:
        cells = [
            _cell(row.measures.get(name), bound, judged=row.judged)
            for name, bound in BOUNDS.items()
        ]
        verdict = f"fails {len(row.failed)}" if row.failed else "passes" if row.judged else ""
        if row.must_fail:
            verdict += ", as it must" if row.failed else ", **must not**"
        lines.append([row.motion, str(row.lookahead), row.condition, *cells, verdict])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bound_text(bound: Bound) -> str:
    low, high = f"{bound.low:.2g}", f"{bound.high:.2g}"
    text = f"≤ {high}" if bound.low == 0 else f"{low} to {high}"
    text = f"≥ {low}" if np.isinf(bound.high) else text
    return f"{text} {bound.unit}".strip()


def _cell(measured: Measured | None, bound: Bound, *, judged: bool) -> str:
    if measured is None or not np.isfinite(measured.relative):
        return "-"
    value = f"{measured.relative:.2f}"
    if bound.kind == "difference":  # the value itself matters too: a signed lag
        value = f"{measured.value:+.0f}, that is {measured.relative:+.0f}"
    if not judged:
        return f"{value} [{measured.low:.2f}, {measured.high:.2f}]"
    marked = {"fails": f"**{value}**", "unsure": f"{value} ?", "passes": value}
    return f"{marked[measured.verdict]} [{measured.low:.2f}, {measured.high:.2f}]"


def _further_tables(further: Further) -> list[str]:
    out = [f"### {further.model}"]
    if (words := further.words) is not None:
        verdict = "passes" if words.relative >= LEAST else "fails"
        out.append(
            f"Words, {len(words.by_class)} classes: answered {words.model:.1f} times chance, the "
            f"plan {words.plan:.1f}; of the plan's {words.relative:.2f} [{words.low:.2f}, "
            f"{words.high:.2f}], must be at least {LEAST:g}: {verdict}."
        )
        head = " | ".join(words.by_class)
        model = " | ".join(f"{a} of {n}" for a, n in words.by_class.values())
        plan = " | ".join(f"{a} of {n}" for a, n in words.plan_by_class.values())
        rule = "|---" * (len(words.by_class) + 1)
        out.append(f"| answered | {head} |\n{rule}|\n| model | {model} |\n| plan | {plan} |")
    if further.sounds:
        lines = [
            f"| sound | wrist speed | over silence, must be ≤ {MOST_STIRRED:g} | |",
            "|---|---|---|---|",
        ]
        for sound in further.sounds:
            verdict = "passes" if sound.passes else "**fails**"
            lines.append(
                f"| {sound.sound} | {sound.speed:.4f} m/s | {sound.ratio:.2f} | {verdict} |"
            )
        out.append("\n".join(lines))
    if (long := further.endurance) is not None:
        bends = ", ".join(
            f"{name} {angle:.0f}° (≤ {LIMITS_DEGREES[name]:.0f}°)"
            for name, angle in long.bends.items()
        )
        out.append(
            f"{long.minutes:.1f} minutes: mean place of the wrists drifted "
            f"{100 * long.drift_m:.1f} cm (≤ {100 * MOST_DRIFT_M:.0f}), longest stillness in "
            f"speech {long.still_s:.1f} s (≤ {MOST_STILL_S:.0f}), hands inside the torso in "
            f"{long.inside:.2%} of frames (deepest {100 * long.deepest_m:.1f} cm), greatest bends: "
            f"{bends}: {'fails ' + ', '.join(long.failed) if long.failed else 'passes'}."
        )
    return out


def _further_json(further: Further) -> dict[str, Any]:
    out = asdict(further)
    if further.words is not None:
        out["words"]["passes"] = further.words.relative >= LEAST
    for row, sound in zip(out["sounds"], further.sounds, strict=True):
        row["passes"] = sound.passes
    if further.endurance is not None:
        out["endurance"]["failed"] = further.endurance.failed
    return out


def _clean(value: Any) -> Any:
    """Return a value as JSON can hold it, numbers to five digits."""
    match value:
        case dict():
            return {k: _clean(v) for k, v in value.items()}
        case list() | tuple():
            return [_clean(v) for v in value]
        case float() if not np.isfinite(value):
            return None
        case float():
            return float(f"{value:.5g}")
        case _:
            return value
