"""An interrupted pose stops within 200 ms and then eases to rest."""

from itertools import pairwise

import numpy as np
import pytest

from streamer.settling import HOME_M_S, HOME_S, STOP_S, Settling, stopping
from streamer.skeleton import load_skeleton
from streamer.types import Float32
from streamer.vectors import onward

SKELETON = load_skeleton("upper_body")
REST = (SKELETON.mean / np.linalg.norm(SKELETON.mean, axis=-1, keepdims=True)).astype(np.float32)


def turned(degrees: float) -> Float32:
    """Return the rest pose, all of it turned about the vertical axis."""
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    return (REST @ turn.T).astype(np.float32)


def settle(fps: float, *, speed: float = 8.0, away: float = 50.0, seconds: float = 12.0):
    """Return the two poses before an interrupt and those after it, [n, D, 3].

    speed: degrees a frame; away: degrees from rest at the interrupt.
    """
    before, shown = turned(away - speed), turned(away)
    poses = Settling(before, shown, REST, skeleton=SKELETON, fps=fps)
    return np.array([before, shown, *(poses() for _ in range(round(seconds * fps)))])


def joint_speeds(poses: Float32, fps: float) -> Float32:
    """Return the speed of the fastest joint in each frame, m/s."""
    return np.linalg.norm(np.diff(SKELETON.positions(poses), axis=0), axis=-1).max(-1) * fps


@pytest.mark.parametrize("fps", [15, 30, 60])
def test_it_stands_still_when_200_ms_have_passed_waiting_and_showing_included(fps: int) -> None:
    # A frame may just have been computed, and a client shows a pose for the length of a frame.
    moving = len(stopping(fps))
    assert (1 + moving) / fps <= STOP_S
    speeds = joint_speeds(settle(fps), fps)
    assert speeds[0] > 0.5, "it was moving"
    assert speeds[1 + moving] < 0.05


@pytest.mark.parametrize("fps", [15, 30])
@pytest.mark.parametrize("speed", [0.0, 1.0, 8.0, 20.0])
def test_it_only_ever_slows_down_and_gradually(fps: int, speed: float) -> None:
    speeds = joint_speeds(settle(fps, speed=speed), fps)
    stop = speeds[: 1 + len(stopping(fps))]
    assert all(after <= before + 1e-4 for before, after in pairwise(stop))
    hardest = -np.diff(stop, append=0.0).min() if speed else 0.0
    assert hardest <= 0.5 * stop[0] + 1e-4, "no frame takes more than half of the speed"


@pytest.mark.parametrize("away", [2.0, 50.0, 150.0])
def test_the_way_home_is_slow_takes_a_second_at_least_and_ends_at_rest(away: float) -> None:
    fps = 15
    poses = settle(fps, away=away, speed=1.0, seconds=20)
    home = poses[2 + len(stopping(fps)) :]
    assert joint_speeds(home, fps).max() <= 1.03 * HOME_M_S  # of 12 chords and an ease
    np.testing.assert_allclose(home[-1], REST, atol=1e-6)
    from_rest = np.linalg.norm(home - REST, axis=-1).max(-1)
    assert all(b <= a + 1e-5 for a, b in pairwise(from_rest)), "straight home"
    early = home[round(0.8 * HOME_S * fps) - 1]
    assert np.abs(early - REST).max() > 1e-4, "not there before a second has passed"


def test_a_pose_that_rests_already_stays_where_it_is() -> None:
    np.testing.assert_allclose(
        settle(15, speed=0.0, away=0.0), np.tile(REST, (182, 1, 1)), atol=1e-6
    )


def test_carrying_on_goes_along_the_arc_and_leaves_jumps_alone() -> None:
    a = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    b = np.array([[np.cos(0.2), np.sin(0.2), 0], [-1, 0, 0], [0, 0, 1]], np.float32)
    got = onward(a, b, 0.5)
    np.testing.assert_allclose(got[0], [np.cos(0.3), np.sin(0.3), 0], atol=1e-6)
    np.testing.assert_array_equal(got[1], b[1])
    np.testing.assert_allclose(got[2], b[2], atol=1e-6)
