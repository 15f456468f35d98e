"""VMC datagrams: golden bytes, conformance (protocols.md 1.11), axes, raw rotations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.avatar import Avatar, read_avatar
from streamer.humanoid import BONE_INDEX, BONES, PARENTS, REST_OFFSETS
from streamer.retarget import Pose
from streamer.sinks.vmc import encode_vmc
from streamer.sinks.vmc_encoding import VmcEncoder, VmcRig, osc_message
from tests.evmc4u import HUMAN_BODY_BONES, Receiver, Refused, decode
from tests.vrm import glb, humanoid_nodes, vrm0, vrm1

REST = Pose(
    rotations=np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1)),
    root=np.zeros(3, np.float32),
)


def posed(seed: int) -> Pose:
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(rng.uniform(-0.8, 0.8, (len(BONES), 3)))
    return Pose(
        rotations=turns.as_quat().astype(np.float32),
        root=rng.uniform(-0.05, 0.05, 3).astype(np.float32),
    )


def received(datagrams: list[bytes], *, mtu: int = 1200):
    receiver = Receiver()
    receiver.take_all(datagrams, mtu=mtu)
    (frame,) = receiver.frames
    return frame


def file(tmp_path: Path, document: dict[str, Any]) -> Avatar:
    path = tmp_path / "a.vrm"
    path.write_bytes(glb(document))
    return read_avatar(path)


def unity_name(bone: str) -> str:
    """The name by the table of protocols.md 1.5, written here a second time."""
    old = {"ThumbMetacarpal": "ThumbProximal", "ThumbProximal": "ThumbIntermediate"}
    for new, was in old.items():
        if bone.endswith(new):
            bone = bone.removesuffix(new) + was
            break
    return bone[0].upper() + bone[1:]


GOLDEN = {
    "bone": (
        ("/VMC/Ext/Bone/Pos", "sfffffff", "Hips", 0, 1, 0, 0, 0, 0, 1),
        "2f564d432f4578742f426f6e652f506f73000000 2c7366666666666666000000 48697073 00000000"
        "00000000 3f800000 00000000 00000000 00000000 00000000 3f800000",
    ),
    "ok": (("/VMC/Ext/OK", "i", 1), "2f564d432f4578742f4f4b00 2c690000 00000001"),
    "time": (("/VMC/Ext/T", "f", 1.5), "2f564d432f4578742f540000 2c660000 3fc00000"),
    "blend": (
        ("/VMC/Ext/Blend/Val", "sf", "A", 0.5),
        "2f564d432f4578742f426c656e642f56616c0000 2c736600 41000000 3f000000",
    ),
    "apply": (
        ("/VMC/Ext/Blend/Apply", ""),
        "2f564d432f4578742f426c656e642f4170706c7900000000 2c000000",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_bytes(name: str) -> None:
    message, expected = GOLDEN[name]
    assert osc_message(*message) == bytes.fromhex(expected)


def test_golden_bone_and_time_within_a_frame(tmp_path: Path) -> None:
    """The same golden bytes, out of the encoder: hips one metre up, the T-pose, 1.5 s."""
    nodes = humanoid_nodes()
    nodes[0]["translation"] = [0, 1, 0]
    datagrams = encode_vmc(REST, 1.5, avatar=file(tmp_path, vrm1(nodes)), bundle="none")
    assert bytes.fromhex(GOLDEN["bone"][1]) in datagrams
    assert datagrams[-1] == bytes.fromhex(GOLDEN["time"][1])


@pytest.mark.parametrize("bundle", ["mtu", "full", "none"])
def test_a_frame_passes_the_strict_receiver(bundle: Any) -> None:
    datagrams = encode_vmc(posed(1), 12.25, bundle=bundle)
    frame = received(datagrams, mtu=1200 if bundle != "full" else 65_000)
    assert [m.address for m in frame.messages[-2:]] == ["/VMC/Ext/OK", "/VMC/Ext/T"]
    assert frame.messages[0].address == "/VMC/Ext/Root/Pos"
    assert frame.ok == (1, 3, 0)
    assert frame.time == 12.25
    assert frame.root == (0, 0, 0, 0, 0, 0, 1)
    match bundle:
        case "mtu":
            assert len(datagrams) == 4
            assert all(d.startswith(b"#bundle\0") and len(d) <= 1200 for d in datagrams)
        case "full":
            assert len(datagrams) == 1
        case _:
            assert len(datagrams) == len(frame.messages)
            assert not any(d.startswith(b"#bundle") for d in datagrams)


def test_bones_without_a_file_are_the_required_ones_and_hands() -> None:
    """No upper chest: its turn would be lost on models that have none."""
    bones = set(received(encode_vmc(REST, 0.0)).bones)
    expected = {unity_name(b) for b in BONES} - {"UpperChest"}
    expected |= {s + p for s in ("Left", "Right") for p in ("UpperLeg", "LowerLeg", "Foot")}
    assert bones == expected
    assert bones <= set(HUMAN_BODY_BONES)


def test_positions_are_never_zero_and_in_unity_axes() -> None:
    frame = received(encode_vmc(REST, 0.0))
    for i, bone in enumerate(BONES):
        if bone in ("upperChest", "neck", "leftShoulder", "rightShoulder"):
            continue
        x, y, z = (float(v) for v in REST_OFFSETS[i])
        np.testing.assert_allclose(frame.bones[unity_name(bone)][:3], (-x, y, z), atol=1e-6)
    for name, values in frame.bones.items():
        assert np.linalg.norm(values[:3]) > 0.01, name
    # What stands on the absent upper chest stands on the chest, as far from it.
    assert frame.bones["Neck"][:3] == pytest.approx((0, 0.26, 0))
    assert frame.bones["LeftShoulder"][:3] == pytest.approx((-0.025, 0.225, 0))
    assert frame.bones["LeftHand"][0] < 0, "the left is -X in Unity"


def test_rotations_are_in_unity_axes() -> None:
    """The left arm lowered: about -Z in VRM 1.0, about +Z in left-handed Unity."""
    rotations = REST.rotations.copy()
    rotations[BONE_INDEX["leftUpperArm"]] = Rotation.from_euler("z", -70, degrees=True).as_quat()
    rotations[BONE_INDEX["head"]] = Rotation.from_euler("y", 30, degrees=True).as_quat()
    frame = received(encode_vmc(Pose(rotations=rotations, root=REST.root), 0.0))
    lowered = np.array(frame.bones["LeftUpperArm"][3:])
    np.testing.assert_allclose(lowered, [0, 0, np.sin(np.radians(35)), np.cos(np.radians(35))],
                               atol=1e-6)  # fmt: skip
    looking = np.array(frame.bones["Head"][3:])
    np.testing.assert_allclose(looking, [0, -np.sin(np.radians(15)), 0, np.cos(np.radians(15))],
                               atol=1e-6)  # fmt: skip


def worlds(local: dict[str, Rotation], parents: dict[str, str | None]) -> dict[str, Rotation]:
    out: dict[str, Rotation] = {}
    for bone in parents:
        parent = parents[bone]
        own = local.get(bone, Rotation.identity())
        out[bone] = own if parent is None else out[parent] * own
    return out


def test_an_absent_upper_chest_turns_what_it_carried() -> None:
    """Every bone that remains is turned in the world as it would have been."""
    pose = posed(2)
    frame = received(encode_vmc(pose, 0.0))
    every = worlds(
        {b: Rotation.from_quat(q) for b, q in zip(BONES, pose.rotations, strict=True)},
        {b: BONES[p] if p >= 0 else None for b, p in zip(BONES, PARENTS, strict=True)},
    )
    kept = [b for b in BONES if b != "upperChest"]
    parents = {b: BONES[PARENTS[BONE_INDEX[b]]] if b != "hips" else None for b in kept}
    parents |= {b: "chest" for b, p in parents.items() if p == "upperChest"}
    sent = worlds({b: vrm_rotation(frame.bones[unity_name(b)]) for b in kept}, parents)
    for bone in kept:
        assert (sent[bone].inv() * every[bone]).magnitude() < 1e-5, bone


def vrm_rotation(values: tuple[float, ...]) -> Rotation:
    """Unity to VRM 1.0 axes (protocols.md 3.4)."""
    x, y, z, w = values[3:]
    return Rotation.from_quat([x, -y, -z, w])


def twisted_rig(nodes: list[dict[str, Any]]) -> dict[str, Rotation]:
    """Give every node a rest rotation, keeping the T-pose's places; return them, world."""
    rng = np.random.default_rng(9)
    world: list[Rotation] = []
    parent = {c: i for i, n in enumerate(nodes) for c in n["children"]}
    for i, node in enumerate(nodes):
        turn = Rotation.random(random_state=rng)
        world.append(turn)
        above = world[parent[i]] if i in parent else Rotation.identity()
        node["translation"] = list(above.inv().apply(node["translation"]))
        node["rotation"] = list((above.inv() * turn).as_quat())
    return {n["name"]: w for n, w in zip(nodes, world, strict=True)}


