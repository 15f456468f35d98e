from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.avatar import read_avatar
from streamer.humanoid import BONE_INDEX, BONES
from streamer.recordings.take import TakeRig, even_motion
from tests.takes import take
from tests.vrm import glb, humanoid_nodes, vrm1


def test_at_its_own_rate_every_frame_comes_out_as_it_was() -> None:
    source = take(90)
    motion = even_motion(source, 15.0)
    np.testing.assert_array_equal(motion.rotations, source.rotations)
    np.testing.assert_array_equal(motion.root, source.root)


def test_a_missing_frame_lies_between_its_neighbours() -> None:
    whole, holed = even_motion(take(30), 15.0), even_motion(take(30, without=(9, 10, 20)), 15.0)
    assert len(holed.rotations) == 30
    kept = [n for n in range(30) if n not in (9, 10, 20)]
    np.testing.assert_array_equal(holed.rotations[kept], whole.rotations[kept])
    before, after = Rotation.from_quat(whole.rotations[8]), Rotation.from_quat(whole.rotations[11])
    turn = before.inv() * after
    wanted = before * Rotation.from_rotvec(turn.as_rotvec() / 3)
    got = Rotation.from_quat(holed.rotations[9])
    assert np.degrees((wanted.inv() * got).magnitude()).max() < 0.05
    np.testing.assert_allclose(holed.root[20], (holed.root[19] + holed.root[21]) / 2, atol=1e-4)


def test_twice_the_rate_goes_through_every_frame() -> None:
    source = take(30)
    motion = even_motion(source, 30.0)
    assert abs(len(motion.rotations) - 59) <= 1
    cosine = np.abs((motion.rotations[::2][:29] * source.rotations[:29]).sum(-1))
    assert np.degrees(2 * np.arccos(np.clip(cosine, 0, 1))).max() < 0.2  # stamps are whole samples
    assert ((motion.rotations[1:] * motion.rotations[:-1]).sum(-1) >= 0).all()


def test_an_empty_take() -> None:
    assert even_motion(take(0), 15.0).rotations.shape == (0, 44, 4)


def test_the_mannequin_has_legs() -> None:
    rig = TakeRig.of(None)
    assert len(rig.bones) == 52
    assert rig.bones[0] == "hips"
    assert all(parent < i for i, parent in enumerate(rig.parents))
    toes = rig.bones.index("leftToes")
    at, height = toes, 0.0
    while at >= 0:
        height += rig.offsets[at, 1]
        at = rig.parents[at]
    assert 0 <= height < 0.05, "it stands on the ground"


def test_turns_of_bones_that_an_avatar_lacks_go_to_their_children(tmp_path: Path) -> None:
    nodes = humanoid_nodes()
    upper = next(i for i, n in enumerate(nodes) if n.get("name") == "upperChest")
    del nodes[upper]["name"]
    path = tmp_path / "a.vrm"
    path.write_bytes(glb(vrm1(nodes)))
    rig = TakeRig.of(read_avatar(path))
    assert "upperChest" not in rig.bones
    rotations = take(3).rotations
    local = rig.local(rotations)
    own = Rotation.from_quat(rotations[:, BONE_INDEX["upperChest"]])
    for bone in ("neck", "leftShoulder"):
        wanted = own * Rotation.from_quat(rotations[:, BONE_INDEX[bone]])
        got = Rotation.from_quat(local[:, rig.bones.index(bone)])
        assert np.degrees((wanted.inv() * got).magnitude()).max() < 0.01
    head = rig.bones.index("head")
    np.testing.assert_allclose(local[:, head], rotations[:, BONE_INDEX["head"]], atol=1e-6)


@pytest.mark.parametrize("name", ["Godette_vrm_v4", "debug_robot_vrm1", "cryptovoxels"])
def test_rigs_of_real_avatars_are_trees_of_plausible_size(shared: Path, name: str) -> None:
    avatar = read_avatar(shared / "data" / "avatars" / f"{name}.vrm")
    rig = TakeRig.of(avatar)
    assert rig.bones[0] == "hips"
    assert rig.parents[0] == -1
    assert all(0 <= parent < i for i, parent in enumerate(rig.parents) if i)
    assert set(rig.bones) >= set(avatar.bones) & set(BONES)
    for i, bone in enumerate(rig.bones):  # composed offsets lead to the file's own places
        at, place = i, np.zeros(3)
        while at >= 0:
            place = place + rig.offsets[at]
            at = rig.parents[at]
        np.testing.assert_allclose(place, avatar.bones[bone].world_position, atol=1e-5)
