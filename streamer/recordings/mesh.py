"""Meshes and pictures of glTF files that nobody vouches for: what drawing an avatar needs.

Everything that a file claims of itself is checked against the bytes that are there.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from streamer.errors import InputError
from streamer.glb import read_glb_json

MOST_CORNERS: Final = 2_000_000
"""Vertices, and corners of triangles, of a whole file."""

_COMPONENT: Final[Mapping[int, str]] = {
    5120: "i1",
    5121: "u1",
    5122: "<i2",
    5123: "<u2",
    5125: "<u4",
    5126: "<f4",
}
_WIDTH: Final[Mapping[str, int]] = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_PACKED: Final = ("KHR_draco_mesh_compression", "EXT_meshopt_compression")

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One primitive: V vertices in the axes of its node, F triangles.

    joints, weights: [V, 4] of `skin`, None where it hangs on `node` as it is.
    uv: [V, 2]; colours: [V, 3], linear. material: its index, -1 for none.
    """

    node: int
    skin: int
    material: int
    vertices: Numbers
    normals: Numbers
    faces: Numbers
    uv: Numbers | None
    colours: Numbers | None
    joints: Numbers | None
    weights: Numbers | None


class MeshFile:
    """A `.glb` or `.vrm` with its binary part; raises `InputError` for anything damaged."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.document = read_glb_json(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        (length,) = struct.unpack_from("<I", data, 12)
        at = 20 + length
        self._bytes = b""
        if len(data) >= at + 8:
            size, kind = struct.unpack_from("<I4s", data, at)
            if kind == b"BIN\0":
                self._bytes = data[at + 8 : at + 8 + size]
        self._corners = 0

    def parts(self) -> list[Part]:
        """Return every primitive that a node shows."""
        if packed := sorted(set(_PACKED) & set(self.document.get("extensionsUsed") or ())):
            raise InputError(f"{self.name}: compressed by {packed[0]}; export it without")
        found = list[Part]()
        try:
            for number, node in enumerate(self.document.get("nodes") or ()):
                if (mesh := node.get("mesh")) is None:
                    continue
                skin = int(node.get("skin", -1))
                for primitive in self.document["meshes"][mesh]["primitives"]:
                    if primitive.get("mode", 4) == 4:  # lines and points are no body
                        found.append(self._part(primitive, number, skin))
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            raise InputError(
                f"{self.name}: damaged, its meshes are malformed ({error!r})"
            ) from error
        if not found:
            raise InputError(f"{self.name}: holds no mesh that could be drawn")
        return found

    def array(self, accessor: int) -> Numbers:
        """Return an accessor's values, [count, width]; integers normalised if they say so."""
        document = self.document
        entry: dict[str, Any] = document["accessors"][accessor]
        kind, width = np.dtype(_COMPONENT[entry["componentType"]]), _WIDTH[entry["type"]]
        count = int(entry["count"])
        self._corners += count
        if count < 0 or self._corners > 8 * MOST_CORNERS or "sparse" in entry:
            raise ValueError(f"accessor {accessor} has {count} values")
        view: dict[str, Any] = document["bufferViews"][entry["bufferView"]]
        inside = int(entry.get("byteOffset", 0))
        start = int(view.get("byteOffset", 0)) + inside
        stride = int(view.get("byteStride", kind.itemsize * width))
        needed = stride * max(count - 1, 0) + kind.itemsize * width if count else 0
        if inside < 0 or start < 0 or stride < kind.itemsize * width:
            raise ValueError(f"accessor {accessor} starts at {start}")
        if inside + needed > int(view["byteLength"]) or start + needed > len(self._bytes):
            raise ValueError(f"accessor {accessor} reaches beyond the file")
        values: Numbers = np.ndarray(
            (count, width), kind, self._bytes, start, (stride, kind.itemsize)
        )
        if entry.get("normalized"):
            values = values / np.float32(np.iinfo(kind).max)
        return values

    def image(self, number: int) -> bytes:
        """Return the bytes of a picture, as its own format has them."""
        try:
            view = self.document["bufferViews"][self.document["images"][number]["bufferView"]]
            start, size = int(view.get("byteOffset", 0)), int(view["byteLength"])
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise InputError(f"{self.name}: damaged, no picture {number} ({error!r})") from error
        return self._bytes[start : start + size]

    def _part(self, primitive: Mapping[str, Any], node: int, skin: int) -> Part:
        at: Mapping[str, int] = primitive["attributes"]
        vertices = self._finite(at["POSITION"], 3)
        count = len(vertices)
        faces = (
            self.array(primitive["indices"]).astype(np.int64).reshape(-1)
            if "indices" in primitive
            else np.arange(count)
        )
        faces = faces[: len(faces) // 3 * 3].reshape(-1, 3)
        if len(faces) and (faces.min() < 0 or faces.max() >= count):
            raise ValueError("a triangle has a corner that is not there")

        def of(name: str, width: int) -> Numbers | None:
            values = self._finite(at[name], width) if name in at else None
            if values is not None and len(values) != count:
                raise ValueError(f"{name} has {len(values)} values for {count} vertices")
            return values

        normals = of("NORMAL", 3)
        joints, weights = of("JOINTS_0", 4), of("WEIGHTS_0", 4)
        skinned = skin >= 0 and joints is not None and weights is not None
        return Part(
            node=node,
            skin=skin if skinned else -1,
            material=int(primitive.get("material", -1)),
            vertices=vertices,
            normals=_normals(vertices, faces) if normals is None else normals,
            faces=faces,
            uv=of("TEXCOORD_0", 2),
            colours=None if (shade := of("COLOR_0", 3)) is None else shade,
            joints=joints.astype(np.int64) if skinned and joints is not None else None,
            weights=weights if skinned else None,
        )

    def _finite(self, accessor: int, width: int) -> Numbers:
        values = self.array(accessor)
        if values.shape[1] < width:
            raise ValueError(f"accessor {accessor} is {values.shape[1]} wide, expected {width}")
        out = values[:, :width].astype(np.float32)
        if len(out) > MOST_CORNERS or not np.isfinite(out).all():
            raise ValueError(f"accessor {accessor} holds NaN, or more than anyone can draw")
        return out


def _normals(vertices: Numbers, faces: Numbers) -> Numbers:
    """Return normals that follow from the triangles."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    out = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(out, faces[:, i], across)
    return out


def node_matrices(document: Mapping[str, Any]) -> Numbers:
    """Return where every node stands in the scene, [N, 4, 4]; raises `ValueError`."""
    nodes: list[Any] = document.get("nodes") or []
    above = {int(c): i for i, n in enumerate(nodes) for c in n.get("children", ())}
    local = np.array([_local(cast(Mapping[str, Any], node)) for node in nodes])
    out = np.zeros_like(local)
    done = set[int]()
    for start in range(len(nodes)):
        way, at = list[int](), start
        while at not in done:
            if at in way:
                raise ValueError("its nodes form a circle")
            way.append(at)
            if at not in above:
                break
            at = above[at]
        for node in reversed(way):
            out[node] = out[above[node]] @ local[node] if node in above else local[node]
            done.add(node)
    return out


def _local(node: Mapping[str, Any]) -> Numbers:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = (float(v) for v in node.get("rotation", (0, 0, 0, 1)))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    out = np.eye(4)
    out[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)), np.float64)
    out[:3, 3] = node.get("translation", (0, 0, 0))
    return out
