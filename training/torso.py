"""Keeps hands and forearms out of the torso: a capsule from the pelvis to the neck."""

import numpy as np
import numpy.typing as npt

from training.pose import ARMS, CHEST, LAYOUT, NECK, G, positions, rotate

Float = npt.NDArray[np.float64]

RADIUS = 0.13
"""Radius of the torso capsule in metres, on the layout's bone lengths."""

_MARGIN = 0.01
_ROUNDS = 10
_HANDS = {
    side: [
        i
        for i, name in enumerate(LAYOUT.joints)
        if name.startswith(side) and name.split("_")[1] not in ("shoulder", "elbow", "eye", "ear")
    ]
    for side in ("left", "right")
}


def depth(directions: Float) -> Float:
    """Return how deep [..., 2] the left and right hand are inside the torso, metres.

    The deepest of wrist and finger joints; 0 outside.
    """
    points = positions(directions)
    return np.stack([_depth(points, side)[0] for side in _HANDS], -1)


def push_out(directions: Float) -> Float:
    """Return poses [T, 45, 3] with hands that were inside the torso turned out of it.

    The arm turns about its shoulder, by an angle that grows steadily with the
    depth, so that a smooth motion stays smooth.
    """
    out = directions.copy()
    rows = np.arange(len(out))
    for _ in range(_ROUNDS):
        points = positions(out[rows])
        found = {side: _depth(points, side, margin=_MARGIN) for side in ARMS}
        deep = np.any([depths > 1e-4 for depths, _ in found.values()], 0)
        rows, points = rows[deep], points[deep]
        if not len(rows):
            break
        turn = np.zeros((len(rows), G, 3))
        for side, arm in ARMS.items():
            depths, outward = found[side][0][deep], found[side][1][deep]
            shoulder = points[:, LAYOUT.joints.index(f"{side}_shoulder")]
            reach = points[:, LAYOUT.joints.index(f"{side}_wrist")] - shoulder
            length = np.maximum((reach**2).sum(-1, keepdims=True), 0.02)
            turn[:, arm] = (np.cross(reach, outward) / length * depths[:, None])[:, None]
        out[rows] = rotate(out[rows], turn)
    return out


def _depth(points: Float, side: str, margin: float = 0.0) -> tuple[Float, Float]:
    """Return the depth [...] and the outward direction [..., 3] at the deepest hand joint."""
    low, middle, high = points[..., -1, :], points[..., CHEST, :], points[..., NECK, :]
    hand = points[..., _HANDS[side], :]
    gap = np.full((*hand.shape[:-1], 2), np.inf)
    away = np.zeros((*hand.shape[:-1], 2, 3))
    for i, (a, b) in enumerate(((low, middle), (middle, high))):
        span = (b - a)[..., None, :]
        from_a = hand - a[..., None, :]
        share = np.clip((from_a * span).sum(-1) / (span * span).sum(-1), 0.0, 1.0)
        away[..., i, :] = from_a - share[..., None] * span
        gap[..., i] = np.linalg.norm(away[..., i, :], axis=-1)
    nearest = gap.argmin(-1)
    away = np.take_along_axis(away, nearest[..., None, None], -2)[..., 0, :]
    gap = np.take_along_axis(gap, nearest[..., None], -1)[..., 0]
    deepest = gap.argmin(-1)
    away = np.take_along_axis(away, deepest[..., None, None], -2)[..., 0, :]
    gap = np.take_along_axis(gap, deepest[..., None], -1)[..., 0]
    # A hand behind the axis is led out by the front, where hands belong.
    outward = away + np.array([0.0, 0.0, 0.02])
    outward[..., 1] = 0.0
    outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-6)
    return np.maximum(RADIUS + margin - gap, 0.0), outward
