"""The audio front end inside the step graph: log-mel columns and a level tracker.

Everything is matrix products and elementwise operations, so that it exports to
ONNX and TensorRT without `STFT` or `DFT` nodes (spec/tensorrt.md, traps). A
column is one Hann window of samples; with a window of 640 samples and 30
columns a second the columns overlap by 107 samples.
"""

import librosa
import numpy as np
import torch
from torch import Tensor, nn

from streamer.clock import SAMPLE_RATE

FLOOR_DB = -100.0
LEVEL_FEATURES = 5
LEVEL_START = (-30.0, -60.0, -40.0, *(5 * (-60.0,)))
"""Speech peak, noise floor, usual and recent brightness in dB that a fresh session assumes."""
LEVEL_STATE = len(LEVEL_START)

_COLUMNS_PER_SECOND = 30.0
_USUAL_SECONDS = 1.5
_VOICED_DB = 28.0


class MelFrontEnd(nn.Module):
    """Windows of samples to log-mel in dB: [..., W] to [..., M].

    Equals `librosa.feature.melspectrogram(n_fft=W, window="hann", center=False,
    norm=None)` times 4 / sum(window)^2 in decibels with a floor of -100, so
    that a full-scale sine is near 0 dB.
    """

    analysis: Tensor
    mel: Tensor

    def __init__(self, window: int = 640, mels: int = 64) -> None:
        super().__init__()
        hann = np.hanning(window + 1)[:-1]
        phase = 2 * np.pi * np.outer(np.arange(window), np.arange(window // 2 + 1)) / window
        scale = 2.0 / hann.sum()
        basis = np.concatenate([np.cos(phase), -np.sin(phase)], axis=1) * hann[:, None] * scale
        bank = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=window, n_mels=mels, norm=None)
        self.register_buffer("analysis", torch.tensor(basis, dtype=torch.float32), False)
        self.register_buffer("mel", torch.tensor(bank.T, dtype=torch.float32), False)

    def forward(self, windows: Tensor) -> Tensor:
        """Return dB values [..., M] of windows [..., W]."""
        spectrum = windows @ self.analysis
        bins = self.mel.shape[0]
        power = spectrum[..., :bins] ** 2 + spectrum[..., bins:] ** 2
        return 10.0 * torch.log10(torch.clamp(power @ self.mel, min=10 ** (FLOOR_DB / 10)))


class LevelTracker(nn.Module):
    """Follows the speaker's level, the noise under it and the syllables' onsets, causally.

    State [..., LEVEL_STATE] = (peak, floor, usual, the last five columns'
    brightness) in dB. The peak rises within two columns and falls by 2 dB a
    second, so a pause of some seconds does not amplify the noise; the floor falls
    quickly and creeps up by 6 dB a second. The mel is given relative to the peak,
    so that a quiet microphone looks as a loud one does (spec/streaming.md, What
    follows, 5). Brightness is the energy after a first difference, which weighs
    down hum; an accent is where it rises fast above what is usual.
    """

    low: int
    high: int
    emphasis: Tensor

    def __init__(self, mels: int = 64) -> None:
        super().__init__()
        centres = librosa.mel_frequencies(n_mels=mels + 2, fmax=SAMPLE_RATE / 2)[1:-1]
        self.low = int(np.searchsorted(centres, 120.0))
        self.high = int(np.searchsorted(centres, 5000.0))
        turn = np.exp(-2j * np.pi * centres / SAMPLE_RATE)
        bright = np.abs(1 - 0.8 * turn) ** 2
        flat = ((np.arange(mels) >= self.low) & (np.arange(mels) < self.high)).astype(float)
        weights = np.stack([flat, bright], 1)
        self.register_buffer("emphasis", torch.tensor(weights, dtype=torch.float32), False)

    def energy(self, mel_db: Tensor) -> Tensor:
        """Return [..., 2] in dB of mel columns [..., M]: the speech band's energy, brightness."""
        power = torch.pow(10.0, mel_db / 10.0) @ self.emphasis
        return 10.0 * torch.log10(power)

    def step(self, energy: Tensor, state: Tensor) -> Tensor:
        """Advance the state [..., LEVEL_STATE] by one column of energy [..., 2]."""
        energy, bright = energy[..., :1], energy[..., 1:]
        peak, floor, usual = state[..., :1], state[..., 1:2], state[..., 2:3]
        fall = 2.0 / _COLUMNS_PER_SECOND
        creep = 6.0 / _COLUMNS_PER_SECOND
        risen = peak + 0.4 * (energy - peak)
        peak = torch.where(energy > peak, risen, torch.maximum(peak - fall, energy))
        fallen = floor + 0.25 * (energy - floor)
        floor = torch.where(energy < floor, fallen, torch.minimum(floor + creep, energy))
        floor = torch.clamp(floor, min=-90.0)
        peak = torch.maximum(torch.maximum(peak, floor + 12.0), torch.full_like(peak, -65.0))
        followed = usual + (bright - usual) / (_USUAL_SECONDS * _COLUMNS_PER_SECOND)
        usual = torch.where(energy > peak - _VOICED_DB, followed, usual)
        usual = torch.minimum(torch.maximum(usual, peak - 24.0), peak)
        return torch.cat([peak, floor, usual, bright, state[..., 3:-1]], -1)

    @staticmethod
    def features(mel_db: Tensor, energy: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return (image [..., M], level [..., LEVEL_FEATURES]) of columns under a tracked state.

        image: dB over the peak, divided by 20 and limited to [-3, 1.5]; level:
        energy over the peak, energy over the floor, peak over the floor,
        brightness over the usual, its rise within five columns; all over 20 dB.
        """
        peak, floor, usual = state[..., :1], state[..., 1:2], state[..., 2:3]
        image = torch.clamp((mel_db - peak) / 20.0, -3.0, 1.5) + 1.0
        energy, bright = energy[..., :1], energy[..., 1:]
        rise = bright - state[..., 3:].amin(-1, keepdim=True)
        parts = [energy - peak, energy - floor, peak - floor, bright - usual, rise]
        return image, torch.clamp(torch.cat(parts, -1) / 20.0, -3.0, 3.0)

    @staticmethod
    def frame(level: Tensor) -> Tensor:
        """Return a frame's level [..., F] of its columns' [..., columns, F].

        The last column's levels, and the greatest onset of all.
        """
        return torch.cat([level[..., -1, :3], level[..., 3:].amax(-2)], -1)

    def scan(self, energy: Tensor) -> Tensor:
        """Return the states [N, ..., LEVEL_STATE] after each of N columns of energy [N, ..., 2]."""
        state = torch.tensor(LEVEL_START, dtype=energy.dtype).expand(*energy.shape[1:-1], -1)
        states: list[Tensor] = []
        for row in energy:
            state = self.step(row, state)
            states.append(state)
        return torch.stack(states)


def column_windows(audio: np.ndarray, frames: int, columns: int, window: int) -> np.ndarray:
    """Return the windows [frames, columns, window] that a stream would build.

    audio: float32 [n] from the session's first sample; what lies before or
    after it counts as zeros. Ends follow `FrameClock.column_end`.
    """
    from fractions import Fraction

    from streamer.clock import FrameClock

    clock = FrameClock(fps=Fraction(15), columns=columns)
    last = clock.column_end(frames - 1, columns - 1) if frames else 0
    padded = np.zeros(window + max(last, len(audio)), np.float32)
    padded[window : window + len(audio)] = audio
    ends = np.array([clock.column_end(n, c) for n in range(frames) for c in range(columns)])
    view = np.lib.stride_tricks.sliding_window_view(padded, window)
    return view[ends].reshape(frames, columns, window)
