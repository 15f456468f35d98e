"""Drift, stillness, bends and stirred hands, on poses whose answer is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.motions import REST, raised, speech, wandering
from training import endurance, pose
from training.endurance import LIMITS_DEGREES, Endurance, bends, endured, measure_sounds
from training.planner import FPS
from training.played import Played

MINUTES = 6
FRAMES = MINUTES * 60 * FPS


def turned(group: str, axis: int, degrees: float) -> np.ndarray:
    turn = np.zeros((pose.G, 3))
    turn[pose.GROUPS.index(group), axis] = np.radians(degrees)
    return pose.rotate(REST, turn)[None]


def test_wandering_hands_neither_drift_nor_stick() -> None:
    voiced, _ = speech(FRAMES, 2)
    got = endured(wandering(FRAMES, 1), voiced)
    assert got.minutes == MINUTES
    assert got.drift_m < 0.03
    assert got.still_s < 1
    assert "drift" not in got.failed
    assert "still" not in got.failed


def test_a_slow_drift_and_a_stuck_pose_are_found() -> None:
    voiced, _ = speech(FRAMES, 2)
    sliding = pose.blend(
        wandering(FRAMES, 1),
        np.tile(raised("right", 60), (FRAMES, 1, 1)),
        np.linspace(0, 0.5, FRAMES)[:, None],
    )
    assert "drift" in endured(sliding, voiced).failed
    short = endured(sliding[: FRAMES // 3], voiced[: FRAMES // 3])
    assert "drift" not in short.failed, "two minutes say nothing"
    stuck = wandering(FRAMES, 1)
    voiced[1_000 : 1_000 + 7 * FPS] = True
    stuck[1_000 : 1_000 + 7 * FPS] = stuck[1_000]
    got = endured(stuck, voiced)
    assert 5 <= got.still_s <= 7
    assert "still" in got.failed


def test_bends_are_the_angles_between_bones() -> None:
    rest = bends(REST[None])
    for group, axis, joint in (("left_hand", 0, "wrist"), ("left_elbow>left_wrist", 0, "elbow")):
        for degrees in (40, 90):
            got = bends(turned(group, axis, degrees))
            assert abs(got[joint] - rest[joint]) <= degrees + 1
            assert got[joint] != rest[joint]
    over = bends(turned("pelvis>spine3", 0, 60))
    assert over["lean"] == pytest.approx(60, abs=10)
    assert bends(turned("head", 1, 80))["neck"] == pytest.approx(80, abs=8)
    assert set(rest) == set(LIMITS_DEGREES)
    assert all(rest[joint] < most for joint, most in LIMITS_DEGREES.items())


def test_what_no_joint_can_do_fails() -> None:
    good = Endurance(
        minutes=10,
        drift_m=0.0,
        still_s=0.0,
        inside=0.0,
        deepest_m=0.0,
        bends=dict.fromkeys(LIMITS_DEGREES, 10.0),
    )
    assert good.failed == ()
    assert replace(good, bends=good.bends | {"elbow": 170.0}).failed == ("elbow",)
    assert replace(good, inside=0.001).failed == ("inside",)


def test_hands_that_hear_typing_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    heard: dict[str, np.ndarray] = {}

    def motion_of(audio: np.ndarray, out: Path, name: str, played: Played) -> np.ndarray:
        heard[name] = audio
        return wandering(len(audio) * FPS // 16_000, 1, size=0.5 if "typing" in name else 0.2)

    monkeypatch.setattr(endurance, "motion_of", motion_of)
    played = Played(via="render", model=None, lookahead=2, seed=1)
    got = measure_sounds(tmp_path, played, seconds=8, level=0.07)
    assert [s.sound for s in got] == ["silence", "typing", "music", "game"]
    assert [s.passes for s in got] == [True, False, True, True]
    assert got[1].ratio == pytest.approx(2.5, rel=0.1)
    rms = {name: float(np.sqrt((a**2).mean())) for name, a in heard.items()}
    assert rms["sound-silence"] < 1e-3
    assert all(rms[f"sound-{name}"] > 0.005 for name in endurance.SOUNDS)
