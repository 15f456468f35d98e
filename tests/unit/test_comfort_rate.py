from itertools import pairwise

import numpy as np

from streamer.comfort import _ARMS, Comfort
from streamer.comfort_rate import HINT, StrokeGate
from streamer.comfort_settings import Settings
from streamer.humanoid import BONE_INDEX, BONES
from streamer.rotation import about
from tests.serving import make_frame

FPS = 15


def strokes(count: int) -> list[np.ndarray]:
    """Return poses of an arm that goes up and down, half a second each, and rests between."""
    poses = []
    for n in range(count * 2 * FPS):
        t = n / FPS % 2
        raised = np.sin(np.pi * min(t, 1.0)) ** 2
        pose = np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1))
        pose[BONE_INDEX["leftUpperArm"]] = about((0, 0, 1), -1.2 + 1.4 * raised)
        poses.append(pose)
    return poses


def apexes(rate: float, count: int = 12) -> list[float]:
    """Return how much of each stroke is seen at its apex."""
    gate = StrokeGate(_ARMS)
    shares = [gate(pose, 1 / FPS, rate) for pose in strokes(count)]
    return [shares[round((2 * n + 0.6) * FPS)] for n in range(count)]


def test_all_strokes_are_performed_as_they_are_by_default() -> None:
    assert apexes(1.0) == [1.0] * 12


def test_at_a_half_it_is_every_other_one() -> None:
    seen = [share > 0.7 for share in apexes(0.5)][2:]
    assert sum(seen) in (5, 6)
    assert all(a != b for a, b in pairwise(seen))


def test_a_quarter_and_none() -> None:
    assert sum(share > 0.7 for share in apexes(0.25, 17)[1:]) == 4
    assert all(share < HINT + 0.15 for share in apexes(0.0)[2:])


def test_the_share_never_jumps_and_stays_in_its_bounds() -> None:
    gate = StrokeGate(_ARMS)
    shares = np.array([gate(pose, 1 / FPS, 0.5) for pose in strokes(8)])
    assert np.abs(np.diff(shares)).max() < 0.2
    assert shares.min() >= HINT - 1e-6
    assert shares.max() <= 1


def test_it_is_a_setting() -> None:
    comfort = Comfort(Settings(rate=0.0))
    for n in range(30):
        shown = comfort(make_frame(n))
    arm = BONE_INDEX["leftUpperArm"]
    given = make_frame(29)
    assert np.abs(shown.rotations[arm] - given.rotations[arm]).max() > 0.01
    np.testing.assert_array_equal(
        shown.rotations[BONE_INDEX["head"]], given.rotations[BONE_INDEX["head"]]
    )
