"""Prompted words: where they are put, and what counts as an answer."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from tests.motions import REST, raised, speech
from training import pose
from training.answers import EVERY, WITHIN, Answers, Prompt, answers, prompts
from training.clips import Library
from training.planner import FPS
from training.triggers import TRIGGERS, trigger_class


def test_prompts_are_spoken_words_of_all_classes_in_turn() -> None:
    voiced = np.ones(2_000, bool)
    voiced[600:800] = False
    asked = prompts(voiced, seed=1)
    steps = [p.step for p in asked]
    assert min(np.diff(steps)) >= EVERY
    assert not any(590 <= s <= 810 for s in steps)
    assert {p.gesture for p in asked[: len(TRIGGERS)]} == set(TRIGGERS)
    assert all(trigger_class(p.text) == p.gesture for p in asked)
    assert prompts(voiced, seed=1) == asked != prompts(voiced, seed=2)


def test_the_rate_over_chance_by_hand() -> None:
    shown = np.zeros((4, 12), bool)
    shown[0, 2] = shown[1, 3] = shown[2, 4] = True  # asked for 2, 3, 5, 6
    got = Answers(shown=shown, asked=np.array([2, 3, 5, 6]))
    # half were answered; of the 11 other classes one was shown once, in 4 windows
    assert got.over_chance(np.ones(4)) == pytest.approx(2 / (1 / 11))
    assert got.over_chance(np.array([0.0, 0.0, 1.0, 1.0])) == 0
    assert np.isnan(got.over_chance(np.array([1.0, 1.0, 0.0, 0.0])))
    by_class = got.to_json(list(TRIGGERS))
    assert list(by_class.values())[2] == [1, 1]
    assert list(by_class.values())[5] == [0, 1]


@pytest.mark.parametrize(("lookahead", "late"), [(0, 0), (2, 0), (0, WITHIN + 20)])
def test_a_stroke_to_the_clip_of_the_class_answers(lookahead: int, late: int) -> None:
    goal, other = raised("right", 80), raised("left", 80)
    clips = [SimpleNamespace(gesture="you"), SimpleNamespace(gesture="stop")]
    table = pose.positions(np.array([goal, other]))[:, pose.WRISTS]
    library = cast(Library, SimpleNamespace(clips=clips, apexes=table))
    share = np.zeros(120)
    begin = 40 - lookahead + late
    share[begin : begin + 6] = np.linspace(0, 1, 6)
    share[begin + 6 :] = 1.0
    share[begin + 6 :] += 1e-4 * np.arange(len(share[begin + 6 :]))  # it creeps on: a minimum
    poses = pose.blend(np.tile(REST, (120, 1, 1)), np.tile(goal, (120, 1, 1)), share[:, None])
    asked = [
        Prompt(step=40, gesture="you", text="you"),
        Prompt(step=40, gesture="stop", text="wait"),
    ]
    got = answers(poses, asked, library, np.ones(120, bool), lookahead)
    classes = list(TRIGGERS)
    column = classes.index("you")
    assert got.shown[:, column].tolist() == [late == 0] * 2
    assert got.shown.sum() == (2 if late == 0 else 0)
    assert got.asked.tolist() == [column, classes.index("stop")]


def test_no_prompt_where_nobody_speaks() -> None:
    assert prompts(np.zeros(900, bool), 0) == []
    voiced, _ = speech(60 * FPS, 4)
    assert 3 <= len(prompts(voiced, 0)) <= 60 * FPS // EVERY
