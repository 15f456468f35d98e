"""Long-form synthesis: windows, words, slices and joins, and HA2G's golden clips."""

import numpy as np
import pytest

from models import longform
from models.longform import TimedWord, Window
from tests.golden_files import (
    SETS,
    assert_close,
    golden,
    one_thread,  # noqa: F401  (an autouse fixture)
)
from tests.unit.test_ha2g import network


@pytest.mark.parametrize("name", SETS)
def test_ha2g_clip_matches_the_reference(name: str) -> None:
    want = golden(f"longform_{name}")
    samples = want["in_audio_int16"].astype(np.float32) / 32768
    columns = (want["in_words"], want["in_word_start"], want["in_word_end"])
    words = [
        TimedWord(index=int(i), start=float(a), end=float(b))
        for i, a, b in zip(*columns, strict=True)
    ]
    raw = longform.ha2g_clip(
        network(name),
        samples,
        words,
        int(want["in_vid"][0]),
        seeds=want["in_seed"],
        noise=want["in_eps"],
        reference_offset=True,
    )
    assert_close(np.stack(raw), want["window_out"])
    assert_close(longform.join(raw), want["out"])


def test_ha2g_clip_from_a_cold_start_covers_any_length() -> None:
    model = network("ted_gesture")
    for seconds, count in ((0.7, 1), (2.0, 1), (3.0, 2), (4.2, 2)):
        raw = longform.ha2g_clip(model, np.zeros(int(seconds * 16000), np.float32), [], 1)
        assert len(raw) == count
        assert longform.join(raw).shape == (30 * count + 4, 27)


def test_windows_count_and_start() -> None:
    starts = [w.start for w in longform.windows(7 * 16000)]
    assert starts == [0.0, 2.0, 4.0, 6.0]
    assert len(list(longform.windows(16000))) == 1
    assert len(list(longform.windows(36267))) == 2  # 2.26669 s is past 34 / 15 s


def window(start: float = 2.0, clip: float = 7.0) -> Window:
    return Window(number=1, start=start, end=start + 34 / 15, clip=clip)


def test_words_sit_in_their_onset_frame() -> None:
    words = [
        TimedWord(index=9, start=0.5, end=1.9),  # over before the window
        TimedWord(index=4, start=1.8, end=2.2),  # began before: frame 0
        TimedWord(index=5, start=2.5, end=2.6),
        TimedWord(index=6, start=2.53, end=2.9),  # same frame: overwrites
        TimedWord(index=7, start=4.5, end=4.7),  # starts after the window
    ]
    row = longform.frame_words(words, window())
    assert row[0] == 4
    assert row[7] == 6
    assert sorted(row[row > 0]) == [4, 6]
    assert longform.listed_words(words, window()).tolist() == [1, 4, 5, 6, 2]


def test_spectrogram_offset_is_right_unless_the_reference_is_asked_for() -> None:
    spectrogram = np.tile(np.arange(313, dtype=np.float32), (128, 1))  # 10 s
    at = window(start=6.0, clip=10.0)
    right = longform.spectrogram_columns(spectrogram, at)
    reference = longform.spectrogram_columns(spectrogram, at, reference_offset=True)
    assert right[0, 0] == 187  # 6 s is column 187.8
    assert reference[0, 0] == 76  # what a tenth of 128 columns a second gives
    assert right.shape == reference.shape == (128, 70)


def test_spectrogram_is_padded_with_silence_at_the_end() -> None:
    spectrogram = np.zeros((128, 219), np.float16)
    got = longform.spectrogram_columns(spectrogram, window(start=6.0))
    assert got.shape == (128, 70)
    assert np.all(got[:, :32] == 0)
    assert np.all(got[:, 32:] == -80)


def test_raw_samples_are_padded_with_zeros() -> None:
    got = longform.raw_samples(np.ones(7 * 16000, np.float32), window(start=6.0))
    assert got.shape == (36266,)
    assert got.sum() == 16000


def test_join_fades_over_four_frames() -> None:
    a, b = np.full((34, 1), 0.0, np.float32), np.full((34, 1), 5.0, np.float32)
    joined = longform.join([a, b])
    assert joined.shape == (64, 1)
    np.testing.assert_allclose(joined[29:35, 0], [0, 1, 2, 3, 4, 5], atol=1e-6)


def test_smoothing_keeps_a_cubic_and_leaves_the_rest() -> None:
    t = np.arange(64, dtype=np.float32)[:, None] / 64
    cubic = 1 + t - 3 * t**2 + 2 * t**3
    np.testing.assert_allclose(longform.smooth_seams(cubic, 2), cubic, atol=1e-5)
    noisy = cubic + np.random.default_rng(3).normal(0, 1, cubic.shape).astype(np.float32)
    smooth = longform.smooth_seams(noisy, 2)
    assert np.array_equal(smooth[12:30], noisy[12:30])
    assert np.abs(np.diff(smooth[:12, 0], 4)).max() < 1e-4  # a cubic has no 4th difference


def test_fade_out_ends_in_the_mean_pose() -> None:
    poses = np.ones((64, 2), np.float32)
    out = longform.fade_out(poses, padded_samples=16000)
    assert np.array_equal(out[:49], poses[:49])
    assert np.all(np.abs(out[57:]) < 1e-6)
    assert np.all(np.abs(np.diff(out[49:57, 0], 3)) < 1e-5)  # a quadratic
