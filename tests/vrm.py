"""Synthetic VRM files for tests, built from the engine's own humanoid."""

import json
import struct
from typing import Any

from streamer.humanoid import BONES, PARENTS, REST_OFFSETS

LEGS = (
    ("UpperLeg", "hips", (0.09, -0.045, 0.0)),
    ("LowerLeg", "UpperLeg", (0.007, -0.405, 0.004)),
    ("Foot", "LowerLeg", (0.006, -0.415, -0.016)),
)


def humanoid_nodes(*, turned: bool = False) -> list[dict[str, Any]]:
    """Return a glTF node for each bone of `BONES`, then the legs; normalised.

    turned: in the axes of VRM 0.x.
    """
    f = -1 if turned else 1
    nodes: list[dict[str, Any]] = []

    def add(name: str, parent: int, offset: tuple[float, ...]) -> int:
        x, y, z = (float(v) for v in offset)
        nodes.append({"name": name, "translation": [f * x, y, f * z], "children": []})
        if parent >= 0:
            nodes[parent]["children"].append(len(nodes) - 1)
        return len(nodes) - 1

    for bone, parent, offset in zip(BONES, PARENTS, REST_OFFSETS, strict=True):
        add(bone, parent, tuple(offset))
    for side, sign in (("left", 1), ("right", -1)):
        at = 0
        for part, _, (x, y, z) in LEGS:
            at = add(side + part, at, (sign * x, y, z))
    return nodes


def vrm1(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a VRM 1.0 document whose bones are the named nodes."""
    bones = {n["name"]: {"node": i} for i, n in enumerate(nodes) if "name" in n}
    meta = {
        "name": "Test One",
        "authors": ["Ada", "Grace"],
        "licenseUrl": "https://vrm.dev/licenses/1.0/",
    }
    vrm = {"specVersion": "1.0", "meta": meta, "humanoid": {"humanBones": bones}}
    return {"asset": {"version": "2.0"}, "nodes": nodes, "extensions": {"VRMC_vrm": vrm}}


def vrm0(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a VRM 0.x document whose bones are the named nodes."""

    def old(name: str) -> str:
        if "Thumb" in name:
            name = name.replace("Proximal", "Intermediate").replace("Metacarpal", "Proximal")
        return name

    bones = [{"bone": old(n["name"]), "node": i} for i, n in enumerate(nodes) if "name" in n]
    meta = {"title": "Test Zero", "author": "Ada", "licenseName": "CC_BY"}
    vrm = {"meta": meta, "humanoid": {"humanBones": bones}}
    return {"asset": {"version": "2.0"}, "nodes": nodes, "extensions": {"VRM": vrm}}


def glb(document: dict[str, Any] | bytes, *, binary: bytes = b"") -> bytes:
    """Return a binary glTF file of a document, or of bytes in its place."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
