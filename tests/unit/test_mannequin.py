"""The default avatar: made by its script, well formed, and it bends like a body."""

import json
import math
import struct
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamer.avatar import read_avatar
from streamer.humanoid import BONE_INDEX, BONES, PARENTS, REST_OFFSETS
from tools.mannequin.build import build

FILE = Path(__file__).parents[2] / "streamer" / "data" / "avatars" / "mannequin.vrm"
LEGS_AND_EYES = [
    side + part
    for side in ("left", "right")
    for part in ("UpperLeg", "LowerLeg", "Foot", "Toes", "Eye")
]
_TYPES = {5121: np.uint8, 5123: np.uint16, 5126: np.float32}
_COLUMNS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Model:
    """A binary glTF file as arrays: header, JSON chunk, one buffer."""

    def __init__(self, data: bytes) -> None:
        magic, version, size, length, kind = struct.unpack_from("<4sIII4s", data)
        assert (magic, version, size, kind) == (b"glTF", 2, len(data), b"JSON")
        self.json: dict[str, Any] = json.loads(data[20 : 20 + length])
        buffer, kind = struct.unpack_from("<I4s", data, 20 + length)
        self.blob = data[28 + length :]
        assert (buffer, kind) == (len(self.blob), b"BIN\0")
        self.vrm = self.json["extensions"]["VRMC_vrm"]

    def array(self, index: int) -> np.ndarray:
        """Return an accessor's values."""
        accessor = self.json["accessors"][index]
        view = self.json["bufferViews"][accessor["bufferView"]]
        columns = _COLUMNS[accessor["type"]]
        kind, count = _TYPES[accessor["componentType"]], accessor["count"] * columns
        values = np.frombuffer(self.blob, kind, count, view["byteOffset"])
        return values.reshape(-1, columns) if columns > 1 else values

    def primitives(self, mesh: int) -> list[dict[str, Any]]:
        """Return the primitives of the body (0) or the face (1)."""
        return self.json["meshes"][mesh]["primitives"]

    def parts(self, material: str) -> list[dict[str, np.ndarray]]:
        """Return the arrays of the body's primitives with a material."""
        found = []
        for primitive in self.primitives(0):
            if self.json["materials"][primitive["material"]]["name"] == material:
                attributes = primitive["attributes"]
                found.append(
                    {
                        "points": self.array(attributes["POSITION"]),
                        "normals": self.array(attributes["NORMAL"]),
                        "joints": self.array(attributes["JOINTS_0"]),
                        "weights": self.array(attributes["WEIGHTS_0"]) / 255.0,
                        "triangles": self.array(primitive["indices"]).reshape(-1, 3).astype(int),
                    }
                )
        return found

    def bone_names(self) -> list[str]:
        """Return the bone of each joint of the skin."""
        node_bone = {e["node"]: name for name, e in self.vrm["humanoid"]["humanBones"].items()}
        return [node_bone[node] for node in self.json["skins"][0]["joints"]]


@cache
def shipped() -> Model:
    return Model(FILE.read_bytes())


def test_the_script_writes_the_shipped_file() -> None:
    data = build()
    if data == FILE.read_bytes():
        return
    # Another machine's sine may differ in its last bit and move a rounding.
    fresh, old = Model(data), shipped()
    assert len(fresh.json["accessors"]) == len(old.json["accessors"])
    for i in range(len(old.json["accessors"])):
        np.testing.assert_allclose(
            fresh.array(i).astype(float), old.array(i).astype(float), atol=2e-3, err_msg=f"{i}"
        )
    assert fresh.vrm == old.vrm


def test_it_is_small() -> None:
    assert FILE.stat().st_size <= 1_500_000


def test_it_has_the_engines_bones_at_their_rest() -> None:
    avatar = read_avatar(FILE)
    assert set(avatar.bones) == {*BONES, *LEGS_AND_EYES}
    assert avatar.meta_version == "1"
    for i, bone in enumerate(BONES):
        assert avatar.offset(bone) == pytest.approx(REST_OFFSETS[i].tolist(), abs=1e-6), bone
        parent = BONES[PARENTS[i]] if PARENTS[i] >= 0 else None
        assert avatar.bones[bone].parent == parent
    for bone, rest in avatar.bones.items():
        assert rest.world_rotation == (0, 0, 0, 1), bone
    assert avatar.bones["leftEye"].parent == "head"
    assert avatar.bones["leftFoot"].world_position[1] < 0.15


def test_everyone_may_use_it() -> None:
    meta = shipped().vrm["meta"]
    assert meta["otherLicenseUrl"] == "https://creativecommons.org/publicdomain/zero/1.0/"
    assert meta["licenseUrl"] == "https://vrm.dev/licenses/1.0/"
    assert meta["avatarPermission"] == "everyone"
    assert meta["commercialUsage"] == "corporation"
    assert meta["modification"] == "allowModificationRedistribution"


