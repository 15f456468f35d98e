"""Figures from sums by stretch against the same figures computed whole."""

import numpy as np
import pytest

from tests.motions import REST, speech, wandering
from training import pose
from training.likeness import Likeness, learn
from training.measures import measure
from training.plan_measures import measure_plan
from training.planner import FPS
from training.relative import (
    BOUNDS,
    Bound,
    Speech,
    bootstrap,
    compare,
    figures,
    stretches,
    sum_up,
    verdict,
)

FRAMES = 1_200
TABLE = pose.positions(wandering(40, 99))[:, pose.WRISTS]


@pytest.fixture(scope="module")
def spoken() -> Speech:
    return Speech.of(*speech(FRAMES, 5))


@pytest.fixture(scope="module")
def likeness(spoken: Speech) -> Likeness:
    return learn([wandering(FRAMES, s) for s in (1, 2, 3)], spoken.voiced)


def test_stretches_begin_with_speech_or_after_eight_seconds() -> None:
    voiced = np.zeros(40 * FPS, bool)
    voiced[1 * FPS : 3 * FPS] = True  # too soon after the beginning
    voiced[5 * FPS : 26 * FPS] = True
    voiced[27 * FPS : 28 * FPS] = True
    found = stretches(voiced)
    begins = np.flatnonzero(np.diff(found)) + 1
    assert (begins / FPS).tolist() == [5, 13, 21, 27, 35]


def test_all_stretches_together_are_the_figures_of_the_whole(
    spoken: Speech, likeness: Likeness
) -> None:
    poses = wandering(FRAMES, 7)
    got = figures(sum_up(poses, spoken, TABLE, likeness), np.ones(spoken.count), likeness)
    want = measure_plan(poses, spoken.voiced, spoken.accent, TABLE).to_json()
    for name in ("speaking_speed", "silent_speed", "apex_spread", "jerk", "effective_clips"):
        assert got[name] == pytest.approx(want[name], rel=2e-3), name
    assert got["accent_lag"] == want["accent_lag_frames"]
    assert got["accent_correlation"] == pytest.approx(want["accent_correlation"], abs=2e-3)


def test_a_stretch_that_counts_alone_gives_its_own_figures(
    spoken: Speech, likeness: Likeness
) -> None:
    poses = wandering(FRAMES, 7)
    third = spoken.stretch == 3
    weights = np.zeros(spoken.count)
    weights[3] = 1
    got = figures(sum_up(poses, spoken, TABLE, likeness), weights, likeness)
    # the margins of `steady` need what comes before
    first, last = np.flatnonzero(third)[[0, -1]]
    around = slice(first - FPS - 1, last + 1)
    want = measure(pose.positions(poses[around]), pose.WRISTS, spoken.voiced[around], FPS)
    assert got["speaking_speed"] == pytest.approx(want.speaking_speed, rel=0.02)


def test_a_motion_against_itself_and_against_half_of_it(spoken: Speech, likeness: Likeness) -> None:
    plan = sum_up(wandering(FRAMES, 7), spoken, TABLE, likeness)
    same = compare(plan, plan, spoken.count, likeness)
    assert list(same) == list(BOUNDS)
    for name, measured in same.items():
        if BOUNDS[name].kind != "absolute":
            kind = BOUNDS[name].kind
            assert measured.relative == measured.low == measured.high == (kind == "ratio"), name
    half = compare(
        sum_up(wandering(FRAMES, 7, size=0.6), spoken, TABLE, likeness),
        plan,
        spoken.count,
        likeness,
    )
    assert half["speaking_speed"].verdict == "fails"
    assert 0.4 < half["speaking_speed"].low <= half["speaking_speed"].relative < 0.6
    assert half["diversity"].verdict == "fails"
    # wandering hands do not rest in silence
    assert half["silent_speed"].verdict == "fails"


def test_what_stands_still_fails(spoken: Speech, likeness: Likeness) -> None:
    plan = sum_up(wandering(FRAMES, 7), spoken, TABLE, likeness)
    still = sum_up(np.tile(REST, (FRAMES, 1, 1)), spoken, TABLE, likeness)
    got = compare(still, plan, spoken.count, likeness)
    failed = {name for name, measured in got.items() if measured.verdict == "fails"}
    assert failed >= {
        "speaking_speed",
        "apex_spread",
        "effective_clips",
        "jerk",
        "diversity",
        "fgd",
    }
    assert got["silent_speed"].verdict == "passes"


def test_an_interval_that_reaches_out_of_bounds_is_unsure() -> None:
    bound = Bound(kind="ratio", low=0.8, high=1.2)
    assert verdict(1.0, 0.9, 1.1, bound) == "passes"
    assert verdict(1.0, 0.7, 1.1, bound) == "unsure"
    assert verdict(1.25, 1.1, 1.4, bound) == "fails"
    assert verdict(float("nan"), 0.9, 1.1, bound) == "fails"


def test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(1).standard_normal(400)
    value, low, high = bootstrap(400, lambda w: float(w @ values / w.sum()))
    assert value == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.15)
