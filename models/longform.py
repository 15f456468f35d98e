"""Whole clips from networks of 34-frame windows, as the reference does it and as it should be.

Windows start every 2 s and overlap by 4 frames: a window is seeded with the
last 4 raw frames of the one before, and the overlap is cross-faded (ha2g.md 4,
baselines.md 6.2). Poses are mean-subtracted direction vectors, [T, D].
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from models.ha2g import HA2G
from models.melspectrogram import ha2g_log_mel

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

SAMPLE_RATE = 16_000
FPS = 15
FRAMES = 34
SEEDS = 4
STRIDE = FRAMES - SEEDS
SOS, EOS, UNKNOWN = 1, 2, 3
_MEL_BANDS = 128
_FLOOR_DB = -80.0
_SPECTROGRAM_COLUMNS = 70
_WINDOW_SAMPLES = int(FRAMES / FPS * SAMPLE_RATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWord:
    """A word of the clip: its vocabulary index and times in seconds."""

    index: int
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One 34-frame window of a clip; times in seconds from the clip's begin."""

    number: int
    start: float
    end: float
    clip: float


def windows(samples: int) -> Iterator[Window]:
    """Yield the windows of a clip: one if it is shorter than a window."""
    clip = samples / SAMPLE_RATE
    span = FRAMES / FPS
    stride = STRIDE / FPS
    count = 1 if clip < span else math.ceil((clip - span) / stride) + 1
    for i in range(count):
        start = i * stride
        yield Window(number=i, start=start, end=start + span, clip=clip)


def words_within(words: Sequence[TimedWord], window: Window) -> list[TimedWord]:
    """Return the words that overlap a window, as the datasets cut them (ha2g.md 1.5)."""
    inside: list[TimedWord] = []
    for word in words:
        if word.start >= window.end:
            break
        if word.end > window.start:
            inside.append(word)
    return inside


def frame_words(words: Sequence[TimedWord], window: Window) -> Int64:
    """Return one word index per frame [34]: at the word's onset frame, 0 elsewhere.

    A word from before the window sits in frame 0; a later word overwrites.
    """
    out = np.zeros(FRAMES, np.int64)
    duration = (window.end - window.start) / FRAMES
    for word in words_within(words, window):
        frame = max(0, math.floor((word.start - window.start) / duration))
        if frame < FRAMES:
            out[frame] = word.index
    return out


def listed_words(words: Sequence[TimedWord], window: Window) -> Int64:
    """Return SOS, the words of a window, EOS: the text input of seq2seq."""
    return np.array([SOS, *(w.index for w in words_within(words, window)), EOS], np.int64)


def spectrogram_columns(
    spectrogram: npt.NDArray[np.floating],
    window: Window,
    *,
    columns: int = _SPECTROGRAM_COLUMNS,
    reference_offset: bool = False,
) -> Float32:
    """Return a window's columns [128, columns] of the clip's spectrogram [128, n].

    reference_offset: reproduce the reference, which takes the number of mel
    bands for the number of columns, so feeds audio from too early, and returns
    fewer columns at the end (ha2g.md 4). Without it the offset is right and
    silence is added where the clip ends.
    """
    of = _MEL_BANDS if reference_offset else spectrogram.shape[1]
    first = math.floor(window.start / window.clip * of)
    cut = spectrogram[:, first : first + columns].astype(np.float32)
    if reference_offset:
        return cut
    return np.pad(cut, ((0, 0), (0, columns - cut.shape[1])), constant_values=_FLOOR_DB)


def raw_samples(samples: Float32, window: Window) -> Float32:
    """Return a window's samples [36266], zeros where the clip ends.

    One fewer than in training; the raw-audio encoder gives 34 frames for both.
    """
    first = math.floor(window.start / window.clip * len(samples))
    cut = samples[first : first + _WINDOW_SAMPLES].astype(np.float32)
    return np.pad(cut, (0, _WINDOW_SAMPLES - len(cut)))


Generate = Callable[[Window, Float32 | None], Float32]
"""One window: given the seeds [4, D] (None: no pose known), returns raw poses [34, D]."""


