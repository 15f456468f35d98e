"""Drawing a skinned body in numpy: no window, no graphics card, the same picture anywhere.

Triangles are cut into the rows of pixels that they cover, all at once; the
nearest one of each pixel wins; colours are shaded at the corners and run evenly
between them. Twice the size is drawn and halved, which smooths the edges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamer.recordings.skin import Skin
from streamer.recordings.textures import Texture
from streamer.types import Float32

Image = npt.NDArray[np.uint8]
Numbers = npt.NDArray[Any]

_OVER: Final = 2
_LIGHT: Final = np.array([0.35, 0.65, 0.68], np.float32)
_SKY: Final = np.array([0.62, 0.66, 0.72], np.float32)
_GROUND: Final = np.array([0.30, 0.27, 0.26], np.float32)
_TOP: Final = np.array([0.16, 0.19, 0.24], np.float32)
_BOTTOM: Final = np.array([0.05, 0.06, 0.08], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Looks along -Z at a point of the body from the front; metres.

    field: how high the picture is at that point.
    """

    centre: tuple[float, float, float] = (0.0, 1.26, 0.0)
    distance: float = 3.4
    field: float = 1.3


class Painter:
    """Draws poses of one body at one size; any one thread may use it.

    textures: of `skin.materials`, None where one has no picture; none at all for a
    body without pictures.
    """

    def __init__(
        self,
        skin: Skin,
        *,
        width: int,
        height: int,
        camera: Camera | None = None,
        textures: Sequence[Texture | None] = (),
    ) -> None:
        self._skin = skin
        self._textures = textures
        two_sided = np.array([m.two_sided for m in skin.materials] + [False])
        self._two_sided = two_sided[skin.wears]
        cut = [
            m.cut and bool(textures) and textures[i] is not None
            for i, m in enumerate(skin.materials)
        ]
        self._cut = np.array([*cut, False])[skin.wears]
        self._camera = camera or Camera()
        self._width, self._height = width, height
        self._wide, self._high = width * _OVER, height * _OVER
        shade = np.linspace(0, 1, height * _OVER, dtype=np.float32)[:, None]
        rows = _TOP * (1 - shade) + _BOTTOM * shade
        self._backdrop = np.repeat(rows[:, None], self._wide, 1).reshape(-1, 3)

    def __call__(self, rotations: Float32, root: Float32) -> Image:
        """Return the picture [height, width, 3] of a pose, sRGB."""
        vertices, normals = self._skin.posed(rotations, root)
        colours = self._lit(normals)
        x, y, depth = self._projected(vertices)
        shown = self._facing(x, y)
        faces = self._skin.faces[shown]
        picture = self._backdrop.copy()

        def holes(pixels: npt.NDArray[np.int32], owner: npt.NDArray[np.int32]) -> Numbers:
            """Return which of these pixels of triangles are holes of their picture."""
            maybe = self._cut[shown[owner]]
            out = np.zeros(len(pixels), bool)
            if maybe.any():
                at = _corners(pixels[maybe], faces[owner[maybe]], x, y, self._wide)
                out[maybe] = self._sampled(shown[owner[maybe]], faces[owner[maybe]], at)[:, 3] < 0.5
            return out

        found = _fragments(x, y, depth, faces, self._wide, self._high)
        pixels, face = _nearest(*found, self._wide * self._high, holes if self._cut.any() else None)
        at = _corners(pixels, faces[face], x, y, self._wide)
        seen = np.einsum("pk,pkc->pc", at, colours[faces[face]])
        if self._textures:
            seen = seen * self._sampled(shown[face], faces[face], at)[:, :3]
        picture[pixels] = seen
        grid = picture.reshape(self._high, self._wide, 3)
        small = (grid[::2, ::2] + grid[1::2, ::2] + grid[::2, 1::2] + grid[1::2, 1::2]) * 0.25
        # A square root is within 0.02 of sRGB's curve, and four times as fast.
        return (np.sqrt(np.clip(small, 0, 1)) * 255 + 0.5).astype(np.uint8)

    def _lit(self, normals: Float32) -> Float32:
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
        lambert = np.maximum(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0)[:, None]
        up = (normals[:, 1:2] + 1) / 2
        ambient = _SKY * up + _GROUND * (1 - up)
        return (self._skin.colours * (0.62 * ambient + 0.72 * lambert)).astype(np.float32)

    def _projected(self, vertices: Float32) -> tuple[Float32, Float32, Float32]:
        """Return pixel coordinates and the distance of each vertex."""
        camera = self._camera
        near = np.float32(camera.distance) - (vertices[:, 2] - camera.centre[2])
        near = np.maximum(near, np.float32(0.1))
        scale = self._high * camera.distance / camera.field / near
        # Seen from the front the character's left, +X, is to the right.
        x = self._wide / 2 + (vertices[:, 0] - camera.centre[0]) * scale
        y = self._high / 2 - (vertices[:, 1] - camera.centre[1]) * scale
        return x.astype(np.float32), y.astype(np.float32), near.astype(np.float32)

    def _sampled(self, face: Numbers, corners: Numbers, at: Float32) -> Float32:
        """Return red, green, blue (linear) and alpha [P, 4] of the pictures at points."""
        out = np.ones((len(face), 4), np.float32)
        wears = self._skin.wears[face]
        spots = np.einsum("pk,pkc->pc", at, self._skin.uv[corners])
        for number, texture in enumerate(self._textures):
            here = wears == number
            if texture is not None and here.any():
                out[here] = texture(spots[here])
        return out

    def _facing(self, x: Float32, y: Float32) -> npt.NDArray[np.intp]:
        """Return which triangles face the camera and may be in the picture."""
        a, b, c = self._skin.faces.T
        area = (x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a])
        inside = (np.maximum(np.maximum(y[a], y[b]), y[c]) > 0) & (
            np.minimum(np.minimum(y[a], y[b]), y[c]) < self._high
        )
        seen = (area < 0) | (self._two_sided & (area != 0))
        return np.flatnonzero(seen & inside)


