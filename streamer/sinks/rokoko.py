"""Rokoko Studio Live, JSON v3: for the plugins of Blender, Unreal, Unity, Maya and Cinema 4D.

One JSON object a datagram, in an LZ4 frame, which Rokoko's Unity plugin insists on
(protocols.md 5). Places and rotations are the world's, in Unity's axes; a rotation
carries that of Rokoko's own skeleton in the T-pose.
"""

import json
import struct
import time
from collections.abc import Mapping
from math import radians
from typing import Any, Final

import numpy as np

from streamer.clock import Clock
from streamer.humanoid import BONE_INDEX, REST_OFFSETS, to_unity_position, to_unity_rotation
from streamer.retarget import Pose
from streamer.retarget_inverse import bone_frames
from streamer.rotation import Quaternion, about, multiply, multiply_all, rotate_all
from streamer.sinks.arkit import ARKIT, arkit_shapes
from streamer.sinks.player import PosePlayer
from streamer.types import Float32

PORT: Final = 14_043
"""Where Rokoko's plugins listen."""

_ACTOR: Final = "Gesture Streamer"
_HALF: Final = 0.5**0.5
_HEAD: Final = 0.2  # metres from the head bone to the crown

# Rokoko's skeleton in the T-pose, Unity's axes: its bones lie along their own -Y.
_PLAIN: Quaternion = (0.0, 0.0, 0.0, 1.0)
_SPINE: Quaternion = (0.0, 0.0, 1.0, 0.0)
_SHOULDER: Quaternion = (0.0, 0.0, _HALF, -_HALF)
_ARM: Quaternion = (-0.5, -0.5, 0.5, -0.5)
# Their thumb leaves the hand by 30 degrees and ends along the arm; ours lies at 45.
_THUMB_ROOT: Quaternion = multiply(
    about((0.0, 1.0, 0.0), radians(15)), (-0.56098, -0.70106, 0.43046, -0.0923)
)
_THUMB: Quaternion = multiply(
    about((0.0, 1.0, 0.0), radians(45)), (-0.65328, -0.65328, 0.2706, -0.2706)
)
_LEG: Quaternion = (0.0, _HALF, 0.0, _HALF)
_FOOT: Quaternion = (0.0, _HALF, -_HALF, 0.0)
_FINGERS: Final = ("Thumb", "Index", "Middle", "Ring", "Little")
_PHALANGES: Final = ("Proximal", "Medial", "Distal")
_OURS: Final[Mapping[str, tuple[str, ...]]] = {
    "Thumb": ("Metacarpal", "Proximal", "Distal"),
    "": ("Proximal", "Intermediate", "Distal"),
}

# The mannequin's legs, which rest: what each hangs on, and its offset.
_LEGS: Final = {
    "UpLeg": ((0.09, -0.045, 0.0), _LEG),
    "Leg": ((0.007, -0.405, 0.004), _LEG),
    "Foot": ((0.006, -0.415, -0.016), _FOOT),
    "Toe": ((0.0, -0.06, 0.12), _FOOT),
    "ToeEnd": ((0.0, 0.0, 0.06), _FOOT),
}


def _mirrored(q: Quaternion) -> Quaternion:
    x, y, z, w = q
    return (x, -y, -z, w)


def _driven() -> list[tuple[str, str, Quaternion]]:
    """Return (Rokoko's name, our bone, rotation in the T-pose)."""
    rows = [
        ("hip", "hips", _PLAIN),
        ("spine", "spine", _SPINE),
        ("chest", "upperChest", _SPINE),
        ("neck", "neck", _SPINE),
        ("head", "head", _SPINE),
    ]
    for side in ("left", "right"):
        for part, turn in (
            ("Shoulder", _SHOULDER),
            ("UpperArm", _ARM),
            ("LowerArm", _ARM),
            ("Hand", _ARM),
        ):
            rows.append((side + part, side + part, turn if side == "left" else _mirrored(turn)))
        for finger in _FINGERS:
            ours = _OURS.get(finger, _OURS[""])
            turns = (_THUMB_ROOT, _THUMB, _THUMB) if finger == "Thumb" else (_ARM,) * 3
            for theirs, joint, turn in zip(_PHALANGES, ours, turns, strict=True):
                own = turn if side == "left" else _mirrored(turn)
                rows.append((side + finger + theirs, side + finger + joint, own))
    return rows


_ROWS: Final = _driven()
_BONES: Final = np.array([BONE_INDEX[bone] for _, bone, _ in _ROWS])
_TURNS: Final = np.array([turn for _, _, turn in _ROWS], np.float32)


