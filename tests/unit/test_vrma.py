from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.avatar import read_avatar
from streamer.clock import SAMPLE_RATE
from streamer.humanoid import BONES
from streamer.recordings.take import TakeRig
from streamer.recordings.vrma import vrma_bytes
from tests.mocap import Vrma, read_vrma
from tests.takes import take


def written(folder: Path, data: bytes) -> Vrma:
    path = folder / "a.vrma"
    path.write_bytes(data)
    return read_vrma(path)


def test_a_take_comes_back(tmp_path: Path) -> None:
    """Through a reader after the specification.

    three-vrm-animation 3.5.5 in Node reads the same turns, times and hips.
    """
    source = take(40, without=(10, 11))
    vrma = written(tmp_path, vrma_bytes(source, TakeRig.of(None)))
    np.testing.assert_allclose(vrma.times, (source.sample - source.sample[0]) / SAMPLE_RATE)
    assert set(vrma.turns) == set(BONES)
    for i, bone in enumerate(BONES):
        want = Rotation.from_quat(source.rotations[:, i])
        assert np.degrees((want.inv() * vrma.turns[bone]).magnitude()).max() < 1e-3, bone
    assert vrma.hips is not None
    np.testing.assert_allclose(vrma.hips - vrma.rest_hips, source.root, atol=1e-6)
    np.testing.assert_allclose(vrma.rest_hips, [0, 0.95, 0], atol=1e-6)


def test_signs_continue_for_players_that_blend_numbers(tmp_path: Path) -> None:
    source = take(30)
    source.rotations[7] *= -1
    path = tmp_path / "a.vrma"
    path.write_bytes(vrma_bytes(source, TakeRig.of(None)))
    document = read_vrma(path).document
    blob = path.read_bytes()[-document["buffers"][0]["byteLength"] :]
    for channel in document["animations"][0]["channels"]:
        if channel["target"]["path"] != "rotation":
            continue
        sampler = document["animations"][0]["samplers"][channel["sampler"]]
        view = document["bufferViews"][document["accessors"][sampler["output"]]["bufferView"]]
        q = np.frombuffer(blob, "<f4", view["byteLength"] // 4, view["byteOffset"]).reshape(-1, 4)
        assert ((q[1:] * q[:-1]).sum(1) > 0).all()


def test_the_reference_files_are_read_by_the_same_reader(shared: Path) -> None:
    """What the reader says of them is known: `nop` rests, the other turns hips and spine."""
    nop = read_vrma(shared / "data" / "avatars" / "nop.vrma")
    assert len(nop.turns) > 10
    for bone, turn in nop.turns.items():
        assert np.degrees(turn.magnitude()).max() < 0.01, bone
    moving = read_vrma(shared / "data" / "avatars" / "hips_spine_twisting.vrma")
    assert len(moving.times) == 1800
    swing = {bone: np.degrees(turn.magnitude()).max() for bone, turn in moving.turns.items()}
    assert min(swing["hips"], swing["spine"]) > 30


def test_our_rewriting_of_a_reference_file_moves_the_same(shared: Path, tmp_path: Path) -> None:
    """Its turns, through a take of ours and back, are the turns that it had."""
    reference = read_vrma(shared / "data" / "avatars" / "hips_spine_twisting.vrma")
    source = take(300)
    source.rotations[:] = (0, 0, 0, 1)
    for bone, turn in reference.turns.items():
        if bone in BONES and len(turn) == 1800:
            source.rotations[:, BONES.index(bone)] = turn.as_quat()[:1800:6]
    ours = written(tmp_path, vrma_bytes(source, TakeRig.of(None)))
    for bone in ("hips", "spine", "leftUpperArm", "rightUpperArm"):
        apart = reference.turns[bone][:1800:6].inv() * ours.turns[bone]
        assert np.degrees(apart.magnitude()).max() < 1e-3


@pytest.mark.parametrize("name", ["Godette_vrm_v4", "debug_robot_vrm1", "cryptovoxels"])
def test_an_avatars_bones_and_size(shared: Path, tmp_path: Path, name: str) -> None:
    avatar = read_avatar(shared / "data" / "avatars" / f"{name}.vrm")
    vrma = written(tmp_path, vrma_bytes(take(5), TakeRig.of(avatar)))
    bones = vrma.document["extensions"]["VRMC_vrm_animation"]["humanoid"]["humanBones"]
    assert set(bones) == {b for b in avatar.bones if "Eye" not in b and b != "jaw"}
    np.testing.assert_allclose(vrma.rest_hips, avatar.bones["hips"].world_position, atol=1e-6)


def test_a_take_without_frames_stands_still(tmp_path: Path) -> None:
    vrma = written(tmp_path, vrma_bytes(take(0), TakeRig.of(None)))
    assert all((turn.magnitude() == 0).all() for turn in vrma.turns.values())
