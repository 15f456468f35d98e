"""Eyes, lids, brows and mouth: thin shells laid over the head.

Every feature is a grid of points with morph targets as differences, in the size
of the head before it is enlarged. The eye
lies on a sphere of 60 mm around the bone that turns it, so that the iris
slides over the white; the lid travels on the same sphere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tools.mannequin.rig import EYE, HEAD_PIVOT, HEAD_SCALE
from tools.mannequin.sdf import Array, Field, gradient
from tools.mannequin.surface import Index

RADIUS = 0.06
TARGETS = ("aa", "ih", "ou", "ee", "oh", "blinkLeft", "blinkRight", "smile", "raise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A feature: points [V, 3], normals [V, 3], shade [V, 3] linear, triangles, morphs [V, 3]."""

    points: Array
    normals: Array
    shade: Array
    triangles: Index
    morphs: Mapping[str, Array] = field(default_factory=dict)


def join(*shells: Shell) -> Shell:
    """One shell of several; a morph that one lacks leaves it at rest."""
    offset, triangles = 0, []
    for shell in shells:
        triangles.append(shell.triangles + offset)
        offset += len(shell.points)
    names = [t for t in TARGETS if any(t in s.morphs for s in shells)]
    return Shell(
        points=np.concatenate([s.points for s in shells]),
        normals=np.concatenate([s.normals for s in shells]),
        shade=np.concatenate([s.shade for s in shells]),
        triangles=np.concatenate(triangles),
        morphs={
            t: np.concatenate([s.morphs.get(t, np.zeros_like(s.points)) for s in shells])
            for t in names
        },
    )


def enlarged(shell: Shell) -> Shell:
    """The shell on the enlarged head; all of this file is in life size."""
    return replace(
        shell,
        points=HEAD_PIVOT + HEAD_SCALE * (shell.points - HEAD_PIVOT),
        morphs={t: HEAD_SCALE * d for t, d in shell.morphs.items()},
    )


def eyeball(side: float, x: float, y: float, h: float | Array) -> Array:
    """Points of the eye's sphere at x outward, y up from its middle, h metres above it."""
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    z = np.sqrt(RADIUS**2 - x**2 - y**2)
    scale = (RADIUS + np.asarray(h)) / RADIUS
    local = np.stack([side * x * scale, y * scale, z * scale], axis=-1)
    turn = 0.12 * side  # the eyes look a little outward with the curve of the face
    c, s = np.cos(turn), np.sin(turn)
    local = local @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return local + np.array([EYE[0] * side, EYE[1], EYE[2]])


def disc(
    side: float,
    centre: tuple[float, float],
    radii: tuple[float, float, float],
    height: float,
    shade: Callable[[Array], Array],
    rings: int = 5,
    spokes: int = 32,
) -> Shell:
    """An oval on the eye: half-width, half-height above and below; `shade` of [V, 2] unit xy."""
    t = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    unit = [np.zeros((1, 2))]
    for r in np.linspace(0, 1, rings + 1)[1:]:
        unit.append(r * np.stack([np.cos(t), np.sin(t)], axis=1))
    flat = np.concatenate(unit)
    y = np.where(flat[:, 1] > 0, flat[:, 1] * radii[1], flat[:, 1] * radii[2])
    points = eyeball(side, centre[0] + flat[:, 0] * radii[0], centre[1] + y, height)
    triangles = [[0, 1 + i, 1 + (i + 1) % spokes] for i in range(spokes)]
    for ring in range(rings - 1):
        a, b = 1 + ring * spokes, 1 + (ring + 1) * spokes
        for i in range(spokes):
            j = (i + 1) % spokes
            triangles += [[a + i, b + i, b + j], [a + i, b + j, a + j]]
    order = np.array(triangles)
    if side < 0:
        order = order[:, ::-1]
    pivot = np.array([EYE[0] * side, EYE[1], EYE[2]])
    normals = (points - pivot) / np.linalg.norm(points - pivot, axis=1, keepdims=True)
    return Shell(points=points, normals=normals, shade=shade(flat), triangles=order)


