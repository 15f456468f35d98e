from fractions import Fraction

import numpy as np
import pytest

from streamer.clock import FrameClock
from training.listening import listen

CLOCK = FrameClock(fps=Fraction(15))


def bursts(frames: int, loud: dict[tuple[int, int], float]) -> np.ndarray:
    """Return noise at the given RMS over each span of frames, silence elsewhere."""
    out = np.zeros(CLOCK.start(frames), np.float32)
    noise = np.random.default_rng(0).standard_normal(len(out)).astype(np.float32)
    for (begin, end), rms in loud.items():
        out[CLOCK.start(begin) : CLOCK.start(end)] = (
            rms * noise[CLOCK.start(begin) : CLOCK.start(end)]
        )
    return out


def test_voice_is_where_the_sound_is() -> None:
    heard = listen(bursts(60, {(15, 30): 0.07, (40, 45): 0.07}), CLOCK, 60)
    expected = np.zeros(60, bool)
    expected[15:30] = expected[40:45] = True
    np.testing.assert_array_equal(heard.voiced, expected)


def test_loudness_is_in_decibels() -> None:
    heard = listen(bursts(60, {(10, 20): 0.1, (30, 40): 0.01}), CLOCK, 60)
    assert heard.loudness[15] - heard.loudness[35] == pytest.approx(20.0, abs=1.5)


def test_a_sudden_loud_syllable_is_an_accent_and_a_steady_sound_is_none() -> None:
    steady = {(10, 60): 0.03}
    loud = {(10, 35): 0.03, (35, 39): 0.25, (39, 60): 0.03}
    quiet = np.flatnonzero(listen(bursts(60, steady), CLOCK, 60).accent)
    assert set(quiet) <= {10, 11}  # at most the onset
    accents = np.flatnonzero(listen(bursts(60, loud), CLOCK, 60).accent)
    assert set(accents) & {35, 36}
    assert not set(accents) & set(range(37, 60))


def test_accents_keep_their_distance() -> None:
    spans = {(n, n + 2): 0.2 for n in range(10, 290, 4)}
    accents = np.flatnonzero(listen(bursts(300, spans), CLOCK, 300).accent)
    assert len(accents) > 10
    assert np.diff(accents).min() >= 7


@pytest.mark.parametrize("frame", [0, 7, 20, 33])
def test_nothing_is_heard_before_it_sounds(frame: int) -> None:
    generator = np.random.default_rng(frame)
    sound = bursts(40, {(5, 12): 0.1, (20, 30): 0.05, (32, 34): 0.3})
    other = sound.copy()
    other[CLOCK.end(frame) :] = generator.normal(size=len(sound) - CLOCK.end(frame))
    a, b = listen(sound, CLOCK, 40), listen(other, CLOCK, 40)
    for name in ("loudness", "voiced", "accent"):
        np.testing.assert_array_equal(getattr(a, name)[: frame + 1], getattr(b, name)[: frame + 1])


def test_silence_follows_the_last_sample() -> None:
    heard = listen(bursts(10, {(5, 10): 0.1}), CLOCK, 20)
    assert heard.voiced[5:10].all()
    assert not heard.voiced[10:].any()
