"""An avatar's skin as arrays, for drawing it without a graphics card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.avatar import Avatar, humanoid_nodes, read_avatar
from streamer.errors import InputError
from streamer.humanoid import BONE_INDEX, BONES, REST_OFFSETS
from streamer.recordings.mesh import MeshFile, Numbers, Part, node_matrices
from streamer.retarget_inverse import bone_frames
from streamer.rotation import IDENTITY
from streamer.types import Float32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """How triangles look: a colour [3], linear, times a picture where there is one.

    image: the picture's bytes in a format of its own, None for none. shift, scale: of
    its coordinates. cut: it is holes where its alpha is below a half. two_sided: its
    back is seen too.
    """

    colour: tuple[float, float, float]
    image: bytes | None
    shift: tuple[float, float]
    scale: tuple[float, float]
    cut: bool
    two_sided: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Skin:
    """A body in the T-pose: V vertices, F triangles.

    vertices, normals, colours: [V, 3], colours linear in 0..1. uv: [V, 2]. weights:
    [V, B], how far each vertex follows each bone of `BONES`. faces: [F, 3]; wears:
    [F], the index in `materials`, -1 for none. rest: [B, 3] places of the bones;
    offsets: [B, 3] from the parent. size: of this body, 1 for the mannequin's.
    """

    vertices: Float32
    normals: Float32
    colours: Float32
    uv: Float32
    weights: Float32
    faces: npt.NDArray[np.int32]
    wears: npt.NDArray[np.int32]
    materials: tuple[Material, ...]
    rest: Float32
    offsets: Float32
    size: float

    def posed(self, rotations: Float32, root: Float32) -> tuple[Float32, Float32]:
        """Return vertices and normals [V, 3] of a pose: rotations [B, 4], root [3]."""
        positions, world = bone_frames(rotations, self.offsets)
        turns = _matrices(world)
        moved = positions + root * np.float32(self.size)
        places = moved - np.einsum("bij,bj->bi", turns, self.rest)
        mixed = self.weights @ np.concatenate([turns.reshape(-1, 9), places], axis=1)
        spun = mixed[:, :9].reshape(-1, 3, 3)
        vertices = np.einsum("vij,vj->vi", spun, self.vertices) + mixed[:, 9:]
        return vertices, np.einsum("vij,vj->vi", spun, self.normals)


def load_mannequin() -> Skin:
    """Return the project's own mannequin."""
    with as_file(files("streamer").joinpath("data/avatars/mannequin.vrm")) as path:
        return read_skin(path)


def read_skin(path: Path) -> Skin:
    """Return the skin of a VRM file; raises `InputError` for one that cannot be drawn."""
    avatar, file = read_avatar(path), MeshFile(path)
    places, turned = humanoid_nodes(path.name, file.document)
    parts = file.parts()
    try:
        stands = node_matrices(file.document)
        follows = _followed(file.document, places)
        pieces = [_piece(file, part, stands, follows) for part in parts]
        materials = tuple(_material(file, m) for m in file.document.get("materials") or ())
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise InputError(f"{path.name}: damaged, its skin is malformed ({error!r})") from error
    flip = np.array([-1, 1, -1] if turned else [1, 1, 1], np.float32)
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    offsets = _offsets(avatar)
    rest, _ = bone_frames(np.tile(np.array(IDENTITY, np.float32), (len(BONES), 1)), offsets)
    wears = [
        np.full(len(p.faces), p.material if p.material < len(materials) else -1) for p in parts
    ]
    return Skin(
        vertices=np.concatenate([p[0] for p in pieces]).astype(np.float32) * flip,
        normals=np.concatenate([p[1] for p in pieces]).astype(np.float32) * flip,
        weights=np.concatenate([p[2] for p in pieces]).astype(np.float32),
        colours=np.concatenate([_colours(p, materials) for p in parts]).astype(np.float32),
        uv=np.concatenate([_coordinates(p) for p in parts]).astype(np.float32),
        faces=np.concatenate(
            [p.faces + start for p, start in zip(parts, starts, strict=False)]
        ).astype(np.int32),
        wears=np.concatenate(wears).astype(np.int32),
        materials=materials,
        rest=rest,
        offsets=offsets,
        size=float(avatar.bones["hips"].world_position[1]) / float(REST_OFFSETS[0, 1]),
    )


