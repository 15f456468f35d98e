"""Log-mel spectrograms against the golden file and hand-made signals."""

import numpy as np
import pytest

from models.melspectrogram import (
    frame_end,
    ha2g_log_mel,
    ha2g_log_mel_float32,
    hop_log_mel,
    hop_released_log_mel,
    trailing_windows,
)
from tests.golden_files import assert_close, golden

# float16 has a step of 0.0625 at -80; values on a rounding edge may fall either way.
FLOAT16_STEP = 0.0625


def clip() -> np.ndarray:
    return golden("mel")["in_audio_int16"].astype(np.float32) / 32768


def test_matches_the_reference() -> None:
    want = golden("mel")
    assert_close(ha2g_log_mel_float32(clip()), want["log_mel_float32"])
    got = ha2g_log_mel(clip())
    assert got.dtype == np.float16
    assert_close(got, want["log_mel_float16"], atol=FLOAT16_STEP, rtol=0)
    assert np.mean(got != want["log_mel_float16"]) < 0.001


def test_matches_the_reflecting_reference() -> None:
    want = golden("mel")["log_mel_float16_reflect_padding"]
    got = ha2g_log_mel(clip(), padding="reflect")
    assert_close(got, want, atol=FLOAT16_STEP, rtol=0)
    assert not np.array_equal(got[:, 0], ha2g_log_mel(clip())[:, 0])


def test_matches_the_reference_on_float16_audio() -> None:
    samples = clip().astype(np.float16).astype(np.float32)
    want = golden("mel")["log_mel_float16_of_float16_audio"]
    assert_close(ha2g_log_mel(samples), want, atol=FLOAT16_STEP, rtol=0)


def test_range_and_length() -> None:
    got = ha2g_log_mel(clip()[:36267])
    assert got.shape == (128, 71)
    assert got.max() == 0
    assert got.min() >= -80


def test_released_hop_gives_one_column_per_pose() -> None:
    got = hop_released_log_mel(clip()[:36267])
    assert got.shape == (34, 128)
    assert got.max() == 0


def test_frames_end_on_the_pose_clock_for_ever() -> None:
    assert [frame_end(n) for n in (0, 1, 2, 33)] == [1067, 2133, 3200, 36267]
    assert frame_end(15 * 3600 - 1) == 3600 * 16000


def test_trailing_windows_end_with_their_frame() -> None:
    samples = np.arange(1, 5001, dtype=np.float32)
    got = trailing_windows(samples, 5, 1600)
    assert got[1, -1] == 2133
    assert got[1, 0] == 534
    assert got[0, 0] == 0
    assert got[0, -1] == 1067
    assert got[4, -1] == 0  # past the end


def test_clean_hop_is_causal() -> None:
    rng = np.random.default_rng(7)
    samples = rng.normal(0, 0.1, 36267).astype(np.float32)
    changed = samples.copy()
    changed[frame_end(9) :] = 0
    before, after = hop_log_mel(samples, 34), hop_log_mel(changed, 34)
    assert np.array_equal(before[:10], after[:10])
    assert not np.array_equal(before[10], after[10])


@pytest.mark.parametrize("amplitude", [1.0, 0.1])
def test_clean_hop_has_a_fixed_reference(amplitude: float) -> None:
    """A full-scale sine is near 0 dB, that is 1, whatever else the clip holds."""
    t = np.arange(36267) / 16000
    sine = (amplitude * np.sin(2 * np.pi * 3000 * t)).astype(np.float32)
    decibels = hop_log_mel(sine, 34)[10].max() * 40 - 40
    assert decibels == pytest.approx(20 * np.log10(amplitude), abs=3.5)


def test_clean_hop_floor() -> None:
    assert np.all(hop_log_mel(np.zeros(36267, np.float32), 34) == -1)
