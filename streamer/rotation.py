"""Quaternion mathematics, xyzw, in two forms.

Scalar functions take and return plain tuples: retargeting works one bone at a
time, where tuples are ten times faster than numpy. The `_all` functions work on
arrays [..., 4] and [..., 3]. Every quaternion is expected to have unit norm.
"""

from math import acos, atan2, cos, hypot, pi, sin, sqrt

import numpy as np

from streamer.types import Float32

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

IDENTITY: Quaternion = (0.0, 0.0, 0.0, 1.0)

_PARALLEL = 1e-6


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the rotation that turns by b first, then by a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def undo(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return inverse(a) * b: rotation b seen from frame a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx - ax * bw - ay * bz + az * by,
        aw * by + ax * bz - ay * bw - az * bx,
        aw * bz - ax * by + ay * bx - az * bw,
        aw * bw + ax * bx + ay * by + az * bz,
    )


def inverse(q: Quaternion) -> Quaternion:
    """Return the opposite rotation."""
    return (-q[0], -q[1], -q[2], q[3])


def rotate(q: Quaternion, v: Vector) -> Vector:
    """Return vector v turned by q."""
    x, y, z, w = q
    vx, vy, vz = v
    tx, ty, tz = 2 * (y * vz - z * vy), 2 * (z * vx - x * vz), 2 * (x * vy - y * vx)
    return (
        vx + w * tx + y * tz - z * ty,
        vy + w * ty + z * tx - x * tz,
        vz + w * tz + x * ty - y * tx,
    )


def unrotate(q: Quaternion, v: Vector) -> Vector:
    """Return vector v seen from frame q."""
    return rotate((-q[0], -q[1], -q[2], q[3]), v)


def cross(a: Vector, b: Vector) -> Vector:
    """Return a x b."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def dot(a: Vector, b: Vector) -> float:
    """Return a . b."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(v: Vector) -> Vector:
    """Return v scaled to length 1; v must not be zero."""
    scale = 1.0 / hypot(*v)
    return (v[0] * scale, v[1] * scale, v[2] * scale)


def normalised(q: Quaternion) -> Quaternion:
    """Return q scaled to norm 1; q must not be zero."""
    scale = 1.0 / hypot(*q)
    return (q[0] * scale, q[1] * scale, q[2] * scale, q[3] * scale)


def about(axis: Vector, angle: float) -> Quaternion:
    """Return the rotation by an angle in radians about a unit axis."""
    s = sin(angle / 2)
    return (axis[0] * s, axis[1] * s, axis[2] * s, cos(angle / 2))


def about_x(angle: float) -> Quaternion:
    """Return the rotation by an angle in radians about +X."""
    return (sin(angle / 2), 0.0, 0.0, cos(angle / 2))


def between(a: Vector, b: Vector) -> Quaternion:
    """Return the shortest rotation from unit vector a to unit vector b.

    For opposite vectors the axis is any that is orthogonal to a.
    """
    w = 1.0 + dot(a, b)
    if w < 1e-4:
        x, y, z = unit(_orthogonal(a))
        return (x, y, z, 0.0)
    x, y, z = cross(a, b)
    return normalised((x, y, z, w))


def frame(x: Vector, y: Vector) -> Quaternion:
    """Return the rotation whose X axis is x and whose Y axis is as near to y as may be.

    Neither needs unit length. Parallel vectors leave the turn about x free.
    """
    x = unit(x)
    z = cross(x, y)
    if dot(z, z) < _PARALLEL * dot(y, y):
        z = _orthogonal(x)
    z = unit(z)
    y = cross(z, x)
    return _from_columns(x, y, z)


def upright_frame(x: Vector, y: Vector) -> Quaternion:
    """Return the rotation whose Y axis is y and whose X axis is as near to x as may be."""
    y = unit(y)
    z = cross(x, y)
    if dot(z, z) < _PARALLEL * dot(x, x):
        z = _orthogonal(y)
    z = unit(z)
    return _from_columns(cross(y, z), y, z)


def angle_of(q: Quaternion) -> float:
    """Return the angle of a rotation in radians, 0 to pi."""
    return 2 * atan2(hypot(q[0], q[1], q[2]), abs(q[3]))


def share(q: Quaternion, part: float) -> Quaternion:
    """Return the rotation about the same axis by `part` of the angle."""
    x, y, z, w = q if q[3] >= 0 else (-q[0], -q[1], -q[2], -q[3])
    length = hypot(x, y, z)
    if length < 1e-9:
        return IDENTITY
    half = atan2(length, w) * part
    s = sin(half) / length
    return (x * s, y * s, z * s, cos(half))