def _offsets(avatar: Avatar) -> Float32:
    """Return where bones are from their parents; one that is not there lies on the one above."""
    rows = [avatar.offset(b) if b in avatar.bones else (0.0, 0.0, 0.0) for b in BONES]
    return np.array(rows, np.float32)


def _followed(document: Mapping[str, Any], places: Mapping[str, int]) -> npt.NDArray[np.intp]:
    """Return for each node the driven bone that it follows: its own, or one above it."""
    named = {node: bone for bone, node in places.items() if bone in BONE_INDEX}
    nodes: Sequence[Mapping[str, Any]] = document["nodes"]
    above = {int(c): i for i, node in enumerate(nodes) for c in node.get("children", ())}
    found = list[int]()
    for node in range(len(nodes)):
        at: int | None = node
        for _ in nodes:
            if at is None or at in named:
                break
            at = above.get(at)
        found.append(BONE_INDEX[named[at]] if at is not None and at in named else 0)
    return np.array(found, np.intp)


def _piece(
    file: MeshFile, part: Part, stands: Numbers, follows: npt.NDArray[np.intp]
) -> tuple[Numbers, Numbers, Numbers]:
    """Return vertices and normals in the scene, and whom they follow [V, B]."""
    weights = np.zeros((len(part.vertices), len(BONES)), np.float32)
    if part.joints is None or part.weights is None:
        weights[:, follows[part.node]] = 1
        matrices = np.broadcast_to(stands[part.node], (len(part.vertices), 4, 4))
        return *_moved(part, matrices), weights
    skin: Mapping[str, Any] = file.document["skins"][part.skin]
    joints = np.array(skin["joints"], np.int64)
    binds = np.tile(np.eye(4), (len(joints), 1, 1))
    if "inverseBindMatrices" in skin:
        flat = file.array(skin["inverseBindMatrices"])[: len(joints)]
        binds = flat.reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
    if part.joints.max(initial=0) >= len(joints) or not np.isfinite(binds).all():
        raise ValueError("a vertex follows a joint that is not there")
    shares = np.maximum(part.weights, 0)
    total = shares.sum(1, keepdims=True)
    shares = np.where(total > 1e-6, shares / np.maximum(total, 1e-6), [[1, 0, 0, 0]])
    rows = np.arange(len(weights))
    each = stands[joints] @ binds
    matrices = np.zeros((len(weights), 4, 4))
    for corner in range(4):
        joint, share = part.joints[:, corner], shares[:, corner]
        np.add.at(weights, (rows, follows[joints[joint]]), share)
        matrices += share[:, None, None] * each[joint]
    return *_moved(part, matrices), weights


def _moved(part: Part, matrices: Numbers) -> tuple[Numbers, Numbers]:
    spun = matrices[:, :3, :3]
    vertices = np.einsum("vij,vj->vi", spun, part.vertices) + matrices[:, :3, 3]
    return vertices, np.einsum("vij,vj->vi", spun, part.normals)


def _material(file: MeshFile, entry: Mapping[str, Any]) -> Material:
    paint: Mapping[str, Any] = entry.get("pbrMetallicRoughness") or {}
    r, g, b, *_ = (float(v) for v in paint.get("baseColorFactor") or (1, 1, 1, 1))
    worn: Mapping[str, Any] = paint.get("baseColorTexture") or {}
    image = None
    if "index" in worn:
        source = file.document["textures"][worn["index"]].get("source")
        image = None if source is None else file.image(int(source))
    more: Mapping[str, Any] = worn.get("extensions") or {}
    moved: Mapping[str, Any] = more.get("KHR_texture_transform") or {}
    du, dv = (float(v) for v in moved.get("offset", (0, 0)))
    su, sv = (float(v) for v in moved.get("scale", (1, 1)))
    return Material(
        colour=(r, g, b),
        image=image,
        shift=(du, dv),
        scale=(su, sv),
        cut=entry.get("alphaMode") in ("MASK", "BLEND"),
        two_sided=bool(entry.get("doubleSided", False)),
    )


def _colours(part: Part, materials: Sequence[Material]) -> Numbers:
    shade = np.ones((len(part.vertices), 3)) if part.colours is None else part.colours
    if 0 <= part.material < len(materials):
        return shade * np.array(materials[part.material].colour)
    return shade


def _coordinates(part: Part) -> Numbers:
    return np.zeros((len(part.vertices), 2)) if part.uv is None else part.uv


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
