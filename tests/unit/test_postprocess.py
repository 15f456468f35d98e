from itertools import pairwise

import numpy as np
import pytest

from streamer.humanoid import BONES
from streamer.postprocess import PostProcessor, VoiceTracker, unit_rest
from streamer.skeleton import load_skeleton
from streamer.vectors import blend, unit
from tests.fakes import Unturned

SKELETON = load_skeleton("upper_body")
REST = unit_rest(SKELETON)
FPS = 15


def make(name: str = "upper_body") -> PostProcessor:
    skeleton = load_skeleton(name)
    rest = unit_rest(skeleton)
    return PostProcessor(skeleton, fps=FPS, rest=rest, retarget=Unturned(skeleton, FPS))


def pose(seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((SKELETON.vectors, 3))
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((a * b).sum(-1), -1, 1)))


def test_vectors_become_unit_and_short_or_broken_ones_keep_their_direction() -> None:
    post = make()
    first = post(pose(1) * 2.5, 0.0, reset=False).directions
    np.testing.assert_allclose(first, pose(1), atol=1e-6)
    second = pose(2) * 0.5
    second[3] *= 0.5  # norm 0.25
    second[7] = np.nan
    second[9] = np.inf
    got = post(second, 0.0, reset=False).directions
    held = [3, 7, 9]
    others = [i for i in range(SKELETON.vectors) if i not in held]
    np.testing.assert_array_equal(got[held], first[held])
    np.testing.assert_allclose(got[others], pose(2)[others], atol=1e-6)


def test_a_vector_that_never_had_a_direction_rests() -> None:
    got = make()(np.zeros((SKELETON.vectors, 3), np.float32), 0.0, reset=False)
    np.testing.assert_allclose(got.directions, REST, atol=1e-6)


def test_a_reset_is_reached_from_the_last_pose_within_300_ms() -> None:
    post = make()
    before = post(pose(1), 0.0, reset=False).directions
    target = pose(2)
    path = [post(target, 0.0, reset=i == 0).directions for i in range(6)]
    apart = angles(before, target)
    gone = [angles(before, p) / apart for p in path]
    # the first frame has hardly left, each is further, frame 5 (333 ms) is there
    assert np.median(gone[0]) < 0.2
    assert all((b >= a - 1e-3).all() for a, b in pairwise(gone))
    np.testing.assert_allclose(path[5], target, atol=1e-6)
    assert np.median(gone[3]) < 1.0


def interrupted(frames: int, *, quiet_after: int) -> tuple[PostProcessor, list[np.ndarray]]:
    """Stop at pose 3 and go on for `frames`; the voice falls silent after `quiet_after`."""
    post = make()
    post(pose(3), 0.9, reset=True)
    for _ in range(6):
        post(pose(3), 0.9, reset=False)
    post.settle()
    voices = [0.9 if i < quiet_after else 0.0 for i in range(frames)]
    return post, [post(pose(4), v, reset=False).directions for v in voices]


def test_an_interrupted_pose_stays_then_rests_whatever_the_stream_does() -> None:
    _, path = interrupted(200, quiet_after=2)
    away = angles(pose(3), REST).max()
    assert angles(path[2], pose(3)).max() < 0.02 * away, "it stood still and stays so"
    assert max(angles(a, b).max() for a, b in pairwise(path)) < 0.1 * away
    np.testing.assert_allclose(path[-1], REST, atol=1e-6)


def test_the_voice_ends_an_interrupt_when_it_begins_anew_or_goes_on_for_half_a_second() -> None:
    post, path = interrupted(6, quiet_after=2)
    again = [post(pose(4), 0.9, reset=False).directions for _ in range(6)]
    np.testing.assert_allclose(again[-1], pose(4), atol=1e-6)
    assert angles(path[-1], again[0]).max() < 0.4 * angles(path[-1], pose(4)).max()
    _, path = interrupted(20, quiet_after=99)
    assert np.abs(path[7] - pose(4)).max() > 0.1
    np.testing.assert_allclose(path[13], pose(4), atol=1e-6)


def test_a_second_interrupt_on_the_way_changes_nothing_and_one_after_it_stops_again() -> None:
    post, path = interrupted(10, quiet_after=2)
    post.settle()
    on = post(pose(4), 0.0, reset=False).directions
    assert angles(path[-1], on).max() < 5, "it goes on home"
    for _ in range(3):
        leaving = post(pose(4), 0.9, reset=False).directions
    post.settle()
    stopped = [post(pose(4), 0.0, reset=False).directions for _ in range(3)]
    assert angles(stopped[1], stopped[2]).max() < 0.1 * angles(leaving, pose(4)).max()


def test_voice_state_has_hysteresis_and_falls_idle_after_two_seconds() -> None:
    track = VoiceTracker(FPS)
    assert track(0.5) == "listening"
    assert track(0.61) == "speaking"
    assert track(0.45) == "speaking"
    assert track(0.39) == "listening"
    assert track(0.55) == "listening"
    quiet = [track(0.1) for _ in range(30)]
    assert quiet.index("idle") == 27  # the 30th quiet frame in a row
    assert track(float("nan")) == "idle"
    assert track(0.9) == "speaking"


@pytest.mark.parametrize(("name", "height"), [("upper_body", 0.95), ("ted_expressive", 1.29)])
def test_the_root_joint_stands_where_the_humanoid_has_it(name: str, height: float) -> None:
    skeleton = load_skeleton(name)
    posed = make(name)(unit_rest(skeleton), 0.0, reset=False)
    root = posed.positions[skeleton.root_joint]
    np.testing.assert_allclose(root, [0, height, 0], atol=1e-6)
    nose = posed.positions[skeleton.joints.index("nose")]
    assert nose[1] > height + 0.1, "y is up in VRM axes"
    assert posed.rotations.shape == (len(BONES), 4)
    assert not posed.positions.flags.writeable


def test_blending_opposite_vectors_jumps_and_stays_unit() -> None:
    up = np.array([[0, 1, 0]], np.float32)
    for weight in (0.0, 0.3, 0.5, 0.7, 1.0):
        got = blend(up, -up, weight)
        np.testing.assert_allclose(np.linalg.norm(got), 1, atol=1e-6)
    np.testing.assert_array_equal(blend(up, -up, 0.5), -up)


def test_unit_leaves_its_input_alone() -> None:
    vectors = np.array([[3.0, 0, 0]], np.float32)
    unit(vectors, vectors)
    assert vectors[0, 0] == 3
