"""What can be heard by the end of each frame: voice and accents, causally.

Reads the clean speech, so that targets are right where the network hears
noise; frame f depends on samples before `clock.end(f)` alone.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from streamer.clock import FrameClock

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

_COLUMNS = 4
_VOICE_DB = -46.0
_START_LEVEL_DB = -24.0
_LEVEL_SECONDS = 1.5
_RISE_DB = 6.0
_ABOVE_DB = 3.0
_REFRACTORY_COLUMNS = 30  # 0.5 s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heard:
    """Per frame [T]: loudness in dB, is there a voice, does an accent begin."""

    loudness: Float
    voiced: Bool
    accent: Bool


def listen(speech: npt.NDArray[np.float32], clock: FrameClock, frames: int) -> Heard:
    """Return what is heard in the first `frames` frames of clean speech.

    speech: [n] at 16 kHz, its level about -23 dB RMS while someone speaks;
    silence (or nothing) follows the last sample.
    """
    fine = FrameClock(fps=clock.fps, columns=_COLUMNS)
    ends = np.array([fine.column_end(n, c) for n in range(frames) for c in range(_COLUMNS)])
    # Differencing weighs down hum and vowels' fundamentals: loudness as one hears it.
    bright = np.asarray(lfilter([1.0, -0.8], [1.0], speech.astype(np.float64)))
    energy = np.concatenate([[0.0], np.cumsum(bright * bright)])
    at = energy[np.minimum(ends, len(speech))]
    starts = np.concatenate([[0], ends[:-1]])
    power = np.diff(np.concatenate([[0.0], at])) / (ends - starts)
    level = 10 * np.log10(power + 1e-7)
    column_accent = _accents(level)
    per_frame = power.reshape(frames, _COLUMNS)
    loudness = 10 * np.log10(per_frame.mean(1) + 1e-7)
    return Heard(
        loudness=loudness,
        voiced=loudness > _VOICE_DB,
        accent=column_accent.reshape(frames, _COLUMNS).max(1),
    )


def _accents(level: Float) -> Bool:
    """Return where [columns] the level rises fast above the speaker's running level."""
    smooth = lfilter([1 / 3] * 3, [1.0], level, zi=np.full(2, level[0] * 2 / 3))[0]
    accent = np.zeros(len(level), bool)
    usual, last = _START_LEVEL_DB, -_REFRACTORY_COLUMNS
    decay = 1 / (_LEVEL_SECONDS * _COLUMNS * 15)
    for i, now in enumerate(smooth):
        lowest = smooth[max(i - 9, 0) : i + 1].min()
        if now > usual + _ABOVE_DB and now - lowest > _RISE_DB and i - last >= _REFRACTORY_COLUMNS:
            accent[i], last = True, i
        if now > _VOICE_DB:
            usual += (now - usual) * decay
    return accent
