"""How like the plan's a motion is: Frechet distance and diversity over a linear code.

Windows of 34 frames are coded by the principal components of plans over the same
speech (a linear auto-encoder: closed form, the same every time, no network to
trust). The distance is told in units of the nearer of two motions that cannot
be right: every window holding its first pose, and the mean pose.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.linalg

Float = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

FRAMES: Final = 34
STRIDE: Final = 5
COMPONENTS: Final = 24
_EVERY = 2
"""Frames of a window between two that are coded."""
_PAIRS: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Likeness:
    """A linear code [D, K] about a centre [D], and the features of the true plans in it.

    root: the square root of their covariance; still: the distance of the nearer of
    hold-pose and mean-pose, which is 1.
    """

    centre: Float
    code: Float
    mean: Float
    root: Float
    trace: float
    still: float = 1.0

    def windows(self, poses: Float, voiced: Bool) -> tuple[Float, Ints]:
        """Return features [W, K] of the windows of speech in poses [T, 45, 3], and centres [W]."""
        starts = _starts(voiced)
        flat = _flat(_cut(poses, starts))
        return (flat - self.centre) @ self.code, starts + FRAMES // 2

    def held(self, poses: Float, voiced: Bool) -> Float:
        """Return features of the same windows, each holding its first pose."""
        cut = _cut(poses, _starts(voiced))
        return (_flat(np.repeat(cut[:, :1], cut.shape[1], 1)) - self.centre) @ self.code

    def distance(self, features: Float, weights: Float) -> float:
        """Return the Frechet distance of weighted features to the true plans', by `still`."""
        total = weights.sum()
        if total < 2:
            return float("nan")
        mean = weights @ features / total
        about = features - mean
        covariance = (about * weights[:, None]).T @ about / (total - 1)
        values = np.linalg.eigvalsh(self.root @ covariance @ self.root)
        gap = mean - self.mean
        both = 2 * np.sqrt(np.maximum(values, 0.0)).sum()
        return float(gap @ gap + np.trace(covariance) + self.trace - both) / self.still

    def diversity(self, features: Float, weights: Float) -> float:
        """Return the mean L1 distance of two weighted windows, over fixed random pairs."""
        if len(features) < 2:
            return 0.0
        rng = np.random.default_rng(0)
        first, second = rng.integers(len(features), size=(2, _PAIRS))
        both = weights[first] * weights[second] * (first != second)
        apart = np.abs(features[first] - features[second]).sum(1)
        return float(both @ apart / both.sum()) if both.sum() else 0.0


def learn(plans: list[Float], voiced: Bool) -> Likeness:
    """Return the code of plans [T, 45, 3] over one speech; the first only sets the unit.

    The first is a plan like those that motions are compared with, the others are
    the truth.
    """
    starts = _starts(voiced)
    truth = np.concatenate([_flat(_cut(plan, starts)) for plan in plans[1:]])
    centre = truth.mean(0)
    code = _components(_thinned(truth - centre))
    features = (truth - centre) @ code
    covariance = np.cov(features, rowvar=False)
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    out = Likeness(
        centre=centre,
        code=code,
        mean=features.mean(0),
        root=root,
        trace=float(np.trace(covariance)),
    )
    held = out.held(plans[0], voiced)
    mean_pose = np.tile(_unit(plans[0].mean(0)), (len(plans[0]), 1, 1))
    meant, _ = out.windows(mean_pose, voiced)
    ones = np.ones(len(held))
    still = min(out.distance(held, ones), out.distance(meant, ones))
    return Likeness(
        centre=centre, code=code, mean=out.mean, root=root, trace=out.trace, still=still
    )


def _starts(voiced: Bool) -> Ints:
    """Return where windows begin that are speech for the most part."""
    starts = np.arange(0, len(voiced) - FRAMES + 1, STRIDE)
    share = np.convolve(voiced, np.ones(FRAMES), "valid") / FRAMES
    return starts[share[starts] >= 0.5]


def _cut(poses: Float, starts: Ints) -> Float:
    """Return the windows [W, F, 45, 3]."""
    return poses[starts[:, None] + np.arange(0, FRAMES, _EVERY)]


def _flat(windows: Float) -> Float:
    return windows.reshape(len(windows), -1)


def _components(rows: Float) -> Float:
    """Return the first principal axes [D, K] of centred rows [N, D], N fewer than D."""
    values, vectors = scipy.linalg.eigh(
        rows @ rows.T, subset_by_index=[max(len(rows) - COMPONENTS, 0), len(rows) - 1]
    )
    return (rows.T @ vectors) / np.sqrt(np.maximum(values, 1e-9))


def _thinned(rows: Float, most: int = 900) -> Float:
    return rows[:: max(1, -(-len(rows) // most))]


def _unit(vectors: Float) -> Float:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
