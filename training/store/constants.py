"""Constants of a store's own data: mean direction, angles, their change (ha2g.md 3.4, 6.4)."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from streamer.skeleton import Skeleton, load_skeleton
from streamer.types import Float32
from training.angles import PUBLISHED, Angles, pair_angles, published_angles

_LEAST_VARIANCE = 1e-6  # an angle that never moves must not divide by zero


def angle_pairs(skeleton: Skeleton) -> Angles:
    """Return which angles are watched on a skeleton, with no figures yet.

    The published pairs where the skeleton has those bones (palm normals are
    vectors of its own there), else each bone with the bones that continue it.
    """
    if skeleton.name in PUBLISHED:
        return published_angles(skeleton.name)
    expressive = published_angles("ted_expressive")
    names = _expressive_names()
    own = skeleton.vector_names
    if set(names) <= set(own):
        pairs = tuple((own.index(names[a]), own.index(names[b])) for a, b in expressive.pairs)
    else:
        pairs = tuple(
            (i, j)
            for i, (_, child) in enumerate(skeleton.bones)
            for j, (parent, _) in enumerate(skeleton.bones)
            if child == parent
        )
    zeros = (0.0,) * len(pairs)
    return Angles(normals=(), pairs=pairs, mean=zeros, variance=zeros, change=zeros)


def _expressive_names() -> tuple[str, ...]:
    return (*load_skeleton("ted_expressive").vector_names, "left_palm", "right_palm")


def measure(skeleton: Skeleton, clips: Iterable[Float32]) -> tuple[Skeleton, Angles]:
    """Return the skeleton with the mean of the clips, and their angle constants.

    clips: directions [T, D, 3] each, the mean not subtracted; read once. Of no
    frames at all the skeleton's own mean stays and angles vary by 1.
    """
    watched = angle_pairs(skeleton)
    count, changes = 0, 0
    total = np.zeros((skeleton.vectors, 3))
    first, second, change = (np.zeros(len(watched.pairs)) for _ in range(3))
    for directions in clips:
        count += len(directions)
        total += directions.sum(0, dtype=np.float64)
        angles = pair_angles(
            torch.from_numpy(np.ascontiguousarray(directions)), watched.normals, watched.pairs
        )
        angles = angles.double().numpy()
        first += angles.sum(0)
        second += (angles**2).sum(0)
        change += np.abs(np.diff(angles, axis=0)).sum(0)
        changes += max(0, len(directions) - 1)
    if count < 2 or changes < 1:
        ones = (1.0,) * len(watched.pairs)
        return skeleton, replace(watched, variance=ones, change=ones)
    mean = first / count
    variance = np.maximum((second - count * mean**2) / (count - 1), _LEAST_VARIANCE)
    angles = replace(
        watched,
        mean=tuple(mean.tolist()),
        variance=tuple(variance.tolist()),
        change=tuple(np.maximum(change / changes, _LEAST_VARIANCE).tolist()),
    )
    return replace(skeleton, mean=(total / count).astype(np.float32)), angles
