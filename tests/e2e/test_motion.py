"""The shipped motion at its defaults: varied, in step with the voice, at rest in silence.

The limits are those of the issue; the toys, on the same speech, must break them.
"""

from pathlib import Path

import pytest

from streamer.windowing import DEFAULT_SEED
from training.played import Played, speech_sets
from training.sanity import Row, check_motion


def check(rows: list[Row]) -> None:
    by_name = {row.motion: row for row in rows}
    assert by_name["model"].failed == (), by_name["model"].figures.to_json()
    toys = [row for name, row in by_name.items() if name.startswith("toy")]
    assert len(toys) == 3
    for toy in toys:
        assert toy.failed, f"{toy.motion} passed: {toy.figures.to_json()}"


def played(via: str, lookahead: int = 2) -> Played:
    return Played(via=via, model=None, lookahead=lookahead, seed=DEFAULT_SEED)


@pytest.mark.parametrize("lookahead", [0, 2])
def test_on_the_demo(tmp_path: Path, lookahead: int):
    sets = speech_sets(tmp_path)
    check(check_motion("demo", sets["demo"], tmp_path, None, played("render", lookahead)))


@pytest.mark.parametrize("name", ["ljspeech", "ljspeech-unseen", "librivox", "beat2"])
def test_on_real_speech(tmp_path: Path, shared: Path, name: str):
    paths = speech_sets(shared / "data")[name]
    check(check_motion(name, paths, tmp_path, None, played("render")))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "ljspeech"])
def test_through_live_in_real_time(tmp_path: Path, shared: Path, name: str):
    paths = speech_sets(shared / "data")[name]
    check(check_motion(name, paths, tmp_path, None, played("live")))