def _fragments(
    x: Float32,
    y: Float32,
    depth: Float32,
    faces: npt.NDArray[np.int32],
    wide: int,
    high: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Float32]:
    """Return every pixel of every triangle: which, whose, and how close (1 / distance)."""
    xs, ys = x[faces], y[faces]
    first = np.clip(np.ceil(ys.min(1) - 0.5), 0, high).astype(np.int32)
    last = np.clip(np.ceil(ys.max(1) - 0.5), 0, high).astype(np.int32)
    owner, row = _expanded(first, last)
    middle = row.astype(np.float32) + np.float32(0.5)
    left = np.full(len(owner), np.inf, np.float32)
    right = np.full(len(owner), -np.inf, np.float32)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        xa, ya, xb, yb = xs[owner, a], ys[owner, a], xs[owner, b], ys[owner, b]
        crosses = (ya <= middle) != (yb <= middle)
        span = np.where(crosses, yb - ya, 1)
        at = xa + (middle - ya) * (xb - xa) / span
        left = np.where(crosses, np.minimum(left, at), left)
        right = np.where(crosses, np.maximum(right, at), right)
    covered = right > left
    owner, row, left, right = owner[covered], row[covered], left[covered], right[covered]
    begin = np.clip(np.ceil(left - 0.5), 0, wide).astype(np.int32)
    end = np.clip(np.ceil(right - 0.5), 0, wide).astype(np.int32)
    strip, column = _expanded(begin, end)
    owner, pixels = owner[strip], row[strip] * wide + column
    plane = _planes(xs, ys, np.reciprocal(depth)[faces])
    close = plane[owner, 0] * (column.astype(np.float32) + np.float32(0.5))
    close += plane[owner, 1] * middle[covered][strip] + plane[owner, 2]
    return pixels, owner, close


def _nearest(
    pixels: npt.NDArray[np.int32],
    owner: npt.NDArray[np.int32],
    close: Float32,
    size: int,
    holes: Callable[[npt.NDArray[np.int32], npt.NDArray[np.int32]], Numbers] | None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the covered pixels, each once, and the triangle seen in each."""
    if holes is not None:
        kept = ~holes(pixels, owner)
        pixels, owner, close = pixels[kept], owner[kept], close[kept]
    nearest = np.zeros(size, np.float32)
    np.maximum.at(nearest, pixels, close)
    wins = close == nearest[pixels]
    shown = np.full(size, -1, np.int32)
    shown[pixels[wins]] = owner[wins]
    found = np.flatnonzero(shown >= 0).astype(np.int32)
    return found, shown[found]


def _expanded(
    begin: npt.NDArray[np.int32], end: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return every whole number of [begin, end) of each range, and whose it is."""
    lengths = np.maximum(end - begin, 0)
    owner = np.repeat(np.arange(len(begin), dtype=np.int32), lengths)
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    inside = np.arange(lengths.sum(), dtype=np.int32) - starts[owner]
    return owner, inside + begin[owner]


def _planes(xs: Float32, ys: Float32, values: Float32) -> Float32:
    """Return [F, 3] a, b, c with a x + b y + c equal to the values at the corners."""
    x1, y1 = xs[:, 1] - xs[:, 0], ys[:, 1] - ys[:, 0]
    x2, y2 = xs[:, 2] - xs[:, 0], ys[:, 2] - ys[:, 0]
    v1, v2 = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    area = x1 * y2 - x2 * y1
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    a, b = (v1 * y2 - v2 * y1) / area, (x1 * v2 - x2 * v1) / area
    return np.stack([a, b, values[:, 0] - a * xs[:, 0] - b * ys[:, 0]], 1).astype(np.float32)


def _corners(
    pixels: npt.NDArray[np.int32],
    faces: npt.NDArray[np.int32],
    x: Float32,
    y: Float32,
    wide: int,
) -> Float32:
    """Return each pixel's share of its triangle's corners, [P, 3]."""
    px = (pixels % wide).astype(np.float32) + np.float32(0.5)
    py = (pixels // wide).astype(np.float32) + np.float32(0.5)
    a, b, c = faces.T
    area = (x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a])
    second = ((px - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (py - y[a])) / area
    third = ((x[b] - x[a]) * (py - y[a]) - (px - x[a]) * (y[b] - y[a])) / area
    return np.clip(np.stack([1 - second - third, second, third], 1), 0, 1).astype(np.float32)
