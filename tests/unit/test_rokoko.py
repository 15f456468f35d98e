"""Rokoko's JSON v3 through lz4's own reader and a check of what its plugins read."""

import json
import socket
from dataclasses import replace

import lz4.frame
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.humanoid import BONE_INDEX, BONES, to_unity_rotation
from streamer.retarget import Pose
from streamer.retarget_inverse import bone_frames
from streamer.sinks.rokoko import RokokoSink, lz4_stored, rokoko_datagram, rokoko_frame
from tests.serving import make_frame
from tests.takes import take

BODY = (
    "hip spine chest neck head leftShoulder leftUpperArm leftLowerArm leftHand rightShoulder "
    "rightUpperArm rightLowerArm rightHand leftUpLeg leftLeg leftFoot leftToe leftToeEnd "
    "rightUpLeg rightLeg rightFoot rightToe rightToeEnd"
).split() + [
    f"{side}{finger}{part}"
    for side in ("left", "right")
    for finger in ("Thumb", "Index", "Middle", "Ring", "Little")
    for part in ("Proximal", "Medial", "Distal", "Tip")
]
"""What the plugins' structures name (JsonLiveSerializerV3.cs)."""

REST = Pose(
    rotations=np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1)),
    root=np.zeros(3, np.float32),
)


def turn(joint: dict) -> Rotation:
    return Rotation.from_quat([joint["rotation"][k] for k in "xyzw"])


def place(joint: dict) -> np.ndarray:
    return np.array([joint["position"][k] for k in "xyz"])


@pytest.mark.parametrize("size", [0, 1, 3, 9_000, 60_000])
def test_frames_are_lz4_with_their_size(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    packed = lz4_stored(data)
    assert lz4.frame.decompress(packed) == data
    info = lz4.frame.get_frame_info(packed)
    assert info["content_size"] == size


def test_a_datagram_has_all_that_the_plugins_read() -> None:
    face = np.array([0.5, 0, 0, 0, 0, 1], np.float32)
    datagram = rokoko_datagram(rokoko_frame(REST, face, 1.5))
    assert len(datagram) < 65_000  # of UDP
    frame = json.loads(lz4.frame.decompress(datagram))
    assert frame["version"] == "3,0"
    assert frame["fps"] == 60.0
    assert frame["scene"]["timestamp"] == 1.5
    assert frame["scene"]["props"] == frame["scene"]["characters"] == []
    (actor,) = frame["scene"]["actors"]
    assert set(actor["body"]) == set(BODY)
    assert actor["meta"] == {
        "hasGloves": True,
        "hasLeftGlove": True,
        "hasRightGlove": True,
        "hasBody": True,
        "hasFace": True,
    }
    assert actor["dimensions"]["hipHeight"] == pytest.approx(0.95)
    assert 1.5 < actor["dimensions"]["totalHeight"] < 2
    assert len(actor["face"]) == 53  # 52 shapes and the id
    assert actor["face"]["eyeBlinkLeft"] == 100.0
    assert actor["face"]["jawOpen"] == pytest.approx(32.5, abs=0.1)
    assert all(0 <= v <= 100 for k, v in actor["face"].items() if k != "faceId")
    without = rokoko_frame(REST, None, 0.0)["scene"]["actors"][0]
    assert without["meta"]["hasFace"] is False
    assert "face" not in without


def test_in_the_t_pose_every_bone_of_theirs_lies_along_its_minus_y() -> None:
    """Rokoko's reference rotations fit our T-pose: each bone points at the next."""
    body = rokoko_frame(REST, None, 0.0)["scene"]["actors"][0]["body"]
    for bone, following, slack in (
        ("leftUpperArm", "leftLowerArm", 1),
        ("rightLowerArm", "rightHand", 1),
        ("leftIndexProximal", "leftIndexMedial", 1),
        ("rightLittleMedial", "rightLittleDistal", 1),
        ("leftThumbMedial", "leftThumbDistal", 1),
        ("rightThumbMedial", "rightThumbDistal", 1),
        ("leftThumbProximal", "leftThumbMedial", 1),
        ("leftUpLeg", "leftLeg", 3),
        ("rightLeg", "rightFoot", 4),
        ("leftToe", "leftToeEnd", 1),
        ("spine", "chest", 1),
        ("chest", "neck", 1),
    ):
        along = turn(body[bone]).apply([0, -1, 0])
        wanted = place(body[following]) - place(body[bone])
        cosine = along @ wanted / np.linalg.norm(wanted)
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) < slack, bone
    assert place(body["leftHand"])[0] < -0.5  # Unity's left is -X
    assert place(body["leftToeEnd"])[2] > 0.1  # and forward +Z


def test_turns_are_the_worlds_from_the_t_pose_on() -> None:
    poses = take(4)
    rest = rokoko_frame(REST, None, 0.0)["scene"]["actors"][0]["body"]
    for n in range(4):
        pose = Pose(rotations=poses.rotations[n], root=poses.root[n])
        body = rokoko_frame(pose, None, 0.0)["scene"]["actors"][0]["body"]
        places, world = bone_frames(pose.rotations)
        for theirs, ours in (
            ("hip", "hips"),
            ("chest", "upperChest"),
            ("head", "head"),
            ("leftLowerArm", "leftLowerArm"),
            ("rightHand", "rightHand"),
            ("leftThumbDistal", "leftThumbDistal"),
        ):
            i = BONE_INDEX[ours]
            wanted = Rotation.from_quat(to_unity_rotation(world[i]))
            got = turn(body[theirs]) * turn(rest[theirs]).inv()
            assert np.degrees((got.inv() * wanted).magnitude()) < 0.05, theirs
            spot = (places[i] + pose.root) * [-1, 1, 1]
            np.testing.assert_allclose(place(body[theirs]), spot, atol=1e-4)


async def test_the_sink_sends_faces_only_if_asked_for() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.bind(("127.0.0.1", 0))
        inbox.settimeout(5)
        for asked in (True, False):
            sink = RokokoSink(*inbox.getsockname(), face=asked, clock=lambda: 5.0)
            given = replace(make_frame(1), face=np.zeros(6, np.float32))
            await sink.send(given)
            sink.tick()
            actor = json.loads(lz4.frame.decompress(inbox.recv(65_535)))["scene"]["actors"][0]
            assert actor["meta"]["hasFace"] is asked
            await sink.aclose()
            assert sink.name == f"rokoko 127.0.0.1:{inbox.getsockname()[1]}"
