"""Bone maps on renamed, turned and incomplete rigs, against scipy's forward kinematics."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.bone_map import read_bone_map
from streamer.errors import GestureError
from streamer.humanoid import BONE_INDEX, BONES, PARENTS, to_unity_rotation
from streamer.recordings.bvh import bvh_text
from streamer.recordings.take import TakeRig, even_motion
from streamer.recordings.vrma import vrma_bytes
from streamer.retarget import Pose
from streamer.retarget_inverse import bone_frames
from streamer.rotation import rotate
from streamer.sinks.vmc_encoding import encode_vmc
from tests.evmc4u import decode
from tests.mocap import read_bvh, read_vrma
from tests.takes import take
from tests.vrm import glb, humanoid_nodes


def written(folder: Path, text: str) -> Path:
    path = folder / "map.toml"
    path.write_text(text, "utf-8")
    return path


def renamed(bones: Any = BONES) -> str:
    """Return the table of a rig whose every bone is called otherwise."""
    return "[bones]\n" + "".join(f'{bone} = "rig_{bone.lower()}"\n' for bone in bones)


def test_other_programs_are_told_the_rigs_own_names(tmp_path: Path) -> None:
    rig = read_bone_map(written(tmp_path, renamed()))
    poses = take(3)
    sent = encode_vmc(Pose(rotations=poses.rotations[1], root=poses.root[1]), 0.0, avatar=rig)
    named = {m.values[0] for d in sent for m in decode(d) if m.address == "/VMC/Ext/Bone/Pos"}
    assert named == {f"rig_{bone.lower()}" for bone in BONES}
    bvh = read_bvh(bvh_text(even_motion(poses, 15.0), TakeRig.of(rig)))
    assert set(bvh.names) == named
    path = tmp_path / "a.vrma"
    path.write_bytes(vrma_bytes(poses, TakeRig.of(rig)))
    document = read_vrma(path).document
    bones = document["extensions"]["VRMC_vrm_animation"]["humanoid"]["humanBones"]
    assert document["nodes"][bones["leftHand"]["node"]]["name"] == "rig_lefthand"


A_POSE = """
[tpose]
leftUpperArm = [0, 0, 40]
rightUpperArm = [0, 0, -40]
spine = [90, 0, 0]
head = [0.5, 0.5, 0.5, 0.5]
"""


def test_turned_axes_leave_every_joint_where_it_was(tmp_path: Path) -> None:
    """The same motion on a rig with other axes and another rest pose, by another FK."""
    rig = TakeRig.of(read_bone_map(written(tmp_path, renamed() + A_POSE)))
    source = take(30)
    bvh = read_bvh(bvh_text(even_motion(source, 15.0), rig))
    positions, _ = bone_frames(source.rotations)
    positions = positions + source.root[:, None]
    places = bvh.positions()
    for bone in BONES:
        got = places[f"rig_{bone.lower()}"] / 100
        np.testing.assert_allclose(got, positions[:, BONE_INDEX[bone]], atol=3e-5, err_msg=bone)


def test_in_the_t_pose_each_bone_has_the_turn_that_the_map_says(tmp_path: Path) -> None:
    rig = read_bone_map(written(tmp_path, renamed() + A_POSE))
    identity = np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1))
    sent = encode_vmc(Pose(rotations=identity, root=np.zeros(3, np.float32)), 0.0, avatar=rig)
    turns = {
        m.values[0]: to_unity_rotation(np.array(m.values[4:], np.float32))
        for d in sent
        for m in decode(d)
        if m.address == "/VMC/Ext/Bone/Pos"
    }
    want = Rotation.from_euler("z", 40, degrees=True).as_quat()
    np.testing.assert_allclose(turns["rig_leftupperarm"], want, atol=1e-6)
    np.testing.assert_allclose(turns["rig_spine"], [0.5**0.5, 0, 0, 0.5**0.5], atol=1e-6)
    np.testing.assert_allclose(turns["rig_leftlowerarm"], [0, 0, 0, 1], atol=1e-6)


def turned_rig(folder: Path, seed: int = 3) -> tuple[list[dict[str, Any]], Path]:
    """Write a rig with random axes, a node between two bones, and the mannequin's shape."""
    generator = np.random.default_rng(seed)
    nodes = humanoid_nodes()
    world = Rotation.random(len(nodes), random_state=seed)
    above = {c: i for i, n in enumerate(nodes) for c in n["children"]}
    for i, node in enumerate(nodes):
        parent = world[above[i]] if i in above else Rotation.identity()
        node["rotation"] = (parent.inv() * world[i]).as_quat().tolist()
        node["translation"] = parent.inv().apply(node["translation"]).tolist()
        node["name"] = f"rig_{node['name'].lower()}"
    hand = next(i for i, n in enumerate(nodes) if n["name"] == "rig_lefthand")
    forearm = above[hand]
    twist = {"name": "twist", "children": [hand], "translation": [0, 0, 0]}
    nodes[forearm]["children"].remove(hand)
    nodes[forearm]["children"].append(len(nodes))
    nodes.append(twist)
    path = folder / "rig.glb"
    path.write_bytes(glb({"asset": {"version": "2.0"}, "nodes": nodes}))
    assert generator is not None
    return nodes, path


