"""Log-mel spectrograms of the offline networks, on numpy (ha2g.md 1.3, hop.md 1).

The streaming networks have their own front end inside the step graph
(`models.frontend`).
"""

from fractions import Fraction
from typing import Literal

import librosa
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000
BANDS = 128
FLOOR_DB = -80.0

_HOP_WINDOW = 1600
_HOP_FFT = 2048


def ha2g_log_mel(
    samples: Float32, *, padding: Literal["constant", "reflect"] = "constant"
) -> npt.NDArray[np.float16]:
    """Return HA2G's spectrogram of a whole clip, float16 [128, 1 + n // 512].

    Decibels under the clip's own maximum, floored at -80. padding: at the
    clip's two ends: `constant` as current librosa does, `reflect` as the one
    that the datasets were built with; only the first and last column differ.
    """
    return ha2g_log_mel_float32(samples, padding=padding).astype(np.float16)


def ha2g_log_mel_float32(
    samples: Float32, *, padding: Literal["constant", "reflect"] = "constant"
) -> Float32:
    """Return `ha2g_log_mel` before the cast that the datasets apply."""
    power = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=1024, hop_length=512, n_mels=BANDS, pad_mode=padding
    )
    return librosa.power_to_db(power, ref=np.max, top_db=-FLOOR_DB)


def hop_released_log_mel(samples: Float32) -> Float32:
    """Return the released HOP's spectrogram of one window: [34, 128] for 36267 samples.

    Its hop of 1096 samples drifts from the pose clock, and its reference is the
    window's own maximum (hop.md 1, facts to know).
    """
    power = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=1024, hop_length=1096, n_mels=BANDS
    )
    return librosa.power_to_db(power, ref=np.max, top_db=-FLOOR_DB).T


def frame_end(frame: int, fps: int = 15) -> int:
    """Return one past the last sample of a pose frame: round((n + 1) * 16000 / fps)."""
    return round(Fraction((frame + 1) * SAMPLE_RATE, fps))


def trailing_windows(samples: Float32, frames: int, length: int) -> Float32:
    """Return the last `length` samples at each frame's end: [frames, length].

    Samples before the first and after the last count as zeros; no frame sees
    what comes after it.
    """
    ends = np.array([frame_end(n) for n in range(frames)])
    padded = np.zeros(length + max(frame_end(frames - 1), len(samples)), np.float32)
    padded[length : length + len(samples)] = samples
    return np.lib.stride_tricks.sliding_window_view(padded, length)[ends]


def hop_log_mel(samples: Float32, frames: int) -> Float32:
    """Return the clean HOP's causal spectrogram: [frames, 128], about -1 to 1.

    Frame n is one Hann window of 1600 samples that ends with pose frame n.
    A full-scale sine is near 0 dB; the floor is -80 dB; the
    value is (dB + 40) / 40 (hop.md 1).
    """
    hann = np.hanning(_HOP_WINDOW + 1)[:-1].astype(np.float32)
    windows = trailing_windows(samples, frames, _HOP_WINDOW) * hann
    amplitude = np.abs(np.fft.rfft(windows, _HOP_FFT)) * (2 / hann.sum())
    bank = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=_HOP_FFT, n_mels=BANDS, norm=None)
    power = np.maximum(amplitude**2 @ bank.T, 1e-20)
    decibels = np.maximum(10 * np.log10(power), FLOOR_DB)
    return ((decibels + 40) / 40).astype(np.float32)
