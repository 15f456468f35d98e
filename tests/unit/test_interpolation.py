"""Poses in time: even motion, no overshoot, signs, bad input, the playing clock."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from streamer.humanoid import BONES
from streamer.interpolation import PlayoutClock, PoseInterpolator
from streamer.retarget import Pose

FRAME = 1 / 15


def pose(seed: int, sign: float = 1.0) -> Pose:
    rng = np.random.default_rng(seed)
    turns = Rotation.random(len(BONES), random_state=rng).as_quat()
    return Pose(
        rotations=(sign * turns).astype(np.float32), root=rng.normal(size=3).astype(np.float32)
    )


def test_between_two_poses_is_scipys_slerp() -> None:
    a, b = pose(1), pose(2, sign=-1.0)
    poses = PoseInterpolator()
    poses.push(a, 0.0)
    poses.push(b, FRAME)
    for share in (0.0, 0.1, 0.5, 0.99):
        got = poses.sample(share * FRAME)
        assert got is not None
        for i in range(len(BONES)):
            ends = Rotation.from_quat([a.rotations[i], b.rotations[i]])
            expected = Slerp([0, 1], ends)(share)
            assert (expected.inv() * Rotation.from_quat(got.rotations[i])).magnitude() < 2e-3
        np.testing.assert_allclose(got.root, a.root + share * (b.root - a.root), atol=1e-6)


def test_sixty_samples_a_second_have_no_sign_jump_and_unit_norm() -> None:
    poses, shown = PoseInterpolator(), []
    for i in range(20):
        poses.push(pose(i, sign=(-1.0) ** i), i * FRAME)
        shown += [poses.sample((i - 1) * FRAME + k / 60) for k in range(4)]
    rotations = np.array([p.rotations for p in shown if p is not None])
    assert len(rotations) == 80
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=-1), 1, atol=1e-5)
    assert ((rotations[1:] * rotations[:-1]).sum(-1) > -1e-6).all()


def test_the_ends_hold() -> None:
    poses = PoseInterpolator()
    assert poses.sample(0.0) is None
    first, last = pose(1), pose(2)
    poses.push(first, 1.0)
    poses.push(last, 1.0 + FRAME)
    for time in (1.0 + FRAME, 2.0, 1e9):
        held = poses.sample(time)
        assert held is not None
        np.testing.assert_array_equal(np.abs(held.rotations), np.abs(last.rotations))
    early = poses.sample(0.0)
    assert early is not None
    np.testing.assert_array_equal(early.rotations, first.rotations)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_poses_that_are_not_finite_are_left_out(poison: float) -> None:
    poses, good = PoseInterpolator(), pose(1)
    assert poses.push(good, 0.0)
    for part in ("rotations", "root"):
        bad = {"rotations": good.rotations.copy(), "root": good.root.copy()}
        bad[part][0] = poison
        assert not poses.push(Pose(**bad), FRAME)
    held = poses.sample(5.0)
    assert held is not None
    np.testing.assert_array_equal(held.rotations, good.rotations)


def test_old_frames_are_left_out_and_a_new_stream_starts_afresh() -> None:
    poses = PoseInterpolator()
    assert poses.push(pose(1), 10.0)
    assert not poses.push(pose(2), 10.0)
    assert not poses.push(pose(2), 9.9)
    assert poses.push(pose(3), 0.0)
    fresh = poses.sample(0.0)
    assert fresh is not None
    np.testing.assert_allclose(np.abs(fresh.rotations), np.abs(pose(3).rotations), atol=1e-6)
    assert poses.push(pose(4), FRAME)


def test_playing_runs_one_frame_behind_the_newest() -> None:
    clock = PlayoutClock(delay_s=FRAME)
    for i in range(30):
        clock.arrived(i * FRAME, 100.0 + i * FRAME)
        # When frame i comes, frame i - 1 is due; when the next is due, frame i is.
        assert clock.showing(100.0 + i * FRAME) == pytest.approx((i - 1) * FRAME)
        assert clock.showing(100.0 + (i + 1) * FRAME) == pytest.approx(i * FRAME)


def test_one_late_frame_hardly_shifts_the_clock_and_a_later_stream_does() -> None:
    clock = PlayoutClock(delay_s=FRAME)
    for i in range(10):
        clock.arrived(i * FRAME, i * FRAME)
    clock.arrived(10 * FRAME, 10 * FRAME + 0.1)
    assert clock.showing(1.0) == pytest.approx(1.0 - FRAME - 0.005)
    clock.arrived(11 * FRAME, 11 * FRAME)
    assert clock.showing(1.0) == pytest.approx(1.0 - FRAME)
    for i in range(12, 200):
        clock.arrived(i * FRAME, i * FRAME + 0.05)
    assert clock.showing(20.0) == pytest.approx(20.0 - FRAME - 0.05, abs=1e-4)
    clock.arrived(0.0, 20.0)  # the session began again
    assert clock.showing(20.0) == pytest.approx(-FRAME)
