"""Unit vectors: kept at norm 1, blended along arcs, carried on past them."""

import numpy as np

from streamer.types import Float32

_CONFIDENT = 0.3
_JUMP = 1.2  # radians between two poses that no arm goes


def blend(first: Float32, second: Float32, weight: float) -> Float32:
    """Return unit vectors [..., 3] on the arc from `first` (0) to `second` (1).

    Opposite vectors, between which no arc is the one, jump half-way.
    """
    if weight <= 0.0 or weight >= 1.0:
        return first if weight <= 0.0 else second
    angle = np.arccos(np.clip((first * second).sum(-1, keepdims=True), -1.0, 1.0))
    mixed = np.sin((1.0 - weight) * angle) * first + np.sin(weight * angle) * second
    straight = first + (second - first) * weight  # the arc of hardly different vectors
    mixed = np.where(angle > 1e-3, mixed, straight)
    return unit(mixed.astype(np.float32), first if weight < 0.5 else second, least=1e-3)


def onward(before: Float32, shown: Float32, share: float) -> Float32:
    """Return unit vectors [..., 3] on the arc from `before` through `shown`, beyond it.

    share: how much farther, 1 for as far again. Vectors that jumped stay where they are.
    """
    cosine = (before * shown).sum(-1, keepdims=True)
    across = shown - cosine * before
    sine = np.sqrt((across * across).sum(-1, keepdims=True))
    angle = np.arctan2(sine, cosine)
    axis = across / np.maximum(sine, 1e-6)
    along = axis * cosine - before * sine  # the direction of movement at `shown`
    turn = angle * share
    moved = np.cos(turn) * shown + np.sin(turn) * along
    return unit(np.where(angle < _JUMP, moved, shown).astype(np.float32), shown, least=1e-3)


def unit(vectors: Float32, otherwise: Float32, least: float = _CONFIDENT) -> Float32:
    """Return vectors of norm 1; those shorter than `least` or not finite are `otherwise`."""
    with np.errstate(invalid="ignore", over="ignore"):
        norms = np.sqrt((vectors * vectors).sum(-1, keepdims=True))
        good = np.isfinite(norms) & (norms >= least)
        return np.where(good, vectors / np.where(good, norms, 1.0), otherwise).astype(np.float32)


def ease(weight: float) -> float:
    """Return a weight that starts and ends at rest (smoothstep)."""
    return weight * weight * (3.0 - 2.0 * weight)
