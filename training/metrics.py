"""FGD, diversity and beat consistency as published, and errors of poses (ha2g.md 6).

Two of the published definitions depend on more than the motion: diversity on
the batches and on a permutation of them, beat consistency on which samples it
skips. Both dependencies are arguments or results here, never hidden.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import scipy.linalg
import torch

from training.angles import Angles

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SAMPLE_RATE = 16_000
FPS = 15
BEAT_THRESHOLD = 0.03
BEAT_WIDTH_S = 0.1


def frechet_distance(a: Float32, b: Float32) -> float:
    """Return the Frechet distance of two sets of features [n, L] and [m, L].

    |mu_a - mu_b|^2 + tr(C_a) + tr(C_b) - 2 tr(sqrt(C_a C_b)), covariances with
    n - 1. Where the root is not finite, 1e-6 is added to both diagonals; a root
    with imaginary diagonal over 1e-3 raises `ArithmeticError` (the reference
    returns 1e10 for it).
    """
    gap = a.mean(0) - b.mean(0)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    with warnings.catch_warnings():
        # Fewer samples than dimensions make the product singular: usual in small tests.
        warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)
        root: Any = scipy.linalg.sqrtm(first @ second)
        if not np.isfinite(root).all():
            ridge = 1e-6 * np.eye(len(first))
            root = scipy.linalg.sqrtm((first + ridge) @ (second + ridge))
    if np.iscomplexobj(root):
        imaginary = float(np.abs(np.imag(np.diagonal(root))).max())
        if imaginary > 1e-3:
            raise ArithmeticError(f"Frechet distance: root with imaginary part {imaginary:.3g}")
        root = np.real(root)
    return float(gap @ gap + np.trace(first) + np.trace(second) - 2 * np.trace(root))


def feature_distance(generated: Float32, real: Float32) -> float:
    """Return the mean L1 distance between paired features [n, L] ("feat_D")."""
    return float(np.abs(generated - real).sum(1).mean())


def batch_diversity(
    features: Sequence[Float32], permutation: npt.NDArray[np.int64], batches: int = 500
) -> float:
    """Return the published diversity: batches against a permutation of themselves.

    features: per batch [b, L], all of one size. Sample i of a batch is compared
    with sample i of another; a batch that meets itself counts as distance 0, so
    the value depends on batch size and permutation (ha2g.md 6.3).
    """
    first = np.concatenate(list(features)[:batches])
    second = np.concatenate([features[i] for i in permutation[:batches]])
    return float(np.abs(first - second).sum(1).mean())


def sample_diversity(features: Float32, seed: int, pairs: int = 10_000) -> float:
    """Return the mean L1 distance of two different samples, over seeded random pairs.

    features: [n, L], n >= 2. Depends on the seed only through the draw.
    """
    if len(features) < 2:
        raise ValueError("diversity needs two samples or more")
    rng = np.random.default_rng(seed)
    first = rng.integers(len(features), size=pairs)
    other = (first + rng.integers(1, len(features), size=pairs)) % len(features)
    return float(np.abs(features[first] - features[other]).sum(1).mean())


def angle_speed(directions: Float32, angles: Angles) -> Float64:
    """Return how fast the angles change, relative to the data's mean change: [..., T].

    directions: [..., T, V, 3], the mean added. Frame 0 is 0.
    """
    values = angles.of(torch.from_numpy(directions)).numpy().astype(np.float64)
    change = np.abs(np.diff(values, axis=-2)) / np.asarray(angles.change)
    speed = np.zeros(directions.shape[:-2])
    speed[..., 1:] = change.mean(-1)
    return speed


def motion_beats(speed: Float64, threshold: float = BEAT_THRESHOLD) -> Float64:
    """Return the times in seconds of the beats of a motion: minima of its speed [T].

    A minimum counts if it is at least `threshold` below one of its neighbours.
    The window's first two and last frame cannot be beats, as published.
    """
    before, here, after = speed[1:-2], speed[2:-1], speed[3:]
    lower = (here < before) & (here < after)
    deep = (before - here >= threshold) | (after - here >= threshold)
    return (np.flatnonzero(lower & deep) + 2) / FPS


def audio_beats(samples: Float32) -> Float64:
    """Return the onsets of speech in seconds, by librosa's defaults on 16 kHz samples."""
    return librosa.onset.onset_detect(y=samples, sr=SAMPLE_RATE, units="time")


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatConsistency:
    """Beat consistency of many windows.

    score: the mean over all audio beats of the windows that count. each and
    onsets: per window, its score and number of audio beats; 0 of a window that
    is skipped, because it has no motion beat or no audio beat.
    """

    score: float
    each: Float64
    onsets: npt.NDArray[np.int64]

    @property
    def skipped(self) -> int:
        """The number of windows that do not count."""
        return int((self.onsets == 0).sum())


def beat_consistency(
    speeds: Float64, audio: Sequence[Float64], threshold: float = BEAT_THRESHOLD
) -> BeatConsistency:
    """Return how near audio beats are to motion beats (ha2g.md 6.4).

    speeds: [n, T] of `angle_speed`; audio: onsets in seconds per window. The
    score of a window is the mean over its onsets of exp(-gap^2 / (2 * 0.1^2)).
    """
    each = np.zeros(len(speeds))
    onsets = np.zeros(len(speeds), np.int64)
    for i, (speed, beats) in enumerate(zip(speeds, audio, strict=True)):
        motion = motion_beats(speed, threshold)
        if not len(motion) or not len(beats):
            continue
        gap = np.abs(beats[:, None] - motion[None]).min(1)
        each[i] = np.exp(-(gap**2) / (2 * BEAT_WIDTH_S**2)).mean()
        onsets[i] = len(beats)
    total = onsets.sum()
    score = float((each * onsets).sum() / total) if total else 0.0
    return BeatConsistency(score=score, each=each, onsets=onsets)


def joint_error(generated: Float32, real: Float32, first: int = 4) -> float:
    """Return the mean absolute error of joint positions [n, T, J, 3] from frame `first` on."""
    return float(np.abs(generated[:, first:] - real[:, first:]).mean(dtype=np.float64))


def acceleration_error(generated: Float32, real: Float32) -> float:
    """Return the mean absolute difference of accelerations of positions [n, T, J, 3]."""
    difference = np.diff(real, 2, axis=1) - np.diff(generated, 2, axis=1)
    return float(np.abs(difference).mean(dtype=np.float64))


def directions_of(positions: Float64, bones: Sequence[tuple[int, int]]) -> Float64:
    """Return unit direction vectors [..., bones, 3] of joints [..., J, 3]; a zero bone stays 0."""
    parent = positions[..., [a for a, _ in bones], :]
    vector = positions[..., [b for _, b in bones], :] - parent
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.divide(vector, length, out=np.zeros_like(vector), where=length > 0)
