"""The humanoid of a `.vrm` file: bones, their rest pose, and who made it.

Only the file's JSON is read. Both versions of VRM come out in VRM 1.0 terms:
its bone names (thumbs differ) and its axes (a VRM 0.x file faces -Z, turned here
by half a turn about Y; protocols.md 3.4).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

import numpy as np

from streamer.errors import InputError
from streamer.glb import read_glb_json
from streamer.rotation import IDENTITY, Quaternion, Vector, multiply, normalised, rotate
from streamer.spec import sha256

REQUIRED = (
    "hips",
    "spine",
    "head",
    *(
        side + part
        for side in ("left", "right")
        for part in (
            "UpperLeg",
            "LowerLeg",
            "Foot",
            "UpperArm",
            "LowerArm",
            "Hand",
        )
    ),
)
"""The bones that every VRM has (protocols.md 3.1); a 0.x file's chest and neck are not missed."""

_MAX_NODES = 20_000
_MAX_TEXT = 200
_FARTHEST = 1e6  # metres, and any other number of a node; NaN fails the comparison too

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoneRest:
    """One humanoid bone in the T-pose, VRM 1.0 axes.

    parent: the nearest humanoid bone above, None for the hips.
    position, rotation: local to the node above, which may be no bone: what
    Unity calls localPosition and localRotation, and what VMC applications send
    and set. `rotation` is L of protocols.md 1.6.
    world_rotation: W of the same section. world_position: metres. scale: metres
    in the scene for 1 in `position`, other than 1 where a node above is scaled.
    """

    parent: str | None
    position: Vector
    rotation: Quaternion
    world_position: Vector
    world_rotation: Quaternion
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Avatar:
    """The humanoid of a VRM file, or of a rig that a bone map tells of.

    bones: by VRM 1.0 name, parents before children. names: the rig's own name of
    each bone where it has some, as programs shall be told.
    """

    bones: Mapping[str, BoneRest]
    meta_version: Literal["0", "1"]
    name: str
    author: str
    licence: str
    sha256: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    def offset(self, bone: str) -> Vector:
        """Return a bone's offset from its parent bone in the T-pose, metres.

        Composed through the nodes between them; from the ground for the hips.
        """
        rest = self.bones[bone]
        x, y, z = rest.world_position
        if rest.parent is None:
            return (x, y, z)
        px, py, pz = self.bones[rest.parent].world_position
        return (x - px, y - py, z - pz)


def read_avatar(path: Path) -> Avatar:
    """Read a VRM 0.x or 1.0 file.

    Raises `InputError`: no VRM, larger than 256 MB, cut short, required bones
    missing, nodes that do not form a tree, numbers that are none.
    """
    data = read_glb_json(path)
    try:
        meta, version, places = _humanoid(path.name, data)
        bones = _bones(_Tree(path.name, data, turned=version == "0"), places)
        name = _text(meta.get("name" if version == "1" else "title")) or path.stem
        author, licence = _author(meta), _licence(meta)
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path.name}: damaged, its VRM data is malformed ({error!r})") from error
    return Avatar(
        bones=MappingProxyType(bones),
        meta_version=version,
        name=name,
        author=author,
        licence=licence,
        sha256=sha256(path),
    )


def file_bones(
    name: str,
    data: Mapping[str, Any],
    places: Mapping[str, int],
    *,
    turned: bool,
    turns: Mapping[str, Quaternion],
) -> dict[str, BoneRest]:
    """Return bones of any glTF document by the index of each one's node.

    turned: it faces -Z. turns: local rotations in the T-pose of bones that the
    file shows in another pose, the file's axes. Raises `InputError`.
    """
    try:
        tree = _Tree(name, data, turned=turned)
        tree.turns = {places[bone]: turn for bone, turn in turns.items()}
        return _bones(tree, places)
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{name}: damaged, its nodes are malformed ({error!r})") from error


def humanoid_nodes(name: str, data: Mapping[str, Any]) -> tuple[dict[str, int], bool]:
    """Return the node of each bone (VRM 1.0 names), and whether the file faces -Z."""
    _, version, places = _humanoid(name, data)
    return places, version == "0"