def synthesise(
    samples: int, seeds: Float32 | None, generate: Generate, *, kept: int = SEEDS
) -> list[Float32]:
    """Return the raw windows of a clip of `samples` samples, each seeded by the one before.

    kept: how many of a window's last frames seed the next: 4, in the released
    HOP 16, although its window advances by 30 frames too (hop.md 3).
    """
    out: list[Float32] = []
    for window in windows(samples):
        poses = generate(window, seeds)
        out.append(poses)
        seeds = poses[-kept:]
    return out


def join(raw: Sequence[Float32]) -> Float32:
    """Return one sequence [30 * windows + 4, D] of raw windows, overlaps cross-faded."""
    weight = (np.arange(1, SEEDS + 1, dtype=np.float32) / (SEEDS + 1))[:, None]
    parts = [raw[0][:STRIDE]]
    for before, poses in pairwise(raw):
        parts += [
            before[STRIDE:] * (1 - weight) + poses[:SEEDS] * weight,
            poses[SEEDS:STRIDE],
        ]
    parts.append(raw[-1][STRIDE:])
    return np.concatenate(parts)


@torch.no_grad()
def ha2g_clip(
    model: HA2G,
    samples: Float32,
    words: Sequence[TimedWord],
    speaker: int,
    *,
    seeds: Float32 | None = None,
    noise: Float32 | None = None,
    reference_offset: bool = False,
) -> list[Float32]:
    """Return HA2G's raw windows of a clip; `join` makes them one sequence.

    seeds: [4, D]; without them the clip begins in the mean pose, indicator 1
    (ha2g.md 4). noise: [windows, K, 16], drawn per window and level if None.
    reference_offset: see `spectrogram_columns`.
    """
    spectrogram = ha2g_log_mel(samples)
    vectors = 3 * model.config.skeleton.vectors
    who = torch.tensor([speaker])

    def generate(window: Window, before: Float32 | None) -> Float32:
        mel = spectrogram_columns(spectrogram, window, reference_offset=reference_offset)
        poses = np.zeros((SEEDS, vectors), np.float32) if before is None else before
        out = model(
            torch.from_numpy(mel)[None],
            torch.from_numpy(frame_words(words, window))[None],
            who,
            torch.from_numpy(poses)[None],
            None if noise is None else torch.from_numpy(noise[window.number])[None],
        )
        return out[0].numpy()

    return synthesise(len(samples), seeds, generate)


def smooth_seams(poses: Float32, windows: int) -> Float32:
    """Return seq2seq's smoothing: a cubic over 12 frames at each window's begin.

    In place of frame 30 i .. 30 i + 11, in ascending i (baselines.md 6.2).
    """
    out = poses.astype(np.float64)
    for i in range(windows):
        span = slice(STRIDE * i, STRIDE * i + 12)
        out[span] = _polynomial(out[span], degree=3)
    return out.astype(np.float32)


def fade_out(poses: Float32, padded_samples: int) -> Float32:
    """Return poses that end in the mean pose (ha2g.md 4, off by default there).

    padded_samples: how much of the last window lies past the clip. From there 8
    frames go: the last 4 to zero, then all 8 to a quadratic with heavy ends.
    """
    out = poses.copy()
    first = len(out) - int(padded_samples / SAMPLE_RATE * FPS)
    last = first + 8
    if last > len(out):
        out = np.concatenate([out, np.zeros((last - len(out), out.shape[1]), out.dtype)])
    out[last - SEEDS :] = 0
    weights = np.ones(8)
    weights[[0, -1]] = 5
    out[first:last] = _polynomial(out[first:last], degree=2, weights=weights)
    return out


def _polynomial(
    rows: npt.NDArray[np.floating], *, degree: int, weights: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """Return the least-squares polynomial of each column at the rows' places."""
    x = np.arange(len(rows), dtype=np.float64)
    basis = np.vander(x, degree + 1)
    coefficients = np.polyfit(x, rows, degree, w=weights)
    return basis @ coefficients