def test_every_vertex_has_sound_weights_and_normals() -> None:
    model = shipped()
    bones = len(model.json["skins"][0]["joints"])
    assert bones == len(BONES) + len(LEGS_AND_EYES)
    vertices = 0
    for mesh in (0, 1):
        for primitive in model.primitives(mesh):
            attributes = primitive["attributes"]
            weights = model.array(attributes["WEIGHTS_0"]).astype(int)
            assert (weights.sum(1) == 255).all()
            assert (model.array(attributes["JOINTS_0"]) < bones).all()
            normals = model.array(attributes["NORMAL"])
            assert np.abs(np.linalg.norm(normals, axis=1) - 1).max() < 1e-4
            points = model.array(attributes["POSITION"])
            assert points[:, 1].min() > -0.01
            vertices += len(points)
    assert 10_000 < vertices < 35_000


def under_clothes(point: np.ndarray) -> bool:
    """Whether a point lies inside the collar or a cuff, where skin may end."""
    x, y, _ = point
    return bool((abs(x) < 0.08 and y < 1.43) or 0.6 < abs(x) < 0.64)


@pytest.mark.parametrize("material", ["Skin", "Sweater", "Trousers", "Hair", "Shoes", "Trim"])
def test_surfaces_are_closed_and_face_outward(material: str) -> None:
    parts = shipped().parts(material)
    assert parts
    for part in parts:
        triangles = part["triangles"]
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        forth = Counter((int(a), int(b)) for a, b in edges)
        rim = {a for (a, b), n in forth.items() if forth[b, a] != n}
        holes = [v for v in rim if not under_clothes(part["points"][v])]
        assert not holes, "there is a hole"
        # Surface nets may let two sheets touch in an edge; no more than a few.
        assert sum(n > 1 for n in forth.values()) <= 0.002 * len(forth)
        corners = part["points"][triangles].astype(float)
        face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert (corners[:, 0] * face).sum() > 0, "inside out"
        agree = (face * part["normals"][triangles].mean(1)).sum(1) > 0
        assert agree.mean() > 0.98


def test_it_is_symmetrical() -> None:
    left, right = shipped().parts("Skin")[-2:]
    np.testing.assert_allclose(left["points"] * [-1, 1, 1], right["points"], atol=1e-6)
    names = shipped().bone_names()
    mirrored = [n.replace("left", "right") for n in names]
    for i in range(0, len(left["points"]), 97):
        one = {mirrored[j]: w for j, w in zip(left["joints"][i], left["weights"][i], strict=True)}
        two = {names[j]: w for j, w in zip(right["joints"][i], right["weights"][i], strict=True)}
        for bone in one.keys() | two.keys():
            assert one.get(bone, 0) == pytest.approx(two.get(bone, 0), abs=0.01)


# -- bending ------------------------------------------------------------------


def turn(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    """Return a rotation matrix (Rodrigues)."""
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], float)
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