def _humanoid(
    name: str, data: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Literal["0", "1"], dict[str, int]]:
    """Return the VRM meta data, its version, and the node of each bone (VRM 1.0 names)."""
    extensions: Mapping[str, Any] = data.get("extensions") or {}
    places: dict[str, int] = {}
    if (vrm := extensions.get("VRMC_vrm")) is not None:
        version = "1"
        for bone, entry in vrm["humanoid"]["humanBones"].items():
            places[bone] = _index(entry["node"])
    elif (vrm := extensions.get("VRM")) is not None:
        version = "0"
        for entry in vrm["humanoid"]["humanBones"]:
            places[_renamed_thumb(entry["bone"])] = _index(entry["node"])
    else:
        raise InputError(f"{name}: glTF without a VRM extension; export it as VRM")
    places = {bone: node for bone, node in places.items() if node >= 0}
    missing = [bone for bone in REQUIRED if bone not in places]
    if missing:
        raise InputError(
            f"{name}: the humanoid lacks {', '.join(missing)}; assign them and export again"
        )
    return vrm.get("meta") or {}, version, places


class _Tree:
    """The glTF nodes with their parents; `turned` by half a turn about Y for VRM 0.x."""

    def __init__(self, name: str, data: Mapping[str, Any], *, turned: bool) -> None:
        self.name = name
        nodes: list[Node] = data.get("nodes") or []
        if len(nodes) > _MAX_NODES:
            raise InputError(f"{name}: {len(nodes)} nodes, at most {_MAX_NODES} are read")
        self._nodes = nodes
        self._flip = -1.0 if turned else 1.0
        self.turns: Mapping[int, Quaternion] = {}
        """Rotations of nodes that stand for those of the file."""
        self._parents = self._linked()

    def __len__(self) -> int:
        return len(self._nodes)

    def above(self, node: int) -> Iterator[int]:
        """Yield the ancestors of a node, nearest first; raises on a cycle."""
        for _ in self._nodes:
            node = self._parents[node]
            if node < 0:
                return
            yield node
        raise InputError(f"{self.name}: damaged, its nodes form a circle")

    def local(self, node: int) -> tuple[Vector, Quaternion, Vector]:
        """Return translation, rotation and scale of a node in VRM 1.0 axes."""
        entry = self._nodes[node]
        if (matrix := entry.get("matrix")) is not None:
            place, turn, scale = _decomposed(self._numbers(matrix, 16))
        else:
            place = self._numbers(entry.get("translation", (0, 0, 0)), 3)
            turn = self._numbers(entry.get("rotation", IDENTITY), 4)
            scale = self._numbers(entry.get("scale", (1, 1, 1)), 3)
        x, y, z = place
        qx, qy, qz, qw = self.turns.get(node, turn)
        if qx * qx + qy * qy + qz * qz + qw * qw < 1e-12:
            raise InputError(f"{self.name}: damaged, node {node} has no rotation but zeros")
        f = self._flip
        return (
            (f * x, y, f * z),
            normalised((f * qx, qy, f * qz, qw)),
            (scale[0], scale[1], scale[2]),
        )

    def world(self, node: int) -> tuple[Vector, Quaternion, float]:
        """Return position and rotation of a node in the scene, and the scale above it."""
        place: Vector = (0.0, 0.0, 0.0)
        turn: Quaternion = IDENTITY
        size = 1.0
        for at in (node, *self.above(node)):
            position, rotation, scale = self.local(at)
            if at == node:
                place = position
            else:
                scaled = (place[0] * scale[0], place[1] * scale[1], place[2] * scale[2])
                x, y, z = rotate(rotation, scaled)
                place = (position[0] + x, position[1] + y, position[2] + z)
                size *= (abs(scale[0]) + abs(scale[1]) + abs(scale[2])) / 3
            turn = multiply(rotation, turn)
        if not all(abs(x) <= _FARTHEST for x in place):  # also where scales ran out of numbers
            raise InputError(f"{self.name}: damaged, node {node} lies {max(place)} m away")
        return place, normalised(turn), size

    def _linked(self) -> list[int]:
        parents = [-1] * len(self._nodes)
        for i, entry in enumerate(self._nodes):
            for child in map(_index, entry.get("children") or ()):
                if not 0 <= child < len(parents):
                    raise InputError(f"{self.name}: damaged, node {i} has no child {child}")
                if parents[child] >= 0:
                    raise InputError(f"{self.name}: damaged, node {child} has two parents")
                parents[child] = i
        return parents

    def _numbers(self, values: Any, count: int) -> list[float]:
        numbers = [float(v) for v in values]
        if len(numbers) != count or not all(abs(n) <= _FARTHEST for n in numbers):
            raise InputError(
                f"{self.name}: damaged, a node has {_text(values)} for {count} numbers"
            )
        return numbers


