"""Signed distance functions: what the parts of the body are modelled with.

Points are float64 [N, 3] in metres; a `Field` returns [N], negative inside.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Field = Callable[[Array], Array]


def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Field:
    """Ellipsoid with its axes along x, y, z (distance to first order)."""
    c, r = np.array(centre), np.array(radii)

    def field(p: Array) -> Array:
        q = (p - c) / r
        k0 = np.sqrt((q * q).sum(1))
        k1 = np.sqrt(((q / r) ** 2).sum(1))
        return np.where(k1 > 1e-9, k0 * (k0 - 1.0) / np.maximum(k1, 1e-9), -r.min())

    return field


def cone(a: npt.ArrayLike, b: npt.ArrayLike, ra: float, rb: float) -> Field:
    """Capsule from a to b whose radius goes from ra to rb."""
    start, axis = np.asarray(a, float), np.asarray(b, float) - np.asarray(a, float)
    length2 = float(axis @ axis)

    def field(p: Array) -> Array:
        q = p - start
        h = np.clip(q @ axis / length2, 0.0, 1.0)
        d = q - h[:, None] * axis
        return np.sqrt((d * d).sum(1)) - (ra + (rb - ra) * h)

    return field


def box(
    centre: tuple[float, float, float], half: tuple[float, float, float], rounding: float
) -> Field:
    """Box with rounded edges; `half` includes the rounding."""
    c, h = np.array(centre), np.array(half) - rounding

    def field(p: Array) -> Array:
        q = np.abs(p - c) - h
        outside = np.sqrt((np.maximum(q, 0.0) ** 2).sum(1))
        return outside + np.minimum(q.max(1), 0.0) - rounding

    return field


def ring(
    centre: tuple[float, float, float],
    normal: tuple[float, float, float],
    radii: tuple[float, float],
    thickness: float,
) -> Field:
    """Elliptic ring around `normal`; radii along x (or y if the normal is x) and the rest."""
    c, n = np.array(centre), np.array(normal) / np.linalg.norm(normal)
    u = np.array([1.0, 0.0, 0.0]) if abs(n[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    u -= n * (u @ n)
    u /= np.linalg.norm(u)
    v = np.cross(n, u)

    def field(p: Array) -> Array:
        q = p - c
        x, y, h = q @ u, q @ v, q @ n
        k0 = np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2)
        k1 = np.sqrt((x / radii[0] ** 2) ** 2 + (y / radii[1] ** 2) ** 2)
        flat = k0 * (k0 - 1.0) / np.maximum(k1, 1e-9)
        return np.sqrt(flat**2 + h**2) - thickness

    return field


def half_space(point: tuple[float, float, float], outward: tuple[float, float, float]) -> Field:
    """Everything behind the plane through `point`."""
    c, n = np.array(point), np.array(outward) / np.linalg.norm(outward)
    return lambda p: (p - c) @ n


def union(*fields: Field, k: float = 0.0) -> Field:
    """Union; `k` metres of smooth blending where surfaces meet."""

    def field(p: Array) -> Array:
        result = fields[0](p)
        for other in fields[1:]:
            d = other(p)
            if k > 0:
                h = np.maximum(k - np.abs(result - d), 0.0) / k
                result = np.minimum(result, d) - h * h * h * k / 6.0
            else:
                result = np.minimum(result, d)
        return result

    return field


def inverse(field: Field) -> Field:
    """The outside of a field."""
    return lambda p: -field(p)


def intersection(*fields: Field, k: float = 0.0) -> Field:
    """Intersection; `k` metres of rounding along the edge."""
    return inverse(union(*(inverse(f) for f in fields), k=k))


def grow(field: Field, by: float) -> Field:
    """The field with its surface moved outward by `by` metres."""
    return lambda p: field(p) - by


def mirrored(field: Field) -> Field:
    """The field at +x together with its mirror image at -x."""
    return lambda p: field(np.column_stack([np.abs(p[:, 0]), p[:, 1:]]))


def gradient(field: Field, p: Array, step: float = 4e-4) -> Array:
    """Unit gradient [N, 3] by central differences."""
    g = np.stack([field(p + step * axis) - field(p - step * axis) for axis in np.eye(3)], axis=1)
    return g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-12)
