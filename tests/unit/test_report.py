"""The evaluation's tables, from made-up rows."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from training.answers import Answered
from training.endurance import LIMITS_DEGREES, Endurance, Stirred
from training.relative import BOUNDS, Measured, Verdict
from training.report import Further, Result, Row, markdown, to_json, write


def row(motion: str, verdict: Verdict, *, must_fail: bool = False, judged: bool = True) -> Row:
    measured = Measured(value=-1.0, relative=0.5, low=0.25, high=0.75, verdict=verdict)
    return Row(
        motion=motion,
        lookahead=2,
        condition="as recorded",
        measures=dict.fromkeys(BOUNDS, measured),
        must_fail=must_fail,
        judged=judged,
    )


PLAN, TOY = row("plan", "passes"), row("toy", "fails", must_fail=True)


def result(*rows: Row, further: tuple[Further, ...] = ()) -> Result:
    return Result(speech_s=60, stretches=9, seconds=1, rows=rows, further=further)


@pytest.mark.parametrize(
    ("rows", "honest"),
    [
        ((PLAN, TOY, row("model", "fails")), True),
        ((PLAN, row("toy", "unsure", must_fail=True)), False),
        ((row("plan", "fails"), TOY), False),
    ],
)
def test_figures_mean_something_where_the_plan_passes_and_toys_fail(
    rows: tuple[Row, ...], honest: bool
) -> None:
    assert result(*rows).honest is honest


def test_every_row_says_what_it_is() -> None:
    person = row("person", "fails", judged=False)
    person = replace(person, measures={"jerk": person.measures["jerk"]})
    table = markdown(result(PLAN, TOY, row("model", "unsure"), person))
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines()}
    assert "**0.50** [0.25, 0.75]" in lines["toy"]
    assert lines["toy"].endswith("| fails 9, as it must |")
    assert "0.50 ? [0.25, 0.75]" in lines["model"]
    assert "-1, that is +0" in lines["model"]
    assert lines["plan"].endswith("| passes |")
    assert lines["person"].count("| -") == len(BOUNDS) - 1
    assert "**" not in lines["person"]


def test_words_sounds_and_time_with_their_verdicts(tmp_path: Path) -> None:
    further = Further(
        model="m",
        words=Answered(
            model=2.0,
            plan=8.0,
            relative=0.25,
            low=0.1,
            high=float("nan"),
            by_class={"you": [1, 4]},
            plan_by_class={"you": [4, 4]},
        ),
        sounds=[Stirred(sound="typing", speed=0.02, ratio=1.4)],
        endurance=Endurance(
            minutes=10,
            drift_m=0.01,
            still_s=5.0,
            inside=0.0,
            deepest_m=0.0,
            bends=dict.fromkeys(LIMITS_DEGREES, 10.0),
        ),
    )
    whole = result(PLAN, TOY, further=(further,))
    text = markdown(whole)
    assert "must be at least 0.5: fails" in text
    assert "| model | 1 of 4 |" in text
    assert "| typing | 0.0200 m/s | 1.40 | **fails** |" in text
    assert text.strip().endswith("fails still.")
    write(whole, tmp_path)
    assert (tmp_path / "evaluation.md").read_text("utf-8") == text
    kept = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    assert kept == to_json(whole)
    assert kept["further"][0]["words"]["high"] is None, "NaN is no JSON"
    assert kept["further"][0]["words"]["passes"] is False
    assert kept["bounds"]["apex_spread"]["high"] is None
    assert kept["rows"][1]["failed"] == list(BOUNDS)
