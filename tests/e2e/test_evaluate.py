"""`python -m training evaluate` on little speech: the table is whole and can tell toys from plans.

The whole one takes minutes: every lookahead and condition, all unseen speech.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.__main__ import main
from training.relative import BOUNDS


def evaluated(shared: Path, out: Path, *options: str) -> dict[str, Any]:
    words = ["evaluate", "--data", str(shared / "data"), "--out", str(out), *options]
    assert main([*words, "--json"]) == 0, "plans pass and toys fail"
    return json.loads((out / "evaluation.json").read_text("utf-8"))


def check_toys(rows: list[dict[str, Any]]) -> None:
    toys = {row["motion"]: row for row in rows if row["must_fail"]}
    assert toys.keys() >= {"loudness forearm", "mean pose", "looped clip"}
    for name, row in toys.items():
        assert len(row["failed"]) >= 3, f"{name} fails but {row['failed']}"


def test_the_table_of_a_little_speech(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--speech", "librivox", "--lookahead", "2", "--condition", "as recorded"]
    result = evaluated(shared, tmp_path, *options, "--part", "measures")
    assert json.loads(capsys.readouterr().out) == result
    rows = {row["motion"]: row for row in result["rows"]}
    assert list(rows)[:3] == ["shipped", "plan", "plan, other dice"]
    check_toys(result["rows"])
    shipped = rows["shipped"]["measures"]
    assert shipped.keys() == BOUNDS.keys()
    # what no toy can do, and an overhasty network neither
    assert shipped["effective_clips"]["relative"] > 0.6
    assert shipped["apex_spread"]["relative"] > 0.7
    assert shipped["silent_speed"]["value"] < 0.05
    assert shipped["fgd"]["relative"] < 1
    truth = rows["BEAT2 speaker"]["measures"]
    # research on this take: the wrists move at about 0.55 m/s
    assert truth["speaking_speed"]["value"] == pytest.approx(0.55, rel=0.15)
    text = (tmp_path / "evaluation.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| shipped")]
    assert len(lines) == 1
    assert lines[0].count("|") == len(BOUNDS) + 5
    with np.load(tmp_path / "shipped" / "a2-as-recorded.npz") as recorded:
        assert len(recorded["directions"]) == pytest.approx(15 * result["speech_s"], abs=1)


def test_what_cannot_be_evaluated(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--out", str(tmp_path), "--data"]
    assert main([*command, str(tmp_path)]) == 2
    assert "the plan needs its clips" in capsys.readouterr().err
    assert main([*command, str(shared / "data"), "--speech", "mumbling"]) == 2
    assert "at hand are demo" in capsys.readouterr().err
    assert main([*command, str(shared / "data"), "--lookahead"]) == 2
    assert "at least one lookahead" in capsys.readouterr().err
    for option in ("--model", "--hasty"):
        assert main([*command, str(shared / "data"), option, "/nowhere"]) == 2
        assert "neither a folder nor a built-in model" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_the_whole_table(tmp_path: Path, shared: Path) -> None:
    hasty = tmp_path / "hasty"
    data = str(shared / "data")
    assert main(["hasty", "-o", str(hasty), "--data", data]) == 0
    result = evaluated(shared, tmp_path / "out", "--hasty", str(hasty))
    rows = result["rows"]
    assert sum(row["motion"] == "shipped" for row in rows) == 12
    check_toys(rows)
    assert any(row["motion"] == "20 s network" and row["failed"] for row in rows)
    (further,) = result["further"]
    assert len(further["words"]["by_class"]) >= 8
    assert further["words"]["plan"] > 3, "words reach the plan"
    assert [sound["sound"] for sound in further["sounds"]] == ["silence", "typing", "music", "game"]
    assert further["endurance"]["minutes"] == pytest.approx(10, abs=0.1)