def sheet(grid: Array, shade: Array, morphs: Mapping[str, Array], flip: bool = False) -> Shell:
    """A shell from points [R, C, 3]; rows go down, columns to +x (or `flip`)."""
    rows, columns = grid.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b = number[:-1, :-1].ravel(), number[:-1, 1:].ravel()
    c, d = number[1:, :-1].ravel(), number[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, c, d], 1), np.stack([a, d, b], 1)])
    if flip:
        triangles = triangles[:, ::-1]
    points = grid.reshape(-1, 3)
    normals = np.zeros_like(points)
    corners = points[triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for i in range(3):
        np.add.at(normals, triangles[:, i], face)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(length > 1e-12, normals / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])
    return Shell(
        points=points,
        normals=normals,
        shade=np.broadcast_to(shade, (rows, columns, 3)).reshape(-1, 3),
        triangles=triangles,
        morphs={k: (v - grid).reshape(-1, 3) for k, v in morphs.items()},
    )


def front(head: Field, x: Array, y: Array, lift: float | Array) -> Array:
    """Points on the front of the head at (x, y), `lift` metres above the skin."""
    p = np.stack([x, y, np.full_like(x, 0.2)], axis=-1).reshape(-1, 3)
    for _ in range(60):
        p[:, 2] -= 0.8 * head(p)
    normals = gradient(head, p)
    lifted = np.broadcast_to(np.asarray(lift, float), x.shape).reshape(-1, 1)
    return (p + normals * lifted).reshape(*x.shape, 3)


def whites(side: float) -> Shell:
    """The white of one eye, shaded under the lid."""

    def shade(flat: Array) -> Array:
        dim = np.clip((flat[:, 1:2] - 0.35) / 0.65, 0, 1)
        return np.ones((len(flat), 3)) * (1 - 0.35 * dim)

    return disc(side, (0.0, 0.0), (0.016, 0.0165, 0.0142), 0.0, shade)


def iris(side: float) -> Shell:
    """Coloured ring, darker at its rim and under the lid."""

    def shade(flat: Array) -> Array:
        r = np.linalg.norm(flat, axis=1, keepdims=True)
        rim = 1 - 0.62 * np.clip((r - 0.72) / 0.2, 0, 1)
        light = 0.8 + 0.45 * np.clip(-flat[:, 1:2], 0, 1) - 0.3 * np.clip(flat[:, 1:2], 0, 1)
        return np.clip(np.ones((len(flat), 3)) * rim * light, 0, 1)

    return disc(side, (-0.0004, -0.0004), (0.0112, 0.0124, 0.0122), 0.0004, shade, rings=8)


def pupil(side: float) -> Shell:
    """The dark middle."""
    white = _plain(1.0)
    return disc(
        side, (-0.0004, -0.0004), (0.0062, 0.007, 0.0068), 0.0007, white, rings=2, spokes=24
    )


def glint(side: float) -> Shell:
    """Two highlights, on the same side of both eyes."""
    one = disc(side, (0.0036, 0.0038), (0.0027,) * 3, 0.0011, _plain(1.0), 2, 16)
    two = disc(side, (-0.0042, -0.0046), (0.0013,) * 3, 0.0011, _plain(0.75), 2, 12)
    return join(one, two)


