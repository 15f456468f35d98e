"""Angles between bones: what the physical loss and the beat measure are made of (ha2g.md 3.4, 6.4).

An angle is acos(u . v) / pi of two unit vectors. Palm normals, cross products
of two finger directions, are appended to the skeleton's vectors where the
constants name them.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from streamer.errors import UsageError

_DATA = Path(__file__).parent / "data"
PUBLISHED = ("ted_gesture", "ted_expressive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Angles:
    """Which pairs of vectors are watched, and what the training data do there.

    normals: pairs of vectors whose cross product is appended, in order. pairs:
    of vector indices. mean, variance and change (the mean absolute change from
    frame to frame): one per pair, in radians over pi.
    """

    normals: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    mean: tuple[float, ...]
    variance: tuple[float, ...]
    change: tuple[float, ...]

    def of(self, directions: Tensor, *, margin: float = 0.0) -> Tensor:
        """Return the angles [..., P] of directions [..., V, 3], which need not be unit.

        margin: keeps the cosine off -1 and 1, where acos has no gradient.
        """
        return pair_angles(directions, self.normals, self.pairs, margin=margin)


def pair_angles(
    directions: Tensor,
    normals: tuple[tuple[int, int], ...],
    pairs: tuple[tuple[int, int], ...],
    *,
    margin: float = 0.0,
) -> Tensor:
    """Return acos(u . v) / pi for each pair: [..., P] of directions [..., V, 3]."""
    palms = [torch.linalg.cross(directions[..., a, :], directions[..., b, :]) for a, b in normals]
    vectors = torch.cat((directions, *(p.unsqueeze(-2) for p in palms)), dim=-2)
    unit = F.normalize(vectors, dim=-1)
    first = unit[..., [a for a, _ in pairs], :]
    second = unit[..., [b for _, b in pairs], :]
    cosine = (first * second).sum(-1).clamp(-1 + margin, 1 - margin)
    return torch.acos(cosine) / torch.pi


def measured_angles(
    directions: Tensor,
    pairs: tuple[tuple[int, int], ...],
    normals: tuple[tuple[int, int], ...] = (),
) -> Angles:
    """Return the constants of one's own data: directions [clips, T, V, 3] with the mean added."""
    angles = pair_angles(directions, normals, pairs).double()
    flat = angles.flatten(0, 1)
    return Angles(
        normals=normals,
        pairs=pairs,
        mean=tuple(flat.mean(0).tolist()),
        variance=tuple(flat.var(0).tolist()),
        change=tuple(angles.diff(dim=1).abs().flatten(0, 1).mean(0).tolist()),
    )


@cache
def published_angles(skeleton: str) -> Angles:
    """Return the constants published for a TED skeleton."""
    if skeleton not in PUBLISHED:
        raise UsageError(
            f"no published angle constants for {skeleton!r}, only for {' and '.join(PUBLISHED)}; "
            "measure them on the training data"
        )
    data = json.loads((_DATA / f"angles_{skeleton}.json").read_text("utf-8"))
    return Angles(
        normals=tuple((int(a), int(b)) for a, b in data["normals"]),
        pairs=tuple((int(a), int(b)) for a, b in data["pairs"]),
        mean=tuple(float(x) for x in data["mean"]),
        variance=tuple(float(x) for x in data["variance"]),
        change=tuple(float(x) for x in data["change_per_frame"]),
    )
