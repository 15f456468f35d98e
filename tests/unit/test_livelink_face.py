"""Live Link Face through a reader written from its layout alone."""

import socket
import struct
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.humanoid import BONE_INDEX, BONES
from streamer.retarget import Pose
from streamer.sinks.arkit import ARKIT, arkit_shapes
from streamer.sinks.livelink_face import LiveLinkFaceSink, livelink_face
from tests.serving import make_frame

REST = Pose(
    rotations=np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1)),
    root=np.zeros(3, np.float32),
)


def read(data: bytes) -> dict:
    """Read a packet: fields one after the other, as a receiver does."""
    assert struct.unpack("<i", data[:4]) == (6,)
    assert data[4:5] == b"$"
    assert len(data[4:41].decode("ascii")) == 37
    (length,) = struct.unpack("!i", data[41:45])
    name = data[45 : 45 + length].decode()
    frame, sub, fps, denominator, count = struct.unpack("!if2iB", data[45 + length : 62 + length])
    values = struct.unpack("!61f", data[62 + length :])  # raises unless it ends there
    assert count == 61
    return {"name": name, "frame": frame, "sub": sub, "fps": fps / denominator, "values": values}


def test_fields_are_where_receivers_look() -> None:
    face = np.array([1, 0, 0, 0, 0, 0.5], np.float32)
    seen = read(livelink_face(REST, face, 2.508, fps=60))
    assert seen["name"] == "GestureStreamer"
    assert (seen["frame"], seen["fps"]) == (150, 60)
    assert 0 <= seen["sub"] < 1
    assert seen["values"][0] == seen["values"][7] == pytest.approx(0.5)  # both lids
    assert seen["values"][17] == pytest.approx(0.65)  # the jaw
    assert seen["values"][52:] == (0.0,) * 9
    assert read(livelink_face(REST, None, 0.0, fps=60))["values"] == (0.0,) * 61


@pytest.mark.parametrize(
    ("axis", "index", "sign"),
    [("y", 52, 1), ("x", 53, -1), ("z", 54, -1)],
)
def test_the_head_turns_left_up_and_to_its_left(axis: str, index: int, sign: int) -> None:
    """In VRM's axes +Y turns left, +X nods down, +Z leans to the right."""
    rotations = REST.rotations.copy()
    for bone in ("neck", "head"):
        rotations[BONE_INDEX[bone]] = Rotation.from_euler(axis, 10, degrees=True).as_quat()
    values = read(livelink_face(Pose(rotations=rotations, root=REST.root), None, 0, fps=60))[
        "values"
    ]
    assert values[index] == pytest.approx(sign * np.radians(20), abs=1e-5)
    others = [values[i] for i in (52, 53, 54) if i != index]
    np.testing.assert_allclose(others, 0, atol=1e-5)


def test_there_are_arkits_52_shapes_and_each_vowel_has_its_own() -> None:
    assert len(ARKIT) == len(set(ARKIT)) == 52
    shown = [arkit_shapes(np.eye(6, dtype=np.float32)[i]) for i in range(5)]
    for shapes in shown:
        assert set(shapes) <= set(ARKIT)
        assert all(0 <= v <= 1 for v in shapes.values())
    jaws = [s["JawOpen"] for s in shown]
    assert jaws[0] == max(jaws)
    assert jaws[2] == min(jaws)
    assert len({tuple(sorted(s.items())) for s in shown}) == 5
    assert max(arkit_shapes(np.ones(6, np.float32)).values()) <= 1


async def test_the_sink_sends_what_frames_have() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.bind(("127.0.0.1", 0))
        inbox.settimeout(5)
        sink = LiveLinkFaceSink(*inbox.getsockname(), clock=lambda: 5.0)
        await sink.send(replace(make_frame(1), face=np.array([0, 0, 1, 0, 0, 1], np.float32)))
        sink.tick()
        values = read(inbox.recv(2048))["values"]
        assert values[ARKIT.index("MouthPucker")] == pytest.approx(0.7)
        await sink.aclose()
