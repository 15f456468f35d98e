"""Skeletons as direction vectors: what a network emits, before retargeting.

A pose is [D, 3]: first one unit vector per bone (parent joint to child joint),
then one per normal (a palm's outward normal). Axes are the skeleton's own;
`axes` are the three signs that turn them into VRM 1.0 axes (protocols.md 6.2).
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, cast

import numpy as np

from streamer.errors import ArtifactError
from streamer.types import Float32

BUILT_IN = ("upper_body", "ted_expressive", "ted_gesture")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Skeleton:
    """Joints, bones and the coarse-to-fine levels of one pose layout.

    bones: (parent, child) joint pairs, one per direction vector; bone_lengths
    in metres; normals: names of the vectors after the bones; mean: [D, 3] mean
    direction that networks subtract; levels: ascending vector indices per
    level, the last holding all (ha2g.md 2.4).
    """

    name: str
    axes: tuple[int, int, int]
    root_joint: int
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    bone_lengths: tuple[float, ...]
    normals: tuple[str, ...]
    mean: Float32
    levels: tuple[tuple[int, ...], ...]
    source: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Skeleton) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.name, self.bones))

    @property
    def vectors(self) -> int:
        """The number D of vectors of a pose."""
        return len(self.bones) + len(self.normals)

    @property
    def vector_names(self) -> tuple[str, ...]:
        """Names of the D vectors: `parent>child` for bones, then the normals."""
        bones = tuple(f"{self.joints[a]}>{self.joints[b]}" for a, b in self.bones)
        return bones + self.normals

    def index(self, parent: str, child: str) -> int:
        """Return the vector index of a bone by its joint names."""
        return self.bones.index((self.joints.index(parent), self.joints.index(child)))

    def to_vrm(self, vectors: Float32) -> Float32:
        """Convert vectors or positions [..., 3] to VRM 1.0 axes."""
        return vectors * np.array(self.axes, np.float32)

    def positions(self, directions: Float32) -> Float32:
        """Return joint positions [..., J, 3] for directions [..., D, 3], root at 0.

        Same axes as the input; bone lengths are the skeleton's (ha2g.md 1.1).
        """
        out = np.zeros((*directions.shape[:-2], len(self.joints), 3), np.float32)
        for bone in _order(self):
            parent, child = self.bones[bone]
            out[..., child, :] = (
                out[..., parent, :] + self.bone_lengths[bone] * directions[..., bone, :]
            )
        return out

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form that manifests hold."""
        return {
            "name": self.name,
            "axes": list(self.axes),
            "root_joint": self.root_joint,
            "joints": list(self.joints),
            "bones": [list(b) for b in self.bones],
            "bone_lengths": list(self.bone_lengths),
            "normals": list(self.normals),
            "mean": [[round(float(x), 6) for x in row] for row in self.mean],
            "levels": [list(level) for level in self.levels],
            "source": self.source,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Skeleton":
        """Read the JSON form; raises `ArtifactError` where it contradicts itself."""
        try:
            skeleton = cls(
                name=str(data["name"]),
                axes=cast(tuple[int, int, int], tuple(int(a) for a in data["axes"])),
                root_joint=int(data["root_joint"]),
                joints=tuple(str(j) for j in data["joints"]),
                bones=tuple((int(a), int(b)) for a, b in data["bones"]),
                bone_lengths=tuple(float(x) for x in data["bone_lengths"]),
                normals=tuple(str(n) for n in data["normals"]),
                mean=np.array(data["mean"], np.float32),
                levels=tuple(tuple(int(i) for i in level) for level in data["levels"]),
                source=str(data.get("source", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"skeleton: missing or malformed field ({error!r})") from error
        skeleton._check()
        return skeleton

    def _check(self) -> None:
        joints, vectors = len(self.joints), self.vectors
        children = sorted(child for _, child in self.bones)
        expected = sorted(set(range(joints)) - {self.root_joint})
        if children != expected or any(not 0 <= a < joints for a, _ in self.bones):
            raise ArtifactError(f"skeleton {self.name}: bones do not form a tree of all joints")
        reached, frontier = {self.root_joint}, [self.root_joint]
        while frontier:
            frontier = [b for a, b in self.bones if a in frontier]
            reached |= set(frontier)
        if len(reached) != joints:
            raise ArtifactError(f"skeleton {self.name}: some joints hang on no root")
        if len(self.axes) != 3 or any(abs(a) != 1 for a in self.axes):
            raise ArtifactError(f"skeleton {self.name}: axes must be three signs")
        if len(self.bone_lengths) != len(self.bones) or self.mean.shape != (vectors, 3):
            raise ArtifactError(f"skeleton {self.name}: lengths or means do not fit {vectors}")
        if not self.levels or sorted(self.levels[-1]) != list(range(vectors)):
            raise ArtifactError(f"skeleton {self.name}: the last level must hold every vector")


@cache
def _order(skeleton: Skeleton) -> tuple[int, ...]:
    """Return the bones in an order in which each parent joint is placed before its child."""
    known, todo, order = {skeleton.root_joint}, list(range(len(skeleton.bones))), list[int]()
    while todo:
        ready = [b for b in todo if skeleton.bones[b][0] in known]
        order += ready
        known |= {skeleton.bones[b][1] for b in ready}
        todo = [b for b in todo if b not in ready]
    return tuple(order)


@cache
def load_skeleton(name: str) -> Skeleton:
    """Return a built-in skeleton: `upper_body`, `ted_expressive` or `ted_gesture`."""
    if name not in BUILT_IN:
        raise ArtifactError(f"skeleton {name!r} is not built in; there are {', '.join(BUILT_IN)}")
    text = files("streamer").joinpath(f"data/skeletons/{name}.json").read_text("utf-8")
    return Skeleton.from_json(json.loads(text))
