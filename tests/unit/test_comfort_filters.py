"""Delay, overshoot and jitter of the filters, measured. Run with -s for the table."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.comfort_filters import Damped, OneEuro, scaled

FPS = 15


def filtered(smooth: object, degrees: np.ndarray, fps: float = FPS) -> np.ndarray:
    q = Rotation.from_euler("y", degrees[:, None], degrees=True).as_quat().astype(np.float32)
    out = [smooth(row[None], 1 / fps)[0] for row in q]  # type: ignore[operator]
    return np.degrees(np.unwrap(Rotation.from_quat(np.array(out)).as_rotvec()[:, 1]))


@pytest.mark.parametrize("delay_ms", [50, 100, 300])
@pytest.mark.parametrize("fps", [15, 60])
def test_a_steady_turn_is_followed_as_late_as_said(delay_ms: float, fps: int) -> None:
    """Damped: exactly `delay_s` behind, less the frame for which the target is held."""
    t = np.arange(4 * fps) / fps
    speed = 40.0
    late = (speed * t - filtered(Damped(delay_ms / 1000), speed * t, fps))[-1] / speed
    # A target that is held for dt, and read at its end, is up to dt behind already.
    assert 0 <= delay_ms / 1000 - late <= 1 / fps
    print(f"\ndamped {delay_ms} ms at {fps} fps: adds {1000 * late:.0f} ms")


def test_damped_never_overshoots_a_step() -> None:
    step = np.where(np.arange(60) < 10, 0.0, 50.0)
    out = filtered(Damped(0.1), step)
    assert out.max() <= 50.01
    assert (np.diff(out) >= -1e-3).all()
    assert out[-1] == pytest.approx(50, abs=0.01)


@pytest.mark.parametrize(("smooth", "least"), [(Damped(0.1), 0.6), (OneEuro(0.1), 0.35)])
def test_jitter_of_a_hand_at_rest_is_less(smooth: object, least: float) -> None:
    noise = np.random.default_rng(0).normal(0, 1.0, 300)
    out = filtered(smooth, 20 + noise)
    before, after = np.abs(np.diff(noise)).mean(), np.abs(np.diff(out[30:])).mean()
    print(f"\n{type(smooth).__name__}: {before:.2f} -> {after:.2f} degrees a frame")
    assert after < (1 - least) * before


def test_one_euro_lets_quick_movement_through() -> None:
    slow, quick = 5.0, 200.0
    t = np.arange(45) / FPS
    late = [(speed * t - filtered(OneEuro(0.3), speed * t))[-1] / speed for speed in (slow, quick)]
    print(f"\none_euro 300 ms: {1000 * late[0]:.0f} ms at 5, {1000 * late[1]:.0f} ms at 200 deg/s")
    assert late[1] < 0.35 * late[0]
    assert late[0] < 0.3


def test_a_filter_goes_the_short_way_over_the_turn() -> None:
    degrees = np.arange(0, 720, 8.0)
    for smooth in (Damped(0.1), OneEuro(0.1)):
        steps = np.diff(filtered(smooth, degrees))
        assert np.abs(steps).max() < 20


def test_scaled_goes_beyond() -> None:
    base = Rotation.from_euler("y", [[10]], degrees=True).as_quat().astype(np.float32)
    goal = Rotation.from_euler("y", [[30]], degrees=True).as_quat().astype(np.float32)
    for amount, want in ((0.0, 10), (0.5, 20), (1.0, 30), (1.5, 40)):
        got = Rotation.from_quat(scaled(base, goal, np.array([amount])))
        assert np.degrees(got.as_rotvec()[0, 1]) == pytest.approx(want, abs=0.01)
