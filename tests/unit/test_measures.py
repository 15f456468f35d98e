"""The motion measures on hand-made motion whose figures are known."""

import numpy as np
import pytest

from streamer.skeleton import load_skeleton
from training.measures import (
    apexes,
    arm_correlation,
    distinct,
    measure,
    principal_dimensions,
    steady,
    voiced_frames,
    wrist_speeds,
)
from training.toys import looped_clip, loudness_forearm, mean_pose

FPS = 15.0


def circling(frames: int = 300) -> np.ndarray:
    """Two wrists on circles of 20 cm, one turn in 2 s and in 3 s."""
    t = np.arange(frames) / FPS
    out = np.zeros((frames, 2, 3))
    for hand, period in enumerate((2.0, 3.0)):
        phase = 2 * np.pi * t / period
        out[:, hand, 0], out[:, hand, 1] = 0.2 * np.cos(phase), 0.2 * np.sin(phase)
    return out


def test_speed_of_a_circle():
    speeds = wrist_speeds(circling(), (0, 1), FPS)
    assert speeds[:, 0].mean() == pytest.approx(0.2 * 2 * np.pi / 2, rel=0.01)
    assert speeds[:, 1].mean() == pytest.approx(0.2 * 2 * np.pi / 3, rel=0.01)


def test_two_circles_have_four_dimensions():
    assert principal_dimensions(circling()) == 4
    assert principal_dimensions(np.ones((50, 2, 3))) == 0


def test_steady_leaves_out_the_first_second_of_each_run():
    mask = np.array([False] * 5 + [True] * 20 + [False] * 3 + [True] * 10)
    assert steady(mask, FPS).sum() == 5


def test_apexes_of_a_hand_that_strikes():
    """One wrist jumps 30 cm in 0.2 s every second, to alternating places."""
    frames = 150
    positions = np.zeros((frames, 2, 3))
    x = 0.0
    for i in range(frames):
        if i % 15 < 3:
            x += 0.1 * (1 if (i // 15) % 2 == 0 else -1)
        positions[i, 0, 0] = x
    found = apexes(positions, (0, 1), np.ones(frames, bool), FPS)
    assert 8 <= len(found) <= 10
    assert {hand for _, hand, _ in found} == {0}
    assert distinct(np.array([p for _, _, p in found])) == 2


def test_a_still_arm_counts_as_correlated():
    assert arm_correlation(np.ones((50, 2))) == 1.0


def test_voiced_frames_find_the_bursts():
    random = np.random.default_rng(0)
    audio = random.standard_normal(16_000 * 6).astype(np.float32) * 0.0005
    audio[16_000 : 3 * 16_000] += random.standard_normal(32_000) * 0.1
    voiced = voiced_frames(audio, 90, FPS)
    assert voiced[16:44].all()
    assert not voiced[47:].any()
    assert not voiced[:14].any()


def test_toys_are_told_apart():
    skeleton = load_skeleton("upper_body")
    wrists = tuple(skeleton.joints.index(f"{s}_wrist") for s in ("left", "right"))
    loudness = np.abs(np.sin(np.arange(600) / 5)).astype(np.float32)
    voiced = np.ones(600, bool)
    swung = loudness_forearm(skeleton, skeleton.mean, loudness, FPS)
    figures = measure(skeleton.positions(swung), wrists, voiced, FPS)
    assert figures.arm_correlation > 0.9
    assert figures.dimensions < 5
    looped = skeleton.positions(looped_clip(swung, voiced.tolist(), FPS))
    assert distinct(looped[::30, wrists[0]]) == 1
    still = skeleton.positions(mean_pose(swung))
    assert measure(still, wrists, voiced, FPS).speaking_speed == 0