def lids(side: float) -> tuple[Shell, Shell]:
    """Upper lid (skin) and its lash line, with their blink."""
    name = "blinkLeft" if side > 0 else "blinkRight"
    u = np.linspace(-1, 1, 17)[None, :]
    v = np.linspace(0, 1, 9)[:, None]
    x = 0.0186 * u + 0 * v
    arch = np.sqrt(np.clip(1 - (u * 0.97) ** 2, 0, 1))
    top = 0.0215 * arch + 0.0004
    opened = 0.0122 * arch**0.85 - 0.0012 - 0.0008 * u
    closed = -0.0138 * arch - 0.0012 - 0.0008 * u

    def place(lower: Array, thick: float) -> Array:
        h = 0.0004 + (thick - 0.0004) * np.minimum(v * 1.6, 1.0) * (0.45 + 0.55 * arch)
        return eyeball(side, x, top + (lower - top) * v, h)

    shadow = np.array([0.9, 0.8, 0.78])
    lid = sheet(place(opened, 0.0019), shadow, {name: place(closed, 0.0024)}, side < 0)

    def line(lower: Array, lift: float) -> Array:
        width = 0.0005 + 0.0022 * arch**0.8
        rows = np.linspace(1, 0, 4)[:, None]
        wing = 0.0022 * np.clip(u - 0.55, 0, 1)  # a small outer flick
        y = lower + width * (rows - 0.55) + wing
        h = lift * (0.45 + 0.55 * arch) + 0.0006 * np.sin(np.pi * rows) + 0.0004
        return eyeball(side, np.broadcast_to(0.0192 * u, y.shape), y, h)

    lash = sheet(line(opened, 0.0021), np.ones(3), {name: line(closed, 0.0027)}, side < 0)
    return lid, lash


def brow(head: Field, side: float) -> Shell:
    """One eyebrow; rises in `raise`."""
    u = np.linspace(-1, 1, 15)[None, :]
    rows = np.linspace(1, -1, 5)[:, None]
    width = 0.0036 * np.sqrt(np.clip(1 - np.abs(u) ** 3, 0.02, 1)) * (1 - 0.28 * u)
    x = side * (0.0385 + 0.0185 * u + 0 * rows)
    y = 1.655 + 0.0045 * (1 - u**2) - 0.0012 * u + width * rows

    def place(rise: float) -> Array:
        return front(head, x, y + rise, 0.0006 + 0.0012 * (1 - rows**2) * np.ones_like(u))

    return sheet(place(0), np.ones(3), {"raise": place(0.0055)}, side < 0)


def mouth(head: Field) -> Shell:
    """A soft line that opens into five vowel shapes and a smile."""
    u = np.linspace(-1, 1, 25)[None, :]
    v = np.linspace(0, 1, 9)[:, None]
    arch = np.sqrt(np.clip(1 - u**2, 0, 1))

    def place(width: float, up: float, down: float, curve: float) -> Array:
        x = 0.0225 * width * u + 0 * v
        middle = 1.5555 + curve * (u**2 - 0.35)
        upper = middle + 0.0004 + (0.0013 + up) * arch
        lower = middle - 0.0004 - (0.0013 + down) * arch
        return front(head, x, upper + (lower - upper) * v, 0.0007)

    lip = np.array([0.62, 0.2, 0.18])
    dark = np.array([0.16, 0.03, 0.04])
    tongue = np.array([0.72, 0.22, 0.22])
    inner = np.clip(np.minimum(v, 1 - v) * 8, 0, 1)[..., None] * np.ones((1, 25, 1))
    low = np.clip((v - 0.55) * 4, 0, 1)[..., None] * np.clip(1.2 - u**2 * 2, 0, 1)[..., None]
    colour = lip * (1 - inner) + inner * (dark * (1 - low) + tongue * low)
    shapes = {
        "aa": place(0.92, 0.003, 0.0165, 0.002),
        "ih": place(1.02, 0.0025, 0.006, 0.0038),
        "ou": place(0.46, 0.004, 0.0065, 0.0),
        "ee": place(1.08, 0.003, 0.0085, 0.0034),
        "oh": place(0.6, 0.0055, 0.0125, 0.0),
        "smile": place(1.12, 0.0, 0.0014, 0.0088),
    }
    return sheet(place(1.0, 0, 0, 0.0058), colour, shapes)


def _plain(value: float) -> Callable[[Array], Array]:
    return lambda flat: np.full((len(flat), 3), value)