@pytest.mark.parametrize("version", [0, 1])
def test_raw_rotations_pose_a_model_whose_bones_are_turned_at_rest(
    tmp_path: Path, version: int
) -> None:
    """Set as Unity's localRotation, they must turn each bone in the world as the pose says.

    The reference is the model itself: the bone's rest orientation in the world,
    turned by the normalised rotations of all bones above it and its own.
    """
    nodes = humanoid_nodes(turned=version == 0)
    rest = twisted_rig(nodes)
    avatar = file(tmp_path, (vrm0 if version == 0 else vrm1)(nodes))
    pose = posed(3)
    frame = received(encode_vmc(pose, 0.0, avatar=avatar))
    tree = {b: BONES[p] if p >= 0 else None for b, p in zip(BONES, PARENTS, strict=True)}
    raw = worlds({b: vrm_rotation(frame.bones[unity_name(b)]) for b in BONES}, tree)
    turned = worlds(
        {b: Rotation.from_quat(q) for b, q in zip(BONES, pose.rotations, strict=True)}, tree
    )
    half = Rotation.from_euler("y", 180 if version == 0 else 0, degrees=True)
    for bone in BONES:
        # A VRM 0.x file's axes are turned by half a turn about Y.
        expected = turned[bone] * half * rest[bone] * half.inv()
        assert (raw[bone].inv() * expected).magnitude() < 1e-5, bone
    for i, node in enumerate(nodes[: len(BONES)]):
        x, y, z = node["translation"]
        expected_place = (-x, y, z) if version == 1 else (x, y, -z)
        if i:  # the hips also carry the pose's own shift
            np.testing.assert_allclose(
                frame.bones[unity_name(node["name"])][:3], expected_place, atol=1e-6
            )


