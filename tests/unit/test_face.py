from itertools import pairwise

import numpy as np
import pytest

from streamer.comfort_settings import Settings
from streamer.errors import UsageError
from streamer.face import EXPRESSIONS, Blink, Face, scaled, with_face
from streamer.sinks.vmc_encoding import expressions
from streamer.sinks.vrchat_encoding import face_parameters
from streamer.steering import Steering
from streamer.types import AudioChunk
from tests.serving import HELLO, make_frame


def noise(seconds: float, level: float = 0.1) -> AudioChunk:
    samples = np.random.default_rng(0).normal(scale=level, size=round(seconds * 16_000))
    return AudioChunk(samples=samples.astype(np.float32), start=0, captured_at=0.0)


def test_lids_close_every_few_seconds_fully_and_briefly() -> None:
    blink = Blink(3)
    times = np.arange(0, 120, 1 / 60)
    shut = np.array([blink(t) for t in times])
    assert shut.min() == 0
    assert shut.max() > 0.9
    assert ((shut >= 0) & (shut <= 1)).all()
    starts = np.flatnonzero((shut[1:] > 0) & (shut[:-1] == 0))
    assert 120 / 7 < len(starts) < 120 / 2
    assert (shut > 0).mean() < 0.1


def test_the_same_seed_blinks_the_same_also_after_hours() -> None:
    first, second = Blink(1), Blink(1)
    assert [first(n / 15) for n in range(300)] == [second(n / 15) for n in range(300)]
    assert 0 <= first(40_000.0) <= 1
    assert max(first(40_000 + n / 60) for n in range(600)) > 0.9


def test_frames_get_a_face_in_the_order_of_the_names() -> None:
    face = Face(seed=2)
    face.hear(noise(2))
    frames = [face.apply(make_frame(n)) for n in range(25)]
    shown = np.array([f.face for f in frames])
    assert shown.shape == (25, len(EXPRESSIONS))
    assert (shown >= 0).all()
    assert (shown[:, :5].sum(1) <= 1 + 1e-6).all()
    assert with_face(HELLO).face == EXPRESSIONS
    assert not frames[3].face.flags.writeable


def test_a_mouth_closes_over_some_frames() -> None:
    face = Face()
    face._shown = np.array([0.8, 0, 0, 0, 0])
    closing = [float(face.apply(make_frame(n)).face[0]) for n in range(8)]
    assert all(b < a or b == 0 for a, b in pairwise(closing))
    assert closing[0] > 0.3
    assert closing[-1] == 0


def test_the_setting_scales_the_mouth_and_not_the_lids() -> None:
    steering = Steering(profiles=None, face=Face())
    steering.control({"mouth": 0.5})
    frame = make_frame(0)
    assert steering.apply(frame).face is not None
    given = scaled(Face().apply(frame), 1.0)
    given.face.flags.writeable = True
    given.face[:] = [0.4, 0, 0.2, 0, 0, 0.9]
    np.testing.assert_allclose(scaled(given, 0.5).face, [0.2, 0, 0.1, 0, 0, 0.9], atol=1e-6)
    assert scaled(frame, 0.5) is frame  # nobody made a face
    with pytest.raises(UsageError, match="mouth"):
        steering.control({"mouth": 1.5})
    assert Settings().mouth == 1.0


def test_a_mouth_that_opens_less_leaves_the_pose_untouched() -> None:
    steering = Steering(profiles=None)
    frame = make_frame(0)
    assert steering.apply(frame) is frame
    steering.control({"mouth": 0.2})
    for n in range(1, 9):  # once the change has blended over
        shown = steering.apply(make_frame(n))
    np.testing.assert_array_equal(shown.rotations, make_frame(8).rotations)


def test_names_of_other_programs() -> None:
    face = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 1.0], np.float32)
    assert list(expressions(face)) == ["A", "I", "U", "E", "O", "Blink"]
    assert expressions(face)["U"] == pytest.approx(0.3)
    named = face_parameters(face)
    assert list(named) == [f"Mouth_{v}" for v in EXPRESSIONS[:5]] + ["Blink"]
    assert named["Mouth_oh"] == pytest.approx(0.5)
