"""The mannequin's skin as arrays, for drawing it without a graphics card."""

import json
import struct
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from streamer.avatar import Avatar, read_avatar
from streamer.humanoid import BONE_INDEX, BONES
from streamer.retarget_inverse import bone_frames
from streamer.types import Float32

_COMPONENT: Final[dict[int, str]] = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTH: Final = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Skin:
    """A body in the T-pose: V vertices, F triangles.

    vertices, normals, colours: [V, 3], colours linear in 0..1. weights: [V, B],
    how far each vertex follows each bone of `BONES`. faces: [F, 3].
    rest: [B, 3] places of the bones; offsets: [B, 3] from the parent.
    """

    vertices: Float32
    normals: Float32
    colours: Float32
    weights: Float32
    faces: npt.NDArray[np.int32]
    rest: Float32
    offsets: Float32

    def posed(self, rotations: Float32, root: Float32) -> tuple[Float32, Float32]:
        """Return vertices and normals [V, 3] of a pose: rotations [B, 4], root [3]."""
        positions, world = bone_frames(rotations, self.offsets)
        turns = _matrices(world)
        places = positions + root - np.einsum("bij,bj->bi", turns, self.rest)
        mixed = self.weights @ np.concatenate([turns.reshape(-1, 9), places], axis=1)
        spun = mixed[:, :9].reshape(-1, 3, 3)
        vertices = np.einsum("vij,vj->vi", spun, self.vertices) + mixed[:, 9:]
        return vertices, np.einsum("vij,vj->vi", spun, self.normals)


def load_mannequin() -> Skin:
    """Return the project's own mannequin."""
    with as_file(files("streamer").joinpath("data/avatars/mannequin.vrm")) as path:
        return _skin(_Glb(path), read_avatar(path))


class _Glb:
    """A binary glTF file that we made ourselves: nothing here is checked."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        (length,) = struct.unpack_from("<I", data, 12)
        self.document = cast(dict[str, Any], json.loads(data[20 : 20 + length]))
        self._bytes = data[28 + length :]

    def array(self, accessor: int) -> npt.NDArray[Any]:
        """Return an accessor's values, [count] or [count, width]; integers normalised if so."""
        entry = self.document["accessors"][accessor]
        view = self.document["bufferViews"][entry["bufferView"]]
        kind, width = np.dtype(_COMPONENT[entry["componentType"]]), _WIDTH[entry["type"]]
        start = view.get("byteOffset", 0) + entry.get("byteOffset", 0)
        stride = view.get("byteStride", kind.itemsize * width)
        values = np.ndarray(
            (entry["count"], width),
            kind,
            buffer=self._bytes,
            offset=start,
            strides=(stride, kind.itemsize),
        )
        if entry.get("normalized"):
            values = values / np.float32(np.iinfo(kind).max)
        return values[:, 0] if width == 1 else values


def _skin(glb: _Glb, avatar: Avatar) -> Skin:
    document = glb.document
    bones = _bone_of_joint(document)
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    count = 0
    for mesh in document["meshes"]:
        for primitive in mesh["primitives"]:
            at = primitive["attributes"]
            vertices = glb.array(at["POSITION"])
            weights = np.zeros((len(vertices), len(BONES)), np.float32)
            joints, shares = glb.array(at["JOINTS_0"]), glb.array(at["WEIGHTS_0"])
            for corner in range(4):
                rows = np.arange(len(vertices))
                np.add.at(weights, (rows, bones[joints[:, corner]]), shares[:, corner])
            material = document["materials"][primitive["material"]]
            paint = np.array(material["pbrMetallicRoughness"]["baseColorFactor"][:3], np.float32)
            for name, values in (
                ("vertices", vertices),
                ("normals", glb.array(at["NORMAL"])),
                ("colours", glb.array(at["COLOR_0"])[:, :3] * paint),
                ("weights", weights / weights.sum(1, keepdims=True)),
                ("faces", glb.array(primitive["indices"]).reshape(-1, 3) + np.int32(count)),
            ):
                parts.setdefault(name, []).append(values)
            count += len(vertices)
    whole = {name: np.concatenate(values) for name, values in parts.items()}
    offsets = np.array([avatar.offset(bone) for bone in BONES], np.float32)
    rest = np.array([avatar.bones[bone].world_position for bone in BONES], np.float32)
    return Skin(
        vertices=whole["vertices"].astype(np.float32),
        normals=whole["normals"].astype(np.float32),
        colours=whole["colours"].astype(np.float32),
        weights=whole["weights"],
        faces=whole["faces"].astype(np.int32),
        rest=rest,
        offsets=offsets,
    )


def _bone_of_joint(document: dict[str, Any]) -> npt.NDArray[np.intp]:
    """Return for each joint of the skin the driven bone that it follows."""
    named = {
        entry["node"]: bone
        for bone, entry in document["extensions"]["VRMC_vrm"]["humanoid"]["humanBones"].items()
    }
    parents = {
        child: node
        for node, entry in enumerate(document["nodes"])
        for child in entry.get("children", ())
    }
    found = list[int]()
    for joint in document["skins"][0]["joints"]:
        at: int | None = joint
        while at is not None and named.get(at) not in BONE_INDEX:
            at = parents.get(at)
        found.append(BONE_INDEX["hips"] if at is None else BONE_INDEX[named[at]])
    return np.array(found, np.intp)


def _matrices(q: Float32) -> Float32:
    """Return rotation matrices [B, 3, 3] of quaternions [B, 4]."""
    x, y, z, w = q.T
    return (
        np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        .transpose(2, 0, 1)
        .astype(np.float32)
    )