def test_normalised_rotations_ignore_the_rest(tmp_path: Path) -> None:
    nodes = humanoid_nodes()
    twisted_rig(nodes)
    avatar, pose = file(tmp_path, vrm1(nodes)), posed(4)
    frame = received(encode_vmc(pose, 0.0, avatar=avatar, normalised=True))
    for bone, q in zip(BONES, pose.rotations, strict=True):
        got = vrm_rotation(frame.bones[unity_name(bone)])
        assert (got.inv() * Rotation.from_quat(q)).magnitude() < 1e-5


def test_the_hips_shift_in_the_models_own_size_and_frame(tmp_path: Path) -> None:
    """A model half as tall, in centimetres, below a turned node: its hips move half as far."""
    nodes = humanoid_nodes()
    nodes[0]["translation"] = [0, 47.5, 0]
    for node in nodes[1:]:
        node["translation"] = [50 * v for v in node["translation"]]
    lying = Rotation.from_euler("x", 90, degrees=True)
    nodes[0]["translation"] = list(lying.inv().apply([0, 47.5, 0]))
    nodes[0]["rotation"] = list(lying.inv().as_quat())
    nodes.append({"rotation": list(lying.as_quat()), "scale": [0.01] * 3, "children": [0]})
    avatar = file(tmp_path, vrm1(nodes))
    assert avatar.bones["hips"].world_position == pytest.approx((0, 0.475, 0))
    pose = Pose(rotations=REST.rotations, root=np.array([0.1, -0.02, 0.04], np.float32))
    frame = received(encode_vmc(pose, 0.0, avatar=avatar))
    x, y, z = frame.bones["Hips"][:3]
    world = 0.01 * lying.apply([-x, y, z])
    np.testing.assert_allclose(world, [0.05, 0.475 - 0.01, 0.02], atol=1e-6)


