"""Quaternion mathematics against scipy, and the corners where formulas break."""

from math import degrees, pi, radians

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer import rotation as r

RNG = np.random.default_rng(3)


def quaternion() -> r.Quaternion:
    x, y, z, w = Rotation.random(random_state=RNG).as_quat()
    return (float(x), float(y), float(z), float(w))


def vector() -> r.Vector:
    x, y, z = RNG.normal(size=3)
    return (float(x), float(y), float(z))


def same(a: r.Quaternion, b: np.ndarray) -> bool:
    """The same rotation, whatever the sign."""
    return abs(abs(float(np.dot(a, b))) - 1) < 1e-9


def test_products_inverses_and_turned_vectors_are_scipys() -> None:
    for _ in range(50):
        a, b, v = quaternion(), quaternion(), vector()
        sa, sb = Rotation.from_quat(a), Rotation.from_quat(b)
        assert same(r.multiply(a, b), (sa * sb).as_quat())
        assert same(r.undo(a, b), (sa.inv() * sb).as_quat())
        assert same(r.inverse(a), sa.inv().as_quat())
        np.testing.assert_allclose(r.rotate(a, v), sa.apply(v), atol=1e-12)
        np.testing.assert_allclose(r.unrotate(a, v), sa.inv().apply(v), atol=1e-12)


def test_between_takes_the_shortest_way() -> None:
    for _ in range(50):
        a, b = r.unit(vector()), r.unit(vector())
        q = r.between(a, b)
        np.testing.assert_allclose(r.rotate(q, a), b, atol=1e-9)
        assert r.angle_of(q) == pytest.approx(r.arc(a, b), abs=1e-9)


@pytest.mark.parametrize("a", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.6, -0.8)])
def test_between_opposite_vectors_is_a_half_turn(a: r.Vector) -> None:
    q = r.between(a, (-a[0], -a[1], -a[2]))
    np.testing.assert_allclose(r.rotate(q, a), np.negative(a), atol=1e-9)
    assert np.linalg.norm(q) == pytest.approx(1)


def test_frames_have_the_axes_they_are_asked_for() -> None:
    for _ in range(50):
        x, y = vector(), vector()
        q = r.frame(x, y)
        np.testing.assert_allclose(r.rotate(q, (1, 0, 0)), r.unit(x), atol=1e-9)
        assert r.dot(r.rotate(q, (0, 1, 0)), y) > 0
        assert r.dot(r.rotate(q, (0, 0, 1)), y) == pytest.approx(0, abs=1e-9)
        q = r.upright_frame(x, y)
        np.testing.assert_allclose(r.rotate(q, (0, 1, 0)), r.unit(y), atol=1e-9)
        assert r.dot(r.rotate(q, (1, 0, 0)), x) > 0
        assert r.dot(r.rotate(q, (0, 0, 1)), x) == pytest.approx(0, abs=1e-9)


def test_parallel_axes_still_make_a_frame() -> None:
    for v in ((1.0, 0.0, 0.0), (0.0, 2.0, 0.0)):
        for q in (r.frame(v, v), r.upright_frame(v, v)):
            assert np.linalg.norm(q) == pytest.approx(1)
        np.testing.assert_allclose(r.rotate(r.frame(v, v), (1, 0, 0)), r.unit(v), atol=1e-9)


def test_share_scales_the_angle_about_the_same_axis() -> None:
    for _ in range(50):
        q = quaternion()
        whole = Rotation.from_quat(q).as_rotvec()
        for part in (0.0, 0.3, 1.0):
            got = Rotation.from_quat(r.share(q, part)).as_rotvec()
            np.testing.assert_allclose(got, part * whole, atol=1e-9)
    assert r.share(r.IDENTITY, 0.5) == r.IDENTITY


def test_limited_cuts_the_angle_and_keeps_the_axis() -> None:
    q = r.about((0, 0.6, 0.8), radians(70))
    assert r.limited(q, radians(80)) == q
    cut = Rotation.from_quat(r.limited(q, radians(30))).as_rotvec()
    np.testing.assert_allclose(cut, radians(30) * np.array([0, 0.6, 0.8]), atol=1e-9)


@pytest.mark.parametrize("angle", [-170, -90, -1, 0, 45, 179])
def test_twist_is_found_under_any_swing(angle: float) -> None:
    swing = r.between((1, 0, 0), r.unit((0.3, -0.7, 0.4)))
    q = r.multiply(swing, r.about_x(radians(angle)))
    assert degrees(r.twist_about_x(q)) == pytest.approx(angle, abs=1e-6)
    opposite_sign = (-q[0], -q[1], -q[2], -q[3])
    assert degrees(r.twist_about_x(opposite_sign)) == pytest.approx(angle, abs=1e-6)


def test_a_flip_of_x_has_no_twist() -> None:
    assert r.twist_about_x((0.0, 1.0, 0.0, 0.0)) == 0.0


def test_wrapped_stays_near_its_centre() -> None:
    assert r.wrapped(3 * pi / 2) == pytest.approx(-pi / 2)
    assert r.wrapped(-3 * pi / 2, centre=-pi / 2) == pytest.approx(-3 * pi / 2)
    assert r.wrapped(7.0, centre=-0.5) == pytest.approx(7.0 - 2 * pi)


def test_arrays_agree_with_scalars() -> None:
    a = np.array([quaternion() for _ in range(20)], np.float32)
    b = np.array([quaternion() for _ in range(20)], np.float32)
    v = np.array([vector() for _ in range(20)], np.float32)
    w = np.array([vector() for _ in range(20)], np.float32)
    for i in range(20):
        np.testing.assert_allclose(r.multiply_all(a, b)[i], r.multiply(a[i], b[i]), atol=1e-6)
        np.testing.assert_allclose(r.rotate_all(a, v)[i], r.rotate(a[i], v[i]), atol=1e-5)
        np.testing.assert_allclose(
            r.between_all(v, w)[i], r.between(r.unit(v[i]), r.unit(w[i])), atol=1e-5
        )
    np.testing.assert_allclose(r.multiply_all(a, r.inverse_all(a))[:, 3], 1, atol=1e-6)
    assert r.slerp_all(a, b, 0.5).dtype == np.float32


def test_slerp_moves_evenly_and_the_short_way() -> None:
    a = np.array([quaternion() for _ in range(20)], np.float32)
    b = -np.array([quaternion() for _ in range(20)], np.float32)
    for t in (0.0, 0.25, 0.9, 1.0):
        got = r.slerp_all(a, b, t)
        np.testing.assert_allclose(np.linalg.norm(got, axis=-1), 1, atol=1e-6)
        whole = (Rotation.from_quat(a).inv() * Rotation.from_quat(b)).magnitude()
        part = (Rotation.from_quat(a).inv() * Rotation.from_quat(got)).magnitude()
        np.testing.assert_allclose(part, t * whole, atol=1e-3)


def test_slerp_of_equal_rotations_is_that_rotation() -> None:
    a = np.array([quaternion()], np.float32)
    np.testing.assert_allclose(r.slerp_all(a, a, 0.3), a, atol=1e-6)
    np.testing.assert_allclose(r.slerp_all(a, -a, 0.3), a, atol=1e-6)


def test_aligned_turns_signs_only() -> None:
    a = np.array([quaternion() for _ in range(20)], np.float32)
    got = r.aligned_all(-a, a)
    np.testing.assert_array_equal(got, a)
