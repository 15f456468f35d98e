"""VRM Animation 1.0: a take that any VRM avatar can play (protocols.md 3.6).

A binary glTF without meshes: the bones as nodes that rest without turns, so that
local rotations are the normalised ones; a track for the turns of each bone that
moves, and one for the place of the hips.
"""

import json
import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamer import __version__
from streamer.humanoid import BONE_INDEX
from streamer.recordings.take import Take, TakeRig, continued

_FLOAT: Final = 5126
_HEADER: Final = struct.Struct("<4sII")
_CHUNK: Final = struct.Struct("<I4s")


def vrma_bytes(take: Take, rig: TakeRig) -> bytes:
    """Return a `.vrma` file; an empty take gives one still pose."""
    local = continued(rig.local(take.rotations))
    place = rig.offsets[0] + rig.shift(take.root)
    times = take.seconds
    if not len(times):
        times = np.zeros(1)
        local = rig.local(np.tile(np.array([0, 0, 0, 1], np.float32), (1, len(BONE_INDEX), 1)))
        place = rig.offsets[:1]
    buffer = _Buffer()
    time = buffer.add(times, "SCALAR", bounds=True)
    samplers, channels = list[dict[str, Any]](), list[dict[str, Any]]()

    def track(node: int, path: str, accessor: int) -> None:
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": time, "interpolation": "LINEAR", "output": accessor})

    for i, chain in enumerate(rig.folded):
        if chain:
            track(i, "rotation", buffer.add(local[:, i], "VEC4"))
    track(0, "translation", buffer.add(place, "VEC3"))
    bones = {bone: {"node": i} for i, bone in enumerate(rig.bones)}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"Gesture Streamer {__version__}"},
        "extensionsUsed": ["VRMC_vrm_animation"],
        "extensions": {
            "VRMC_vrm_animation": {"specVersion": "1.0", "humanoid": {"humanBones": bones}}
        },
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": _nodes(rig),
        "animations": [{"name": "gesture", "channels": channels, "samplers": samplers}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    return _glb(json.dumps(document, separators=(",", ":")).encode(), bytes(buffer.data))


class _Buffer:
    """Arrays as glTF accessors, one after the other."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views = list[dict[str, Any]]()
        self.accessors = list[dict[str, Any]]()

    def add(self, values: npt.NDArray[np.floating], kind: str, *, bounds: bool = False) -> int:
        single = np.ascontiguousarray(values, "<f4")
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": single.nbytes}
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": _FLOAT,
            "count": len(single),
            "type": kind,
        }
        if bounds:  # glTF asks for them where times are
            accessor |= {"min": [float(single.min())], "max": [float(single.max())]}
        self.data += single.tobytes()
        self.views.append(view)
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _nodes(rig: TakeRig) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = [
        {"name": name, "translation": [float(v) for v in offset]}
        for name, offset in zip(rig.names or rig.bones, rig.offsets, strict=True)
    ]
    for child, parent in enumerate(rig.parents):
        if parent >= 0:
            nodes[parent].setdefault("children", []).append(child)
    return nodes


def _glb(text: bytes, data: bytes) -> bytes:
    text += b" " * (-len(text) % 4)
    data += b"\0" * (-len(data) % 4)
    total = _HEADER.size + 2 * _CHUNK.size + len(text) + len(data)
    return b"".join(
        [
            _HEADER.pack(b"glTF", 2, total),
            _CHUNK.pack(len(text), b"JSON"),
            text,
            _CHUNK.pack(len(data), b"BIN\0"),
            data,
        ]
    )