@pytest.mark.parametrize("name", ["Godette_vrm_v4.vrm", "cryptovoxels.vrm", "debug_robot_vrm1.vrm"])
def test_real_avatars_get_their_own_rest_positions(shared: Path, name: str) -> None:
    """The emitted positions equal the file's (1.11.7), read here straight from its JSON."""
    path = shared / "data" / "avatars" / name
    content = path.read_bytes()
    document = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    extension = document["extensions"]
    if "VRM" in extension:
        pairs = {b["bone"]: b["node"] for b in extension["VRM"]["humanoid"]["humanBones"]}
        flip = (1, 1, -1)
    else:
        humans = extension["VRMC_vrm"]["humanoid"]["humanBones"]
        pairs = {unity_name(b)[0].lower() + unity_name(b)[1:]: e["node"] for b, e in humans.items()}
        flip = (-1, 1, 1)
    frame = received(encode_vmc(REST, 0.0, avatar=read_avatar(path)))
    for bone, values in frame.bones.items():
        node = document["nodes"][pairs[bone[0].lower() + bone[1:]]]
        place = np.array(node.get("translation", (0, 0, 0))) * flip
        np.testing.assert_allclose(values[:3], place, atol=1e-6, err_msg=bone)
        # At rest the raw rotation is the node's own.
        own = Rotation.from_quat(node.get("rotation", (0, 0, 0, 1)))
        x, y, z, w = own.as_quat()
        unity = (-x, -y, z, w) if "VRM" in extension else (x, -y, -z, w)
        assert abs(np.dot(values[3:], unity)) == pytest.approx(1, abs=1e-5), bone
    assert len(frame.bones) >= len(pairs) - 3, "all but eyes and jaw"


def test_encoding_is_pure() -> None:
    encode, pose = VmcEncoder(VmcRig.standard()), posed(5)
    before = (pose.rotations.copy(), pose.root.copy())
    first = encode(pose, 1.0)
    encode(posed(6), 2.0)
    assert encode(pose, 1.0) == first
    np.testing.assert_array_equal(pose.rotations, before[0])
    np.testing.assert_array_equal(pose.root, before[1])


def test_the_receiver_refuses_what_evmc4u_would() -> None:
    """The strict receiver can fail: ints for floats, short messages, T too early, twice."""
    root = osc_message("/VMC/Ext/Root/Pos", "sfffffff", "root", 0, 0, 0, 0, 0, 0, 1)
    bone = osc_message("/VMC/Ext/Bone/Pos", "sfffffff", "Hips", 0, 1, 0, 0, 0, 0, 1)
    cases = [
        [osc_message("/VMC/Ext/Root/Pos", "siffffff", "root", 0, 0, 0, 0, 0, 0, 1)],
        [osc_message("/VMC/Ext/OK", "")],
        [root, osc_message("/VMC/Ext/T", "f", 1.0)],
        [root, bone, bone],
        [bone],
        [root, osc_message("/VMC/Ext/Bone/Pos", "sfffffff", "hips", 0, 1, 0, 0, 0, 0, 1)],
        [root, osc_message("/VMC/Ext/Bone/Pos", "sfffffff", "Hips", 0, 1, 0, 0, 0, 0, 1.1)],
        [root, osc_message("/VMC/Ext/Bone/Pos", "sfffffff", "Hips", 0, float("nan"), *[0] * 4, 1)],
        [osc_message("/VMC/Ext/Blend/Apply", "")],
        [b"/VMC/Ext/Blend/Apply\0\0\0\0"],
    ]
    for datagrams in cases:
        receiver = Receiver()
        with pytest.raises((Refused, ValueError)):
            receiver.take_all(datagrams)
    assert [m.address for m in decode(root)] == ["/VMC/Ext/Root/Pos"]