def posed(rotations: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (world rotation, world position) of each driven bone."""
    world: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for i, bone in enumerate(BONES):
        parent = world[BONES[PARENTS[i]]] if PARENTS[i] >= 0 else (np.eye(3), np.zeros(3))
        at = parent[1] + parent[0] @ REST_OFFSETS[i].astype(float)
        world[bone] = (parent[0] @ rotations.get(bone, np.eye(3)), at)
    return world


def skinned(part: dict[str, np.ndarray], world: dict[str, tuple[np.ndarray, np.ndarray]]) -> Any:
    """Return the vertices under linear blend skinning."""
    rest = posed({})
    names = shipped().bone_names()
    points = part["points"].astype(float)
    result = np.zeros_like(points)
    for k in range(4):
        for j in np.unique(part["joints"][:, k]):
            mine = part["joints"][:, k] == j
            turned, at = world.get(names[j], (np.eye(3), np.zeros(3)))
            home = rest[names[j]][1] if names[j] in rest else np.zeros(3)
            moved = (points[mine] - home) @ turned.T + at
            result[mine] += part["weights"][mine, k : k + 1] * moved
    return result


def off_axis(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distance of points from the segment a b."""
    axis = b - a
    h = np.clip((points - a) @ axis / (axis @ axis), 0, 1)
    return np.linalg.norm(points - a - h[:, None] * axis, axis=1)


def around(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of a segment along the left arm through a joint."""
    along = np.array([0.2, 0.0, 0.0])
    return joint - along, joint + along


def test_the_elbow_keeps_its_volume_at_90_degrees() -> None:
    (sweater,) = shipped().parts("Sweater")
    world = posed({"leftLowerArm": turn((0, 1, 0), -math.pi / 2)})
    elbow = posed({})["leftLowerArm"][1]
    near = np.abs(sweater["points"][:, 0] - elbow[0]) < 0.03
    assert near.sum() > 20
    rest = off_axis(sweater["points"][near], *around(elbow))
    a, b, c = (world[n][1] for n in ("leftUpperArm", "leftLowerArm", "leftHand"))
    bent = skinned(sweater, world)[near]
    now = np.minimum(off_axis(bent, a, b), off_axis(bent, b, c))
    # A collapsed elbow would pull its outside onto the bone.
    assert np.median(now / rest) > 0.75
    outer = sweater["points"][near][:, 2] < -0.03
    assert (now / rest)[outer].min() > 0.6


def test_the_wrist_takes_a_half_turn_of_the_forearm_without_a_candy_wrapper() -> None:
    hand = shipped().parts("Skin")[-2]
    quarter = turn((1, 0, 0), math.pi / 4)
    world = posed({"leftLowerArm": quarter, "leftHand": quarter})
    wrist = posed({})["leftHand"][1]
    near = np.abs(hand["points"][:, 0] - wrist[0]) < 0.02
    axis = around(wrist)
    ratio = off_axis(skinned(hand, world)[near], *axis) / off_axis(hand["points"][near], *axis)
    assert ratio.min() > 0.85


def test_arms_hang_beside_the_body() -> None:
    (sweater,) = shipped().parts("Sweater")
    world = posed({"leftUpperArm": turn((0, 0, 1), -1.25)})
    moved = skinned(sweater, world)
    # Beyond the armpit, where flesh meets the body.
    upper = (sweater["points"][:, 0] > 0.26) & (sweater["points"][:, 0] < 0.38)
    a, b = world["leftUpperArm"][1], world["leftLowerArm"][1]
    rest = posed({})
    before = off_axis(sweater["points"][upper], rest["leftUpperArm"][1], rest["leftLowerArm"][1])
    assert (off_axis(moved[upper], a, b) / before).min() > 0.7
    # The trunk stays where it was.
    trunk = (np.abs(sweater["points"][:, 0]) < 0.1) & (sweater["points"][:, 1] < 1.25)
    np.testing.assert_allclose(moved[trunk], sweater["points"][trunk], atol=2e-3)


def test_a_fist_closes_each_finger_alone() -> None:
    hand = shipped().parts("Skin")[-2]
    bend = turn((0, 0, 1), -math.pi / 2)
    joints = ("Proximal", "Intermediate", "Distal")
    world = posed({f"leftIndex{joint}": bend for joint in joints})
    moved = np.linalg.norm(skinned(hand, world) - hand["points"], axis=1)
    rest = posed({})

    def tip(finger: str) -> np.ndarray:
        end = rest[f"left{finger}Distal"][1] + [0.012, 0, 0]
        return np.linalg.norm(hand["points"] - end, axis=1) < 0.009

    assert moved[tip("Index")].min() > 0.05
    for finger in ("Middle", "Ring", "Little"):
        assert moved[tip(finger)].max() < 0.004, finger


# -- face ---------------------------------------------------------------------


def test_expressions_open_the_mouth_and_close_the_eyes() -> None:
    model = shipped()
    presets = model.vrm["expressions"]["preset"]
    assert {"aa", "ih", "ou", "ee", "oh", "blink", "blinkLeft", "blinkRight"} <= set(presets)
    lids, lashes, mouth = model.primitives(1)

    def moved(primitive: Any, name: str) -> np.ndarray:
        total = np.zeros((1, 3))
        for bind in presets[name]["morphTargetBinds"]:
            total = total + model.array(primitive["targets"][bind["index"]]["POSITION"])
        return total

    for primitive in (lids, lashes):
        down = moved(primitive, "blink")[:, 1]
        assert down.min() < -0.02
        at = model.array(primitive["attributes"]["POSITION"])[:, 0]
        assert moved(primitive, "blinkLeft")[at < 0].max() == 0
        assert moved(primitive, "blinkRight")[at > 0].max() == 0
    opening = {}
    for name in ("aa", "ih", "ou", "ee", "oh"):
        y = model.array(mouth["attributes"]["POSITION"])[:, 1] + moved(mouth, name)[:, 1]
        opening[name] = float(y.max() - y.min())
    rest = model.array(mouth["attributes"]["POSITION"])[:, 1]
    assert rest.max() - rest.min() < 0.01
    assert opening["aa"] == max(opening.values()) > 0.02
    assert len({round(v, 4) for v in opening.values()}) == 5


def test_the_eyes_turn_about_their_bones_in_range() -> None:
    look = shipped().vrm["lookAt"]
    assert look["type"] == "bone"
    for key, entry in look.items():
        if key.startswith("rangeMap"):
            assert 0 < entry["outputScale"] <= 8, key
    assert BONE_INDEX["head"] < len(BONES)
    left, right = (read_avatar(FILE).bones[f"{s}Eye"].world_position for s in ("left", "right"))
    assert left[0] > 0.03
    assert right == pytest.approx((-left[0], left[1], left[2]))