def test_a_rig_files_axes_are_met(tmp_path: Path) -> None:
    """What is sent, put into the file's own nodes, turns the body as the pose says."""
    nodes, _ = turned_rig(tmp_path)
    rig = read_bone_map(written(tmp_path, 'rig = "rig.glb"\n' + renamed()))
    poses = take(4)
    sent = encode_vmc(Pose(rotations=poses.rotations[2], root=poses.root[2]), 0.0, avatar=rig)
    raw = {
        m.values[0]: Rotation.from_quat(to_unity_rotation(np.array(m.values[4:], np.float32)))
        for d in sent
        for m in decode(d)
        if m.address == "/VMC/Ext/Bone/Pos"
    }
    above = {c: i for i, n in enumerate(nodes) for c in n["children"]}

    def world(i: int, posed: bool) -> Rotation:
        node = nodes[i]
        rest = Rotation.from_quat(node.get("rotation", (0, 0, 0, 1)))
        own = raw.get(node["name"], rest) if posed else rest
        return world(above[i], posed) * own if i in above else own

    _, wanted = bone_frames(poses.rotations[2])
    for i, node in enumerate(nodes):
        bone = next((b for b in BONES if f"rig_{b.lower()}" == node["name"]), None)
        if bone is None:
            continue
        turn = world(i, posed=True) * world(i, posed=False).inv()
        apart = (turn.inv() * Rotation.from_quat(wanted[BONE_INDEX[bone]])).magnitude()
        assert np.degrees(apart) < 0.05, bone


def test_bones_that_a_rig_lacks_give_their_turn_to_their_children(tmp_path: Path) -> None:
    few = [b for b in BONES if b not in ("chest", "upperChest", "neck") and "Shoulder" not in b]
    rig = TakeRig.of(read_bone_map(written(tmp_path, renamed(few))))
    source = take(10)
    bvh = read_bvh(bvh_text(even_motion(source, 15.0), rig))
    _, world = bone_frames(source.rotations)
    got = bvh.turns["rig_hips"] * bvh.turns["rig_spine"] * bvh.turns["rig_leftupperarm"]
    apart = got.inv() * Rotation.from_quat(world[:, BONE_INDEX["leftUpperArm"]])
    assert np.degrees(apart.magnitude()).max() < 0.05
    # Where the T-pose has it, the bones between included.
    height = sum(bvh.offsets[bvh.names.index(f"rig_{b}")][1] for b in ("spine", "leftupperarm"))
    chain, at = 0.0, BONE_INDEX["leftUpperArm"]
    places, _ = bone_frames(np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1)))
    while PARENTS[at] >= 0:
        chain += places[at][1] - places[PARENTS[at]][1]
        at = PARENTS[at]
    assert height / 100 == pytest.approx(chain, abs=1e-4)


