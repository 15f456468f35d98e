"""Readers of BVH and VRM Animation for tests, with none of the engine's code.

Angles and turns go through scipy; hierarchies are walked here.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass
class Bvh:
    names: list[str]
    parents: list[int]
    offsets: np.ndarray
    frame_time: float
    hips: np.ndarray
    turns: dict[str, Rotation]
    ends: int

    def positions(self) -> dict[str, np.ndarray]:
        """Return [T, 3] of every joint, in the file's units."""
        places: list[np.ndarray] = []
        world: list[Rotation] = []
        for i, (name, parent) in enumerate(zip(self.names, self.parents, strict=True)):
            if parent < 0:
                places.append(self.hips + self.offsets[i])
                world.append(self.turns[name])
            else:
                places.append(places[parent] + world[parent].apply(self.offsets[i]))
                world.append(world[parent] * self.turns[name])
        return dict(zip(self.names, places, strict=True))


def read_bvh(text: str) -> Bvh:
    words = iter(text.split())
    assert next(words) == "HIERARCHY"
    names, parents, offsets, channels = [], [], [], []
    stack: list[int] = []
    ends = 0
    in_end = False
    for word in words:
        match word:
            case "ROOT" | "JOINT":
                assert (word == "ROOT") == (not stack)
                names.append(next(words))
                parents.append(stack[-1] if stack else -1)
                channels.append([])
            case "End":
                assert next(words) == "Site"
                in_end, ends = True, ends + 1
            case "{":
                stack.append(-2 if in_end else len(names) - 1)
            case "}":
                in_end = stack.pop() == -2 and False
            case "OFFSET":
                values = [float(next(words)) for _ in range(3)]
                if stack[-1] >= 0:
                    offsets.append(values)
            case "CHANNELS":
                channels[-1] = [next(words) for _ in range(int(next(words)))]
            case "MOTION":
                break
            case _:
                raise AssertionError(f"{word!r} in the hierarchy")
    assert not stack
    assert next(words) == "Frames:"
    frames = int(next(words))
    assert [next(words), next(words)] == ["Frame", "Time:"]
    frame_time = float(next(words))
    values = np.array([float(w) for w in words]).reshape(frames, sum(map(len, channels)))
    at, turns, hips = 0, {}, np.zeros((frames, 3))
    for name, kinds in zip(names, channels, strict=True):
        columns = dict(zip(kinds, values[:, at : at + len(kinds)].T, strict=True))
        at += len(kinds)
        axes = "".join(k[0] for k in kinds if k.endswith("rotation"))
        angles = np.stack([columns[f"{a}rotation"] for a in axes], 1)
        turns[name] = (
            Rotation.from_euler(axes, angles, degrees=True) if frames else Rotation.identity(0)
        )
        if "Xposition" in columns:
            assert name == names[0], "only the root may move"
            hips = np.stack([columns[f"{a}position"] for a in "XYZ"], 1)
    return Bvh(names, parents, np.array(offsets), frame_time, hips, turns, ends)


@dataclass
class Vrma:
    """`turns`: each animated bone's rotation relative to the T-pose, in world axes."""

    document: dict[str, Any]
    times: np.ndarray
    turns: dict[str, Rotation]
    hips: np.ndarray | None
    rest_hips: np.ndarray


def read_vrma(path: Path) -> Vrma:
    """Read a file as how_to_transform_human_pose.md says: W inverse(L) raw inverse(W)."""
    data = path.read_bytes()
    magic, version, total = struct.unpack_from("<4sII", data)
    assert (magic, version, total) == (b"glTF", 2, len(data))
    length, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    assert length % 4 == 0
    document = json.loads(data[20 : 20 + length])
    size, kind = struct.unpack_from("<I4s", data, 20 + length)
    assert kind == b"BIN\0"
    blob = data[28 + length : 28 + length + size]
    assert document["buffers"][0]["byteLength"] <= size

    def array(accessor: int) -> np.ndarray:
        entry = document["accessors"][accessor]
        view = document["bufferViews"][entry["bufferView"]]
        assert entry["componentType"] == 5126
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[entry["type"]]
        start = view.get("byteOffset", 0) + entry.get("byteOffset", 0)
        assert start % 4 == 0
        count = entry["count"] * width
        assert start + 4 * count <= view.get("byteOffset", 0) + view["byteLength"]
        values = np.frombuffer(blob, "<f4", count, start).reshape(-1, width)
        for bound, found in (("min", values.min(0)), ("max", values.max(0))):
            if bound in entry:
                np.testing.assert_allclose(entry[bound], found, rtol=1e-6, atol=1e-7)
        return values

    nodes = document["nodes"]
    above = {c: i for i, node in enumerate(nodes) for c in node.get("children", ())}
    assert len(above) == sum(len(n.get("children", ())) for n in nodes), "a node with two parents"

    def local(node: int) -> Rotation:
        return Rotation.from_quat(nodes[node].get("rotation", (0, 0, 0, 1)))

    def world(node: int) -> Rotation:
        return world(above[node]) * local(node) if node in above else local(node)

    extension = document["extensions"]["VRMC_vrm_animation"]
    assert extension["specVersion"] == "1.0"
    assert "VRMC_vrm_animation" in document["extensionsUsed"]
    bone_of = {entry["node"]: bone for bone, entry in extension["humanoid"]["humanBones"].items()}
    turns, hips, times = {}, None, np.zeros(0)
    (animation,) = document["animations"]
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        node, path_ = channel["target"]["node"], channel["target"]["path"]
        stamps, values = array(sampler["input"])[:, 0], array(sampler["output"])
        assert len(stamps) == len(values)
        assert (np.diff(stamps) > 0).all()
        if node not in bone_of:
            continue
        times = stamps if len(stamps) > len(times) else times
        if path_ == "rotation":
            w = world(node)
            turns[bone_of[node]] = w * local(node).inv() * Rotation.from_quat(values) * w.inv()
        else:
            assert path_ == "translation", "no scale may be animated"
            assert bone_of[node] == "hips", "only the hips may move"
            hips = values
    hips_node = next(n for n, bone in bone_of.items() if bone == "hips")
    return Vrma(document, times, turns, hips, np.array(nodes[hips_node]["translation"]))