def rokoko_frame(
    pose: Pose, face: Float32 | None, seconds: float, *, fps: float = 60.0
) -> dict[str, Any]:
    """Return one frame as Rokoko's JSON. face: [6], None for a body without one."""
    places, world = bone_frames(pose.rotations)
    places = places + pose.root
    turns = multiply_all(to_unity_rotation(world[_BONES]), _TURNS)
    body: dict[str, Any] = {}
    spots = to_unity_position(places[_BONES])
    for (name, _, _), place, turn in zip(_ROWS, spots, turns, strict=True):
        body[name] = _joint(place, turn)
    for side in ("left", "right"):
        _add_tips(body, side)
        _add_leg(body, side, places[0], world[0])
    hips = float(REST_OFFSETS[0, 1])
    actor: dict[str, Any] = {
        "name": _ACTOR,
        "color": [64, 160, 224],
        "meta": {
            "hasGloves": True,
            "hasLeftGlove": True,
            "hasRightGlove": True,
            "hasBody": True,
            "hasFace": face is not None,
        },
        "dimensions": {
            "totalHeight": round(float(REST_OFFSETS[:6, 1].sum()) + _HEAD, 3),
            "hipHeight": round(hips, 3),
        },
        "body": body,
    }
    if face is not None:
        shapes = arkit_shapes(face)
        actor["face"] = {
            "faceId": "gesture",
            **{name[0].lower() + name[1:]: round(100 * shapes.get(name, 0.0), 1) for name in ARKIT},
        }
    scene = {"timestamp": round(seconds, 4), "actors": [actor], "characters": [], "props": []}
    return {"version": "3,0", "fps": fps, "scene": scene}


def rokoko_datagram(frame: Mapping[str, Any]) -> bytes:
    """Return a frame as an LZ4 frame of one stored block."""
    return lz4_stored(json.dumps(frame, separators=(",", ":"), allow_nan=False).encode())


class RokokoSink(PosePlayer):
    """Sends a session to Rokoko's plugins; implements `Sink`. face: our mouth and lids too."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        output_fps: float = 60.0,
        face: bool = False,
        frame_s: float = 1 / 15,
        clock: Clock = time.perf_counter,
    ) -> None:
        def encode(pose: Pose, shown: Float32 | None, seconds: float) -> list[bytes]:
            given = rokoko_frame(pose, shown if face else None, seconds, fps=output_fps)
            return [rokoko_datagram(given)]

        super().__init__(
            "rokoko",
            host,
            port,
            option="--rokoko",
            encode=encode,
            output_fps=output_fps,
            frame_s=frame_s,
            clock=clock,
        )


def lz4_stored(data: bytes) -> bytes:
    """Return data, at most 64 kB, as an LZ4 frame that is not compressed.

    Its head tells the size, which some readers allocate by. Compressing would
    need a package and save nothing on this machine.
    """
    head = struct.pack("<BBQ", 0x68, 0x40, len(data))  # version 1, independent blocks of 64 kB
    check = _xxh32(head) >> 8 & 0xFF
    block = struct.pack("<I", 0x8000_0000 | len(data)) + data
    return struct.pack("<I", 0x184D_2204) + head + bytes([check]) + block + bytes(4)


def _xxh32(data: bytes) -> int:
    """Return the xxHash32 of fewer than 16 bytes."""
    one, two, three, four, five = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    mask = 0xFFFF_FFFF

    def rolled(value: int, by: int) -> int:
        return (value << by | value >> 32 - by) & mask

    state = five + len(data)
    words = len(data) // 4
    for (word,) in struct.iter_unpack("<I", data[: 4 * words]):
        state = rolled(state + word * three & mask, 17) * four & mask
    for byte in data[4 * words :]:
        state = rolled(state + byte * five & mask, 11) * one & mask
    state = (state ^ state >> 15) * two & mask
    state = (state ^ state >> 13) * three & mask
    return state ^ state >> 16


def _joint(place: Any, turn: Any) -> dict[str, Any]:
    x, y, z = (round(float(v), 4) + 0.0 for v in place)
    a, b, c, d = (round(float(v), 5) + 0.0 for v in turn)
    return {"position": {"x": x, "y": y, "z": z}, "rotation": {"x": a, "y": b, "z": c, "w": d}}


def _add_tips(body: dict[str, Any], side: str) -> None:
    """Add the ends of fingers: as far beyond the last joint as that is from the one before."""
    for finger in _FINGERS:
        last, before = (body[f"{side}{finger}{part}"] for part in ("Distal", "Medial"))
        tip = {
            axis: round(1.8 * last["position"][axis] - 0.8 * before["position"][axis], 4)
            for axis in "xyz"
        }
        body[f"{side}{finger}Tip"] = {"position": tip, "rotation": last["rotation"]}


def _add_leg(body: dict[str, Any], side: str, hips: Float32, turn: Float32) -> None:
    sign = 1.0 if side == "left" else -1.0
    place = hips
    for part, ((x, y, z), rest) in _LEGS.items():
        place = place + rotate_all(turn, np.array((sign * x, y, z), np.float32))
        own = np.array(rest if side == "left" else _mirrored(rest), np.float32)
        body[side + part] = _joint(
            to_unity_position(place), multiply_all(to_unity_rotation(turn), own)
        )
