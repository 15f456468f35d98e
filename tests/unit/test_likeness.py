"""The linear code against the published Frechet distance, and what cannot be right."""

import numpy as np
import pytest

from tests.motions import speech, wandering
from training.likeness import FRAMES, STRIDE, Likeness, learn
from training.metrics import frechet_distance, sample_diversity

T = 1_200


@pytest.fixture(scope="module")
def voiced() -> np.ndarray:
    return speech(T, 3)[0]


@pytest.fixture(scope="module")
def likeness(voiced: np.ndarray) -> Likeness:
    return learn([wandering(T, s) for s in range(5)], voiced)


def test_the_distance_is_that_of_the_published_formula(
    likeness: Likeness, voiced: np.ndarray
) -> None:
    truth = np.concatenate([likeness.windows(wandering(T, s), voiced)[0] for s in range(1, 5)])
    other, _ = likeness.windows(wandering(T, 8, size=0.9), voiced)
    want = frechet_distance(other.astype(np.float32), truth.astype(np.float32))
    got = likeness.distance(other, np.ones(len(other))) * likeness.still
    assert got == pytest.approx(want, rel=1e-2)
    repeated = np.concatenate([other, other[:50]])
    weights = np.ones(len(other))
    weights[:50] = 2
    want = frechet_distance(repeated.astype(np.float32), truth.astype(np.float32))
    assert likeness.distance(other, weights) * likeness.still == pytest.approx(want, rel=1e-2)


def test_another_draw_of_the_same_is_near_and_standing_still_is_far(
    likeness: Likeness, voiced: np.ndarray
) -> None:
    same, _ = likeness.windows(wandering(T, 20), voiced)
    assert likeness.distance(same, np.ones(len(same))) < 0.2
    held = likeness.held(wandering(T, 0), voiced)
    assert likeness.distance(held, np.ones(len(held))) >= 0.999
    small, _ = likeness.windows(wandering(T, 20, size=0.3), voiced)
    assert likeness.distance(small, np.ones(len(small))) > 1 / 3


def test_diversity_is_that_of_random_pairs(likeness: Likeness, voiced: np.ndarray) -> None:
    features, _ = likeness.windows(wandering(T, 20), voiced)
    got = likeness.diversity(features, np.ones(len(features)))
    want = sample_diversity(features.astype(np.float32), seed=3)
    assert got == pytest.approx(want, rel=0.05)


def test_windows_are_of_speech(likeness: Likeness, voiced: np.ndarray) -> None:
    features, centres = likeness.windows(wandering(T, 20), voiced)
    assert len(features) == len(centres) > 40
    starts = centres - FRAMES // 2
    assert all(voiced[s : s + FRAMES].mean() >= 0.5 for s in starts)
    assert set(starts % STRIDE) == {0}
