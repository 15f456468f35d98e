"""The audio front end against librosa, and the level tracker's promises."""

import librosa
import numpy as np
import pytest
import torch

from models.frontend import LevelTracker, MelFrontEnd, column_windows
from streamer.clock import FrameClock


def test_mel_matches_librosa():
    random = np.random.default_rng(0)
    audio = (random.standard_normal(8000) * 0.1).astype(np.float32)
    front = MelFrontEnd(window=640, mels=64)
    hop = 320
    frames = 1 + (len(audio) - 640) // hop
    windows = np.stack([audio[i * hop : i * hop + 640] for i in range(frames)])
    got = front(torch.tensor(windows)).numpy()
    power = librosa.feature.melspectrogram(
        y=audio, sr=16_000, n_fft=640, hop_length=hop, n_mels=64, center=False, norm=None
    )
    scale = (2.0 / librosa.filters.get_window("hann", 640).sum()) ** 2
    want = 10 * np.log10(np.maximum(power.T * scale, 1e-10))
    # measured 2e-4 dB: float32 matrix products against librosa's FFT
    np.testing.assert_allclose(got, want, atol=2e-3)


def test_full_scale_sine_is_near_zero_decibel():
    t = np.arange(640) / 16_000
    mel = MelFrontEnd()(torch.tensor(np.sin(2 * np.pi * 1000 * t), dtype=torch.float32))
    assert abs(float(mel.max())) < 1.5


def test_windows_end_where_the_clock_says():
    audio = np.arange(1, 8001, dtype=np.float32)
    windows = column_windows(audio, 7, 2, 640)
    clock = FrameClock(fps=15, columns=2)
    for frame in range(7):
        for column in range(2):
            end = clock.column_end(frame, column)
            assert windows[frame, column, -1] == audio[end - 1]
    assert windows[0, 0, 0] == 0, "before the session there is silence"


def track(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (level features [N, F], tracker states [N, LEVEL_STATE]) per column."""
    front, tracker = MelFrontEnd(), LevelTracker()
    windows = torch.tensor(column_windows(audio, len(audio) * 15 // 16_000, 2, 640)).flatten(0, 1)
    mel = front(windows)
    energy = tracker.energy(mel)
    states = tracker.scan(energy)
    return tracker.features(mel, energy, states)[1].numpy(), states.numpy()


def bursts(level: float, noise: float, seconds: float = 12.0) -> np.ndarray:
    """Return noise bursts of 0.5 s every second over a noise floor."""
    random = np.random.default_rng(1)
    n = int(seconds * 16_000)
    on = (np.arange(n) // 8000) % 2 == 0
    return (random.standard_normal(n) * (on * level + noise)).astype(np.float32)


@pytest.mark.parametrize("gain_db", [-15.0, 15.0])
def test_level_features_do_not_depend_on_the_microphone_gain(gain_db: float):
    plain, _ = track(bursts(0.05, 0.0005))
    gained, _ = track(bursts(0.05, 0.0005) * 10 ** (gain_db / 20))
    apart = np.abs(plain - gained)
    # measured 0.02 (0.4 dB) once the tracker has settled
    assert apart[5 * 30 :, [0, 1, 2, 4]].max() < 0.1
    # what is usual is learnt from 1.5 s of voice, here 3 s
    assert apart[8 * 30 :, 3].max() < 0.1


def test_an_onset_stands_out():
    """Bursts of 0.5 s every second: rise and brightness peak where one begins."""
    levels, _ = track(bursts(0.05, 0.0005))
    rise = levels[6 * 30 :, 4]
    begins = np.flatnonzero((rise[1:] > 0.5) & (rise[:-1] <= 0.5)) % 30
    assert len(begins) >= 5
    assert np.ptp(begins) <= 2, "each second at the same column"
    assert rise.min() >= 0


def test_a_pause_does_not_amplify_noise():
    audio = np.concatenate([bursts(0.1, 0.0003, 6.0), bursts(0.0, 0.0003, 5.0)])
    level, _ = track(audio)
    # 5 s of pause: the noise must stay at least 20 dB under the remembered peak
    assert level[-10:, 0].max() < -1.0


def test_peak_falls_by_two_decibels_a_second():
    _, states = track(np.concatenate([bursts(0.1, 0.0003, 6.0), np.zeros(16_000 * 4, np.float32)]))
    fallen = states[-1, 0] - states[-1 - 60, 0]
    assert fallen == pytest.approx(-4.0, abs=0.01)
