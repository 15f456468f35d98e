from pathlib import Path

import numpy as np
import pytest

from streamer.errors import InputError
from training import pose
from training.clips import CLIP_FPS, CODE_SIZE, Library, gesture_class, load_library
from training.torso import depth
from training.triggers import TRIGGERS, trigger_class, trigger_words


@pytest.fixture(scope="module")
def library(shared: Path) -> Library:
    return load_library(shared / "data" / "smartbody_gestures")


@pytest.mark.parametrize(
    ("name", "gesture"),
    [
        ("brad/Idle01_MeLf01", "me"),
        ("garza/IdleStand01_NegateLeftLowRt01", "no"),
        ("connor/IdleStand01_NoRightBt01", "no"),
        ("brad/Idle01_HoweverLf01", "contrast"),
        ("garza/IdleStand01_BeatFlipBt01", "maybe"),
        ("brad/Idle03_BeatHighBt01", "beat"),
        ("brad/Idle03_EmptyLarge", "big"),
    ],
)
def test_names_say_the_class(name: str, gesture: str) -> None:
    assert gesture_class(name) == gesture


def test_a_wrong_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="smartbody_gestures"):
        load_library(tmp_path)


def test_all_clips_begin_in_the_one_idle_pose(library: Library) -> None:
    arms = pose.groups_to_vectors(pose.ARMS["left"] + pose.ARMS["right"])
    for clip in library.clips:
        np.testing.assert_allclose(clip.directions[0, arms], library.idle[arms], atol=0.02)
    left, right = pose.positions(library.idle)[pose.WRISTS]
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=1e-5)  # symmetric
    assert left[1] < 0.0  # below the pelvis: low at the sides
    assert 0.15 < left[0] < 0.35


def test_phases_are_in_order_and_strokes_move(library: Library) -> None:
    for clip in library.clips:
        length = len(clip.directions) / CLIP_FPS
        assert 0 <= clip.start < clip.cocked < clip.apex <= clip.release <= length
        ends = pose.positions(clip.at(np.array([clip.start, clip.cocked, clip.apex])))
        wrists = ends[:, [pose.WRISTS[("left", "right").index(h)] for h in clip.hands]]
        assert np.linalg.norm(wrists[2] - wrists[0], axis=-1).max() > 0.08, clip.name
        assert np.linalg.norm(wrists[2] - wrists[1], axis=-1).max() > 0.03, clip.name


def test_clips_are_bodily_possible(library: Library) -> None:
    for clip in library.clips:
        np.testing.assert_allclose(np.linalg.norm(clip.directions, axis=-1), 1.0, atol=1e-6)
        assert depth(clip.directions).max() < 0.01, clip.name
        wrists = pose.positions(clip.directions)[:, pose.WRISTS]
        speed = np.linalg.norm(np.diff(wrists, axis=0), axis=-1) * CLIP_FPS
        assert speed.max() < 3.0, clip.name


def test_codes_are_white_and_tell_clips_apart(library: Library) -> None:
    codes = library.codes
    assert codes.shape == (len(library.clips), CODE_SIZE)
    np.testing.assert_allclose(codes.mean(0), 0.0, atol=1e-9)
    np.testing.assert_allclose(codes.T @ codes / len(codes), np.eye(CODE_SIZE), atol=1e-9)
    gap = np.linalg.norm(codes[:, None] - codes[None], axis=-1) + 9 * np.eye(len(codes))
    assert gap.min() > 0.3
    # Near codes are near gestures: the nearest clip by code is much nearer in space than any.
    apexes = library.apexes.reshape(len(codes), -1)
    space = np.linalg.norm(apexes[:, None] - apexes[None], axis=-1)
    assert space[np.arange(len(codes)), gap.argmin(1)].mean() < 0.5 * space.mean()


def test_apexes_are_spread(library: Library) -> None:
    assert 60 <= len(library.clips) <= 150
    kept: list[np.ndarray] = []
    for apex in library.apexes:
        if all(np.linalg.norm(apex - k, axis=-1).max() > 0.12 for k in kept):
            kept.append(apex)
    assert len(kept) >= 40
    counts = np.array([[h in c.hands for h in ("left", "right")] for c in library.clips])
    assert abs(int(counts[:, 0].sum()) - int(counts[:, 1].sum())) <= 5
    assert (counts.sum(1) == 1).mean() > 0.3  # many one-handed


def test_at_least_eight_trigger_classes_have_several_clips(library: Library) -> None:
    served = [g for g in TRIGGERS if len(library.of_class(g)) >= 3]
    assert len(served) >= 8
    assert {"me", "you", "no", "big", "stop", "here", "question"} <= set(served)


def test_trigger_words_are_written_as_words_are_normalised() -> None:
    assert all(trigger_class(word) is not None for word in trigger_words())
    assert trigger_class("Don't!") == "no"
    assert trigger_class("However,") == "contrast"
    assert trigger_class("table") is None


def test_the_library_is_reproducible(library: Library, shared: Path) -> None:
    again = load_library(shared / "data" / "smartbody_gestures")
    assert [c.name for c in again.clips] == [c.name for c in library.clips]
    np.testing.assert_array_equal(again.codes, library.codes)
