"""Assembles the mannequin: parts, colours, skin, expressions, metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tools.mannequin import body, face, rig, sdf
from tools.mannequin.glb import GltfWriter, quantised
from tools.mannequin.rig import INDEX, NAMES, PARENT_OF, WORLD
from tools.mannequin.sdf import Array, Field
from tools.mannequin.surface import Index, Mesh, mesh_field


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A plain PBR material; `colour` is an sRGB hex string."""

    name: str
    colour: str
    roughness: float
    glow: float = 0.0


SKIN = Material(name="Skin", colour="#f7cdab", roughness=0.62)
HAIR = Material(name="Hair", colour="#4a332d", roughness=0.55)
SWEATER = Material(name="Sweater", colour="#2f7f8c", roughness=0.9)
TRIM = Material(name="Trim", colour="#e9efe9", roughness=0.9)
TROUSERS = Material(name="Trousers", colour="#39424f", roughness=0.9)
SHOES = Material(name="Shoes", colour="#f2efe8", roughness=0.6)
SOLES = Material(name="Soles", colour="#e07a5f", roughness=0.7)
WHITE = Material(name="EyeWhite", colour="#ffffff", roughness=0.35, glow=0.12)
IRIS = Material(name="Iris", colour="#5b8f9c", roughness=0.25, glow=0.15)
DARK = Material(name="Lashes", colour="#2a1d1b", roughness=0.7)
PUPIL = Material(name="Pupil", colour="#17120f", roughness=0.2)
GLINT = Material(name="Glint", colour="#ffffff", roughness=0.5, glow=1.0)
MOUTH = Material(name="Mouth", colour="#ffffff", roughness=0.7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One drawn primitive: mesh, linear shade [V, 3] that multiplies the colour, skin weights."""

    points: Array
    normals: Array
    triangles: Index
    shade: Array
    weights: Mapping[str, Array]
    material: Material
    morphs: Mapping[str, Array] = field(default_factory=dict)


def build() -> bytes:
    """Return the bytes of the mannequin's VRM file."""
    writer = GltfWriter(
        {
            "asset": {"version": "2.0", "generator": "gesture-streamer tools.mannequin"},
            "extensionsUsed": ["VRMC_vrm"],
            "scene": 0,
        }
    )
    parts = [*_bodies(), *_eyes()]
    faces = _face()
    groups: list[tuple[str, Sequence[Part]]] = [("Body", parts), ("Face", faces)]
    nodes = _bones()
    skin_nodes = [INDEX[name] + 1 for name in NAMES]
    bind = np.stack([_inverse_bind(name) for name in NAMES])
    writer.document["nodes"] = nodes
    materials: list[Material] = []
    meshes: list[dict[str, Any]] = []
    for name, members in groups:
        primitives = [_primitive(writer, part, materials) for part in members]
        mesh: dict[str, Any] = {"name": name, "primitives": primitives}
        if name == "Face":
            mesh["weights"] = [0.0] * len(face.TARGETS)
            mesh["extras"] = {"targetNames": list(face.TARGETS)}
        meshes.append(mesh)
        nodes.append({"name": name, "mesh": len(meshes) - 1, "skin": 0})
    writer.document |= {
        "meshes": meshes,
        "materials": [_material(m) for m in materials],
        "skins": [
            {
                "joints": skin_nodes,
                "skeleton": 0,
                "inverseBindMatrices": writer.accessor(
                    quantised(bind.transpose(0, 2, 1).reshape(-1, 16)), target=None
                ),
            }
        ],
        "scenes": [{"nodes": [0, len(nodes) - 2, len(nodes) - 1]}],
        "extensions": {"VRMC_vrm": _vrm(len(nodes) - 1)},
    }
    return writer.finish()


def _bodies() -> list[Part]:
    head, hair, hand = body.head(), body.hair(), body.hand()
    sweater, trousers = body.sweater(), body.trousers()
    everything = sdf.union(
        head, hair, sweater, trousers, body.trim(), sdf.mirrored(body.cuff()), sdf.mirrored(hand)
    )
    parts: list[Part] = []

    def add(mesh: Mesh, weights: Mapping[str, Array], material: Material, tint: Array | float = 1):
        shade = _occlusion(everything, mesh)[:, None] * np.ones(3) * tint
        parts.append(
            Part(
                points=mesh.points, normals=mesh.normals, triangles=mesh.triangles,
                shade=shade, weights=weights, material=material,
            )
        )  # fmt: skip

    mesh = mesh_field(head, (-0.145, 1.405, -0.145), (0.145, 1.83, 0.155), 0.0112)
    add(mesh, rig.head_weights(mesh.points), SKIN, _blush(mesh.points))
    mesh = mesh_field(hair, (-0.155, 1.54, -0.17), (0.155, 1.87, 0.15), 0.0145)
    add(mesh, {"head": np.ones(len(mesh.points))}, HAIR)
    mesh = mesh_field(sweater, (-0.71, 0.85, -0.135), (0.71, 1.475, 0.135), 0.0185)
    add(mesh, rig.torso_weights(mesh.points), SWEATER)
    mesh = mesh_field(body.trim(), (-0.18, 0.86, -0.14), (0.18, 1.5, 0.14), 0.012)
    low = mesh.points[:, 1] < 1.2
    chain = rig.spine_weights(mesh.points)
    collar = rig.head_weights(mesh.points)
    weights = {k: np.where(low, chain.get(k, 0.0), collar.get(k, 0.0)) for k in chain | collar}
    add(mesh, weights, TRIM)
    mesh = mesh_field(trousers, (-0.21, 0.05, -0.13), (0.21, 1.04, 0.13), 0.027)
    add(mesh, rig.leg_weights(mesh.points), TROUSERS)
    for shape, material in ((body.shoes(), SHOES), (body.soles(), SOLES)):
        mesh = mesh_field(shape, (-0.18, -0.01, -0.11), (0.18, 0.165, 0.2), 0.0165)
        add(mesh, rig.shoe_weights(mesh.points), material)
    left = mesh_field(hand, (0.618, 1.33, -0.07), (0.9, 1.43, 0.115), (0.0068, 0.0038, 0.0036))
    inside = left.points[:, 0] > 0.6185
    assert inside.all()
    cuff = mesh_field(body.cuff(), (0.59, 1.335, -0.065), (0.69, 1.455, 0.065), 0.0095)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        mesh = _reflected(left, sign)
        add(mesh, rig.hand_weights(side, mesh.points), SKIN)
        mesh = _reflected(cuff, sign)
        add(mesh, {f"{side}LowerArm": np.ones(len(mesh.points))}, TRIM)
    return parts


def _eyes() -> list[Part]:
    parts: list[Part] = []
    for make, material in (
        (face.whites, WHITE),
        (face.iris, IRIS),
        (face.pupil, PUPIL),
        (face.glint, GLINT),
    ):
        left, right = make(1.0), make(-1.0)
        shell = face.join(left, right)
        is_left = np.arange(len(shell.points)) < len(left.points)
        if material is WHITE:  # it does not turn: the iris slides over it
            weights = {"head": np.ones(len(shell.points))}
        else:
            weights = {"leftEye": is_left.astype(float), "rightEye": (~is_left).astype(float)}
        parts.append(_shell_part(shell, weights, material))
    return parts


def _face() -> list[Part]:
    head = body.life_size_head()
    left, right = face.lids(1.0), face.lids(-1.0)
    lids = face.join(left[0], right[0])
    lashes = face.join(left[1], right[1], face.brow(head, 1.0), face.brow(head, -1.0))
    parts = []
    for shell, material in ((lids, SKIN), (lashes, DARK), (face.mouth(head), MOUTH)):
        part = _shell_part(shell, {"head": np.ones(len(shell.points))}, material)
        parts.append(part)
    return parts


def _shell_part(life: face.Shell, weights: Mapping[str, Array], material: Material) -> Part:
    shell = face.enlarged(life)
    return Part(
        points=shell.points, normals=shell.normals, triangles=shell.triangles,
        shade=shell.shade, weights=weights, material=material,
        morphs={t: shell.morphs.get(t, np.zeros_like(shell.points)) for t in face.TARGETS}
        if shell.morphs else {},
    )  # fmt: skip


def _occlusion(field: Field, mesh: Mesh) -> Array:
    """Soft shadow of the rest pose [V], 0.62 to 1: how close other surfaces are."""
    dark = np.zeros(len(mesh.points))
    for distance, share in ((0.008, 0.25), (0.02, 0.35), (0.045, 0.4)):
        gap = field(mesh.points + mesh.normals * distance)
        dark += share * np.clip(1 - gap / (0.75 * distance), 0, 1)
    return 1 - 0.55 * np.clip(dark, 0, 0.7)


def _blush(points: Array) -> Array:
    """Warmer cheeks, nose and ears [V, 3]."""
    amount = np.zeros(len(points))
    life = (points - rig.HEAD_PIVOT) / rig.HEAD_SCALE + rig.HEAD_PIVOT
    mirrored = np.column_stack([np.abs(life[:, 0]), life[:, 1:]])
    for centre, radius, share in (
        ((0.055, 1.585, 0.075), 0.024, 1.0),
        ((0.0, 1.592, 0.118), 0.016, 0.6),
        ((0.108, 1.605, -0.008), 0.026, 0.7),
    ):
        d2 = ((mirrored - np.array(centre)) ** 2).sum(1)
        amount += share * np.exp(-d2 / (2 * (radius * 0.7) ** 2))
    return 1 - np.clip(amount, 0, 1)[:, None] * np.array([0.03, 0.22, 0.24])


def _reflected(mesh: Mesh, sign: float) -> Mesh:
    if sign > 0:
        return mesh
    flip = np.array([-1.0, 1.0, 1.0])
    return Mesh(
        points=mesh.points * flip, normals=mesh.normals * flip, triangles=mesh.triangles[:, ::-1]
    )


def _primitive(writer: GltfWriter, part: Part, materials: list[Material]) -> dict[str, Any]:
    if part.material not in materials:
        materials.append(part.material)
    joints, weights = rig.packed(part.weights)
    shade = np.round(np.clip(part.shade, 0, 1) * 255)
    colour = np.column_stack([shade, np.full(len(shade), 255)]).astype(np.uint8)
    primitive: dict[str, Any] = {
        "attributes": {
            "POSITION": writer.accessor(quantised(part.points), bounds=True),
            "NORMAL": writer.accessor(_unit(part.normals)),
            "COLOR_0": writer.accessor(colour, normalized=True),
            "JOINTS_0": writer.accessor(joints),
            "WEIGHTS_0": writer.accessor(weights, normalized=True),
        },
        "indices": writer.indices(part.triangles),
        "material": materials.index(part.material),
    }
    if part.morphs:
        primitive["targets"] = [
            {"POSITION": writer.accessor(quantised(part.morphs[t]), bounds=True)}
            for t in face.TARGETS
        ]
    return primitive


def _unit(normals: Array) -> np.ndarray:
    """Unit normals on a coarse grid, renormalised: the same bits everywhere."""
    coarse = np.round(normals * 512) / 512
    return (coarse / np.linalg.norm(coarse, axis=1, keepdims=True)).astype(np.float32)


def _material(material: Material) -> dict[str, Any]:
    colour = _linear(material.colour)
    entry: dict[str, Any] = {
        "name": material.name,
        "pbrMetallicRoughness": {
            "baseColorFactor": [*colour, 1.0],
            "metallicFactor": 0.0,
            "roughnessFactor": material.roughness,
        },
    }
    if material.glow:
        entry["emissiveFactor"] = [round(c * material.glow, 6) for c in colour]
    return entry


def _linear(colour: str) -> list[float]:
    """Linear RGB of an sRGB hex colour."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [round(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4, 6) for c in channels]


def _bones() -> list[dict[str, Any]]:
    """Node 0 is the root at the origin, node i + 1 is bone i."""
    nodes: list[dict[str, Any]] = [{"name": "Root", "children": [INDEX["hips"] + 1]}]
    for name in NAMES:
        parent = PARENT_OF[name]
        base = WORLD[parent] if parent else np.zeros(3)
        node: dict[str, Any] = {
            "name": name,
            "translation": [round(float(v), 7) for v in WORLD[name] - base],
        }
        children = [INDEX[child] + 1 for child in NAMES if PARENT_OF[child] == name]
        if children:
            node["children"] = children
        nodes.append(node)
    return nodes


def _inverse_bind(name: str) -> Array:
    matrix = np.eye(4)
    matrix[:3, 3] = -WORLD[name]
    return matrix


def _vrm(face_node: int) -> dict[str, Any]:
    """The VRMC_vrm extension: meta, humanoid, expressions, gaze."""

    def expression(*targets: str, weight: float = 1.0) -> dict[str, Any]:
        binds = [
            {"node": face_node, "index": face.TARGETS.index(t), "weight": weight} for t in targets
        ]
        return {"morphTargetBinds": binds}

    preset = {name: expression(name) for name in ("aa", "ih", "ou", "ee", "oh")}
    preset |= {
        "blink": expression("blinkLeft", "blinkRight"),
        "blinkLeft": expression("blinkLeft"),
        "blinkRight": expression("blinkRight"),
        "happy": expression("smile", "raise", weight=0.8),
        "relaxed": expression("smile", weight=0.5),
        "surprised": expression("raise"),
        "neutral": {},
    }
    return {
        "specVersion": "1.0",
        "meta": {
            "name": "Gesture Streamer Mannequin",
            "version": "1",
            "authors": ["The Gesture Streamer authors"],
            "copyrightInformation": "CC0-1.0: no rights reserved",
            "licenseUrl": "https://vrm.dev/licenses/1.0/",
            "otherLicenseUrl": "https://creativecommons.org/publicdomain/zero/1.0/",
            "avatarPermission": "everyone",
            "commercialUsage": "corporation",
            "creditNotation": "unnecessary",
            "allowRedistribution": True,
            "modification": "allowModificationRedistribution",
            "allowExcessivelyViolentUsage": True,
            "allowExcessivelySexualUsage": False,
            "allowPoliticalOrReligiousUsage": True,
            "allowAntisocialOrHateUsage": False,
        },
        "humanoid": {"humanBones": {name: {"node": INDEX[name] + 1} for name in NAMES}},
        "firstPerson": {"meshAnnotations": [{"node": face_node, "type": "thirdPersonOnly"}]},
        "lookAt": {
            "offsetFromHeadBone": [0.0, 0.1, 0.06],
            "type": "bone",
            "rangeMapHorizontalInner": {"inputMaxValue": 40.0, "outputScale": 5.0},
            "rangeMapHorizontalOuter": {"inputMaxValue": 40.0, "outputScale": 5.0},
            "rangeMapVerticalDown": {"inputMaxValue": 30.0, "outputScale": 5.0},
            "rangeMapVerticalUp": {"inputMaxValue": 30.0, "outputScale": 4.0},
        },
        "expressions": {"preset": preset},
    }
