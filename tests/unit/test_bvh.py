from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.avatar import read_avatar
from streamer.humanoid import BONES
from streamer.recordings.bvh import bvh_name, bvh_text, euler_zxy
from streamer.recordings.take import TakeRig, even_motion
from streamer.retarget_inverse import bone_frames
from tests.mocap import read_bvh
from tests.takes import take


def test_joints_of_a_file_are_where_the_pose_says() -> None:
    """Through another parser and another forward kinematics.

    Blender 4.5 puts them there too: every joint of 90 frames within 0.002 mm.
    """
    source, rig = take(60), TakeRig.of(None)
    bvh = read_bvh(bvh_text(even_motion(source, 15.0), rig))
    places = bvh.positions()
    positions, _ = bone_frames(source.rotations)
    positions = positions + source.root[:, None]
    for bone in BONES:
        got = places[bvh_name(bone)] / 100
        # 4 decimals of centimetres and degrees, down a chain of ten joints
        np.testing.assert_allclose(got, positions[:, BONES.index(bone)], atol=2e-5, err_msg=bone)
    assert bvh.frame_time == pytest.approx(1 / 15, abs=1e-6)
    assert len(bvh.names) == 52
    assert bvh.ends == 2 + 10 + 1  # toes, fingers, head


def test_names_are_those_that_characters_are_recognised_by() -> None:
    names = [bvh_name(bone) for bone in TakeRig.of(None).bones]
    assert len(set(names)) == len(names)
    for wanted in (
        "Hips",
        "Spine2",
        "LeftUpLeg",
        "RightForeArm",
        "LeftHandThumb1",
        "LeftHandPinky3",
    ):
        assert wanted in names
    assert bvh_name("leftThumbMetacarpal") == "LeftHandThumb1"
    assert bvh_name("leftThumbDistal") == "LeftHandThumb3"


def test_the_t_pose_is_zero_and_lines_do_not_jump() -> None:
    angles = euler_zxy(np.tile(np.array([0, 0, 0, 1], np.float32), (2, 3, 1)))
    np.testing.assert_array_equal(angles, np.zeros((2, 3, 3)))
    turns = np.arange(0, 900, 7.0)  # two and a half turns about each axis
    for axis in "ZXY":
        q = Rotation.from_euler(axis, turns[:, None], degrees=True).as_quat().astype(np.float32)
        angles = euler_zxy(q[:, None])[:, 0]
        # Past the pole of X the other two turn over at once; it is one way only.
        assert np.abs(np.diff(angles, axis=0)).max() < (8 if axis != "X" else 181)
        back = Rotation.from_euler("ZXY", angles, degrees=True)
        # float32 quaternions
        assert np.degrees((back.inv() * Rotation.from_quat(q)).magnitude()).max() < 0.05


@pytest.mark.parametrize("x", [90.0, -90.0, 89.9999, -89.9999])
def test_at_the_pole(x: float) -> None:
    want = Rotation.from_euler("ZXY", [30, x, 20], degrees=True)
    angles = euler_zxy(want.as_quat()[None, None].astype(np.float32))[0, 0]
    assert np.isfinite(angles).all()
    got = Rotation.from_euler("ZXY", angles, degrees=True)
    assert np.degrees((got.inv() * want).magnitude()) < 0.1  # float32 at the pole


@pytest.mark.parametrize("name", ["Godette_vrm_v4", "debug_robot_vrm1", "cryptovoxels"])
def test_rest_offsets_are_the_avatars(shared: Path, name: str) -> None:
    avatar = read_avatar(shared / "data" / "avatars" / f"{name}.vrm")
    rig = TakeRig.of(avatar)
    bvh = read_bvh(bvh_text(even_motion(take(1), 15.0), rig))
    assert len(bvh.names) == len(rig.bones)
    for bone in rig.bones:
        if bone != "hips":
            offset = bvh.offsets[bvh.names.index(bvh_name(bone))] / 100
            np.testing.assert_allclose(offset, avatar.offset(bone), atol=1e-6)


def test_a_take_without_frames_is_a_skeleton() -> None:
    bvh = read_bvh(bvh_text(even_motion(take(0), 15.0), TakeRig.of(None)))
    assert len(bvh.hips) == 0