def limited(q: Quaternion, limit: float) -> Quaternion:
    """Return q with its angle cut to `limit` radians."""
    angle = angle_of(q)
    return q if angle <= limit else share(q, limit / angle)


def twist_about_x(q: Quaternion) -> float:
    """Return the angle in radians, -pi to pi, by which q turns about +X.

    The twist part of swing-twist decomposition; 0 where q flips X over, which
    leaves the twist undefined.
    """
    return wrapped(2 * atan2(q[0], q[3])) if abs(q[0]) + abs(q[3]) > _PARALLEL else 0.0


def wrapped(angle: float, centre: float = 0.0) -> float:
    """Return the angle plus full turns, within pi of the centre."""
    return centre + (angle - centre + pi) % (2 * pi) - pi


def arc(a: Vector, b: Vector) -> float:
    """Return the angle in radians between two unit vectors."""
    return acos(max(-1.0, min(1.0, dot(a, b))))


def _orthogonal(v: Vector) -> Vector:
    return cross(v, (0.0, 1.0, 0.0) if abs(v[1]) < 0.9 else (0.0, 0.0, 1.0))


def _from_columns(x: Vector, y: Vector, z: Vector) -> Quaternion:
    trace = x[0] + y[1] + z[2]
    if trace > 0:
        s = 2 * sqrt(1 + trace)
        return ((y[2] - z[1]) / s, (z[0] - x[2]) / s, (x[1] - y[0]) / s, s / 4)
    if x[0] >= y[1] and x[0] >= z[2]:
        s = 2 * sqrt(1 + x[0] - y[1] - z[2])
        return (s / 4, (y[0] + x[1]) / s, (z[0] + x[2]) / s, (y[2] - z[1]) / s)
    if y[1] >= z[2]:
        s = 2 * sqrt(1 + y[1] - x[0] - z[2])
        return ((y[0] + x[1]) / s, s / 4, (z[1] + y[2]) / s, (z[0] - x[2]) / s)
    s = 2 * sqrt(1 + z[2] - x[0] - y[1])
    return ((z[0] + x[2]) / s, (z[1] + y[2]) / s, s / 4, (x[1] - y[0]) / s)


def multiply_all(a: Float32, b: Float32) -> Float32:
    """Return a * b for arrays of quaternions, broadcast."""
    ax, ay, az, aw = (a[..., i] for i in range(4))
    bx, by, bz, bw = (b[..., i] for i in range(4))
    out = np.empty(np.broadcast_shapes(a.shape, b.shape), np.float32)
    out[..., 0] = aw * bx + ax * bw + ay * bz - az * by
    out[..., 1] = aw * by - ax * bz + ay * bw + az * bx
    out[..., 2] = aw * bz + ax * by - ay * bx + az * bw
    out[..., 3] = aw * bw - ax * bx - ay * by - az * bz
    return out


def inverse_all(q: Float32) -> Float32:
    """Return the opposite rotations."""
    return q * np.array([-1, -1, -1, 1], np.float32)


def rotate_all(q: Float32, v: Float32) -> Float32:
    """Return vectors v [..., 3] turned by q [..., 4], broadcast."""
    axis, w = q[..., :3], q[..., 3:]
    t = 2 * np.cross(axis, v)
    return (v + w * t + np.cross(axis, t)).astype(np.float32)


def between_all(a: Float32, b: Float32) -> Float32:
    """Return the shortest rotations from vectors a to b [..., 3], of any length, broadcast."""
    product = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    w = product + (a * b).sum(-1)
    q = np.concatenate([np.cross(a, b), w[..., None]], axis=-1)
    return (q / np.linalg.norm(q, axis=-1, keepdims=True)).astype(np.float32)


def aligned_all(q: Float32, reference: Float32) -> Float32:
    """Return q with signs turned so that each row is nearest to its reference row."""
    opposed = np.einsum("...i,...i->...", q, reference)[..., None] < 0
    return np.where(opposed, -q, q).astype(np.float32)


def slerp_all(a: Float32, b: Float32, t: float) -> Float32:
    """Return the rotations a share t of the way from a to b, the short way round."""
    cosine = np.einsum("...i,...i->...", a, b)[..., None]
    b = np.where(cosine < 0, -b, b)
    angle = np.arccos(np.minimum(np.abs(cosine), 1.0))
    sine = np.sin(angle)
    near = sine < 1e-3
    safe = np.where(near, 1.0, sine)
    from_a = np.where(near, 1 - t, np.sin((1 - t) * angle) / safe)
    from_b = np.where(near, t, np.sin(t * angle) / safe)
    out = from_a * a + from_b * b
    return (out / np.linalg.norm(out, axis=-1, keepdims=True)).astype(np.float32)
