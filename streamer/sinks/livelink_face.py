"""Live Link Face: head and face for Unreal's MetaHumans, without a plugin (protocols.md 5).

What Epic's telephone app sends: a datagram a frame with 52 ARKit shapes, the turn
of the head and of both eyes.
"""

import struct
import time
import uuid
from math import radians
from typing import Final

from streamer.clock import Clock
from streamer.humanoid import BONE_INDEX
from streamer.retarget import Pose
from streamer.rotation import Quaternion, multiply
from streamer.sinks.arkit import ARKIT, arkit_shapes
from streamer.sinks.player import PosePlayer
from streamer.sinks.vrchat_encoding import unity_euler
from streamer.types import Float32

PORT: Final = 11_111
"""Where Unreal listens."""

_VERSION: Final = 6
_VALUES: Final = 61
_ID: Final = uuid.UUID("c0ffee00-6765-4374-8572-652d66616365")
_NAME: Final = "GestureStreamer"


def livelink_face(
    pose: Pose, face: Float32 | None, seconds: float, *, fps: int, name: str = _NAME
) -> bytes:
    """Return one datagram. face: [6], None for a resting one.

    The head's turn is that of neck and head together against the chest, in radians
    within 1: yaw to the character's left, pitch up, roll to its left shoulder.
    """
    shapes = arkit_shapes(face) if face is not None else {}
    values = [shapes.get(shape, 0.0) for shape in ARKIT]
    values += _head(pose)
    values += [0.0] * (_VALUES - len(values))
    subject = name.encode()
    frame = int(seconds * fps)
    return b"".join(
        [
            struct.pack("<i", _VERSION),
            f"${_ID}".encode(),
            struct.pack("!i", len(subject)),
            subject,
            struct.pack("!ifiiB", frame, seconds * fps - frame, fps, 1, _VALUES),
            struct.pack(f"!{_VALUES}f", *values),
        ]
    )


class LiveLinkFaceSink(PosePlayer):
    """Sends head and face to Unreal; implements `Sink`. face: our mouth and lids too."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        output_fps: float = 60.0,
        face: bool = True,
        frame_s: float = 1 / 15,
        clock: Clock = time.perf_counter,
    ) -> None:
        def encode(pose: Pose, shown: Float32 | None, seconds: float) -> list[bytes]:
            return [livelink_face(pose, shown if face else None, seconds, fps=round(output_fps))]

        super().__init__(
            "livelink-face",
            host,
            port,
            option="--livelink-face",
            encode=encode,
            output_fps=output_fps,
            frame_s=frame_s,
            clock=clock,
        )


def _head(pose: Pose) -> list[float]:
    """Return yaw, pitch and roll in radians."""
    turns: list[Quaternion] = []
    for bone in ("neck", "head"):
        x, y, z, w = pose.rotations[BONE_INDEX[bone]].tolist()
        turns.append((x, y, z, w))
    x, y, z, w = multiply(*turns)
    # Angles about the same axes as Unity's, in our right-handed ones.
    down, left, roll = unity_euler((x, y, z, w))
    return [min(max(radians(v), -1.0), 1.0) for v in (left, -down, -roll)]