def test_offsets_are_the_maps(tmp_path: Path) -> None:
    rig = read_bone_map(written(tmp_path, renamed() + "[offsets]\nleftHand = [0.5, 0, 0]\n"))
    assert rig.offset("leftHand") == pytest.approx((0.5, 0, 0))


def test_a_real_rig_that_is_no_vrm(shared: Path, tmp_path: Path) -> None:
    """mesh2motion's man: Unreal's names, every bone with axes of its own."""
    source = shared / "data" / "avatars" / "mesh2motion_human-male.glb"
    (tmp_path / "man.glb").write_bytes(source.read_bytes())
    arms = "".join(
        f'{side}{bone} = "{name}_{side[0]}"\n'
        for side in ("left", "right")
        for bone, name in (("UpperArm", "upperarm"), ("LowerArm", "lowerarm"), ("Hand", "hand"))
    )
    text = f'rig = "man.glb"\n[bones]\nhips = "pelvis"\nspine = "spine_01"\nhead = "head"\n{arms}'
    rig = read_bone_map(written(tmp_path, text))
    assert rig.bones["hips"].world_position[1] == pytest.approx(0.95, abs=0.15)
    left, right = (rig.bones[f"{s}Hand"].world_position for s in ("left", "right"))
    assert left[0] == pytest.approx(-right[0], abs=0.01)
    assert left[0] > 0.4  # its left is at +X, so it faces +Z
    along = rotate(rig.bones["leftUpperArm"].world_rotation, (0.0, 1.0, 0.0))
    assert along[0] > 0.7  # its bones lie along their own Y, as Blender has them


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bones = 3", "no table"),
        ("", "no table"),
        ("[bones", "not TOML"),
        ('[bones]\nhips = "a"', r"lacks spine, head, leftUpperArm"),
        (renamed() + 'tail = "x"\n', "no bone 'tail'"),
        (renamed() + 'leftFoot = "rig_hips"\n', "stands for two"),
        (renamed() + "leftFoot = 3\n", "leftFoot is 3"),
        ("speed = 1\n" + renamed(), "unknown key 'speed'"),
        (renamed() + "[tpose]\nhead = [1, 2]\n", "expected 3 or 4 numbers"),
        (renamed() + "[tpose]\nhead = [0, 0, 0, 0]\n", "no rotation"),
        (renamed() + "[tpose]\nhead = [nan, 0, 0]\n", "tpose.head"),
        (renamed() + "[tpose]\nleftFoot = [0, 0, 0]\n", "no bone of"),
        (renamed() + "[offsets]\nhead = [0, 900, 0]\n", "in metres"),
        ('faces = "-Z"\n' + renamed(), "rig file"),
        ('faces = "up"\n' + renamed(), "expected"),
        ('rig = "none.glb"\n' + renamed(), "none.glb"),
        ("rig = 3\n" + renamed(), "rig is 3"),
        ('rig = "rig.glb"\n' + renamed() + "[offsets]\nhead = [0, 1, 0]\n", "leave one"),
        ('rig = "rig.glb"\n' + renamed().replace("rig_head", "skull"), "no node 'skull'"),
        ('rig = "rig.glb"\n' + renamed() + 'leftFoot = "twice"\n', "several nodes"),
    ],
)
def test_a_bad_map_is_one_clear_error(tmp_path: Path, text: str, reason: str) -> None:
    nodes, path = turned_rig(tmp_path)
    nodes += [{"name": "twice"}, {"name": "twice"}]
    path.write_bytes(glb({"asset": {"version": "2.0"}, "nodes": nodes}))
    with pytest.raises(GestureError, match=reason):
        read_bone_map(written(tmp_path, text))


def test_a_map_that_is_not_there_or_huge(tmp_path: Path) -> None:
    with pytest.raises(GestureError, match="cannot be read"):
        read_bone_map(tmp_path / "no.toml")
    with pytest.raises(GestureError, match="64 kB"):
        read_bone_map(written(tmp_path, "#" * 70_000))
