"""From a signed distance function to a smooth triangle mesh."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tools.mannequin.sdf import Array, Field, gradient

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Vertices [V, 3], outward unit normals [V, 3], triangles [T, 3]."""

    points: Array
    normals: Array
    triangles: Index


def mesh_field(
    field: Field,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    cell: tuple[float, float, float] | float,
    smoothing: int = 6,
) -> Mesh:
    """Mesh the zero surface of `field` inside the box [low, high].

    Naive surface nets (one vertex in each cell that the surface crosses), then
    tangential relaxation with projection back onto the surface, so that the
    vertices are exact and evenly spread; the normals are those of the field.
    """
    size = np.broadcast_to(np.asarray(cell, float), 3)
    counts = np.ceil((np.array(high) - np.array(low)) / size).astype(int) + 1
    axes = [low[i] + size[i] * np.arange(counts[i]) for i in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = field(grid.reshape(-1, 3)).reshape(tuple(counts))
    points, quads = _surface_net(values, grid)
    triangles = _split(points, quads)
    neighbours = _edges(triangles)
    for _ in range(smoothing):
        normals = gradient(field, points)
        move = _laplacian(points, neighbours)
        move -= normals * (move * normals).sum(1, keepdims=True)
        points = _project(field, points + 0.5 * move, 2)
    points = _project(field, points, 4)
    return Mesh(points=points, normals=gradient(field, points), triangles=triangles)


def _surface_net(values: Array, grid: Array) -> tuple[Array, Index]:
    inside = values < 0
    cells = tuple(n - 1 for n in values.shape)
    total, hits = np.zeros((*cells, 3)), np.zeros(cells)
    for axis in range(3):
        a = [slice(None)] * 3
        b = [slice(None)] * 3
        a[axis], b[axis] = slice(None, -1), slice(1, None)
        va, vb = values[tuple(a)], values[tuple(b)]
        cross = inside[tuple(a)] != inside[tuple(b)]
        t = np.where(cross, va / np.where(cross, va - vb, 1.0), 0.0)[..., None]
        at = np.where(cross[..., None], grid[tuple(a)] * (1 - t) + grid[tuple(b)] * t, 0.0)
        others = [i for i in range(3) if i != axis]
        for da in (0, 1):
            for db in (0, 1):
                pick = [slice(None)] * 3
                pick[others[0]] = slice(da, da + cells[others[0]])
                pick[others[1]] = slice(db, db + cells[others[1]])
                total += at[tuple(pick)]
                hits += cross[tuple(pick)]
    used = hits > 0
    numbers = np.full(cells, -1)
    numbers[used] = np.arange(int(used.sum()))
    points = total[used] / hits[used][:, None]
    quads = [_quads(inside, numbers, axis) for axis in range(3)]
    return points, np.concatenate(quads)


def _quads(inside: npt.NDArray[np.bool_], numbers: Index, axis: int) -> Index:
    """One quad for each grid edge along `axis` that the surface crosses."""
    u, v = (axis + 1) % 3, (axis + 2) % 3
    a = [slice(1, -1)] * 3
    b = [slice(1, -1)] * 3
    a[axis], b[axis] = slice(None, -1), slice(1, None)
    first, second = inside[tuple(a)], inside[tuple(b)]
    where = np.argwhere(first != second)
    outward = first[tuple(where.T)]
    where[:, [u, v]] += 1
    corner = []
    for du, dv in ((0, 0), (1, 0), (1, 1), (0, 1)):
        at = where.copy()
        at[:, u] += du - 1
        at[:, v] += dv - 1
        corner.append(numbers[tuple(at.T)])
    quads = np.stack(corner, axis=1)
    return np.where(outward[:, None], quads, quads[:, ::-1])


def _split(points: Array, quads: Index) -> Index:
    """Split each quad along its shorter diagonal."""
    a, b, c, d = (quads[:, i] for i in range(4))
    short = np.linalg.norm(points[a] - points[c], axis=1) <= np.linalg.norm(
        points[b] - points[d], axis=1
    )
    one = np.where(short[:, None], np.stack([a, b, c], 1), np.stack([a, b, d], 1))
    two = np.where(short[:, None], np.stack([a, c, d], 1), np.stack([b, c, d], 1))
    return np.stack([one, two], 1).reshape(-1, 3)


def _edges(triangles: Index) -> Index:
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _laplacian(points: Array, edges: Index) -> Array:
    total, degree = np.zeros_like(points), np.zeros(len(points))
    for i, j in ((0, 1), (1, 0)):
        np.add.at(total, edges[:, i], points[edges[:, j]])
        np.add.at(degree, edges[:, i], 1.0)
    return total / np.maximum(degree, 1.0)[:, None] - points


def _project(field: Field, points: Array, rounds: int) -> Array:
    for _ in range(rounds):
        points = points - gradient(field, points) * field(points)[:, None] * 0.9
    return points