def _bones(tree: _Tree, places: Mapping[str, int]) -> dict[str, BoneRest]:
    """Return the bones, parents before children."""
    for bone, node in places.items():
        if node >= len(tree):
            raise InputError(f"{tree.name}: damaged, bone {bone} is node {node} of {len(tree)}")
    names = {node: bone for bone, node in places.items()}
    above = {bone: list(tree.above(node)) for bone, node in places.items()}
    out: dict[str, BoneRest] = {}
    for bone in sorted(places, key=lambda b: len(above[b])):
        position, rotation, _ = tree.local(places[bone])
        world_position, world_rotation, scale = tree.world(places[bone])
        out[bone] = BoneRest(
            parent=next((names[node] for node in above[bone] if node in names), None),
            position=position,
            rotation=rotation,
            world_position=world_position,
            world_rotation=world_rotation,
            scale=scale,
        )
    return out


def _decomposed(matrix: list[float]) -> tuple[list[float], list[float], list[float]]:
    """Return translation, rotation and scale of a column-major matrix."""
    columns = np.array(matrix).reshape(4, 4)[:, :3]
    scale = np.linalg.norm(columns[:3], axis=1)
    if np.linalg.det(columns[:3]) < 0:
        scale[0] = -scale[0]
    if not scale.all():
        raise ValueError("a node's matrix is flat")
    (a, b, c), (d, e, f), (g, h, i) = (columns[:3] / scale[:, None]).tolist()
    # The rotation matrix has these as its columns; w, x, y, z by the largest first.
    square = np.array([1 + a + e + i, 1 + a - e - i, 1 - a + e - i, 1 - a - e + i])
    match int(square.argmax()):
        case 0:
            wxyz = [square[0], f - h, g - c, b - d]
        case 1:
            wxyz = [f - h, square[1], b + d, g + c]
        case 2:
            wxyz = [g - c, b + d, square[2], f + h]
        case _:
            wxyz = [b - d, g + c, f + h, square[3]]
    w, x, y, z = (float(v) for v in wxyz)
    return columns[3].tolist(), [x, y, z, w], scale.tolist()


def _index(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(f"{value!r} is no node number")
    return int(value)


def _renamed_thumb(bone: str) -> str:
    """Return the VRM 1.0 name of a VRM 0.x bone (protocols.md 1.5)."""
    if "Thumb" not in bone:
        return bone
    return bone.replace("Proximal", "Metacarpal").replace("Intermediate", "Proximal")


def _author(meta: Mapping[str, Any]) -> str:
    authors = meta.get("authors")  # VRM 1.0
    if isinstance(authors, list):
        return _text(", ".join(map(str, cast(list[Any], authors))))
    return _text(meta.get("author"))


def _licence(meta: Mapping[str, Any]) -> str:
    """Return the licence by name or address, whichever the file gives."""
    named = _text(meta.get("licenseName"))
    address = _text(meta.get("licenseUrl") or meta.get("otherLicenseUrl"))
    return named if named not in ("", "Other") else address or named


def _text(value: Any) -> str:
    return str(value).strip()[:_MAX_TEXT] if value is not None else ""
