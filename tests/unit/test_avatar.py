"""Reading `.vrm` files: three real ones, synthetic ones with known answers, broken ones."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.avatar import REQUIRED, read_avatar
from streamer.errors import InputError
from streamer.glb import MAX_JSON_BYTES
from streamer.humanoid import BONES, PARENTS, REST_OFFSETS
from streamer.spec import sha256
from tests.vrm import glb, humanoid_nodes, vrm0, vrm1


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "test.vrm"
    path.write_bytes(content)
    return path


def test_a_version_1_file(tmp_path: Path) -> None:
    path = write(tmp_path, glb(vrm1(humanoid_nodes())))
    avatar = read_avatar(path)
    assert avatar.meta_version == "1"
    assert (avatar.name, avatar.author) == ("Test One", "Ada, Grace")
    assert avatar.licence == "https://vrm.dev/licenses/1.0/"
    assert avatar.sha256 == sha256(path)
    for i, bone in enumerate(BONES):
        rest = avatar.bones[bone]
        assert rest.parent == (BONES[PARENTS[i]] if PARENTS[i] >= 0 else None)
        np.testing.assert_allclose(rest.position, REST_OFFSETS[i], atol=1e-6)
        np.testing.assert_allclose(rest.rotation, [0, 0, 0, 1])
    order = list(avatar.bones)
    assert all(r.parent is None or order.index(r.parent) < order.index(b)
               for b, r in avatar.bones.items())  # fmt: skip


def test_a_version_0_file_is_turned_to_face_forward(tmp_path: Path) -> None:
    """A VRM 0.x file faces -Z with its left at -X; thumbs have other names."""
    path = write(tmp_path, glb(vrm0(humanoid_nodes(turned=True))))
    avatar = read_avatar(path)
    assert avatar.meta_version == "0"
    assert (avatar.name, avatar.author, avatar.licence) == ("Test Zero", "Ada", "CC_BY")
    for i, bone in enumerate(BONES):
        np.testing.assert_allclose(avatar.bones[bone].position, REST_OFFSETS[i], atol=1e-6)
    thumb = [b for b in avatar.bones if b.startswith("leftThumb")]
    assert thumb == ["leftThumbMetacarpal", "leftThumbProximal", "leftThumbDistal"]
    assert avatar.bones["leftThumbProximal"].parent == "leftThumbMetacarpal"


def test_rest_rotations_compose_through_the_nodes_between(tmp_path: Path) -> None:
    """A turned, scaled node between neck and head: local is local, world is composed."""
    nodes = humanoid_nodes()
    between = Rotation.from_euler("xyz", (20, 30, 40), degrees=True)
    own = Rotation.from_euler("xyz", (-10, 5, 60), degrees=True)
    neck, head = BONES.index("neck"), BONES.index("head")
    nodes[neck]["children"].remove(head)
    nodes[neck]["children"].append(len(nodes))
    nodes[head] |= {"translation": [0.1, 0.2, 0.3], "rotation": list(own.as_quat())}
    nodes.append(
        {
            "translation": [0.0, 0.05, 0.01],
            "rotation": list(between.as_quat()),
            "scale": [2.0, 2.0, 2.0],
            "children": [head],
        }
    )
    rest = (avatar := read_avatar(write(tmp_path, glb(vrm1(nodes))))).bones["head"]
    assert rest.parent == "neck"
    np.testing.assert_allclose(rest.position, [0.1, 0.2, 0.3])
    assert rest.scale == 2
    np.testing.assert_allclose(rest.rotation, own.as_quat(), atol=1e-9)
    np.testing.assert_allclose(rest.world_rotation, (between * own).as_quat(), atol=1e-9)
    offset = np.array([0.0, 0.05, 0.01]) + between.apply(2 * np.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(avatar.offset("head"), offset, atol=1e-6)
    assert avatar.offset("hips") == pytest.approx((0, 0.95, 0))


@pytest.mark.parametrize("turn", [(0, 0, 0), (170, 20, 0), (10, 175, 0), (0, 15, 178), (90, 45, 0)])
def test_a_matrix_says_the_same_as_its_parts(tmp_path: Path, turn: tuple[int, int, int]) -> None:
    rotation = Rotation.from_euler("xyz", turn, degrees=True)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.as_matrix() * [0.5, 2.0, 1.5]
    matrix[:3, 3] = (0.3, 0.2, 0.1)
    nodes = humanoid_nodes()
    nodes[0].pop("translation")
    nodes[0]["matrix"] = list(matrix.T.ravel())
    hips = read_avatar(write(tmp_path, glb(vrm1(nodes)))).bones["hips"]
    np.testing.assert_allclose(hips.position, (0.3, 0.2, 0.1), atol=1e-9)
    assert abs(np.dot(hips.rotation, rotation.as_quat())) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "version", "bones", "licence", "absent"),
    [
        ("Godette_vrm_v4.vrm", "0", 45, "CC_BY", "leftRingProximal"),
        ("cryptovoxels.vrm", "0", 43, "https://hub.vroid.com/license", "upperChest"),
        ("debug_robot_vrm1.vrm", "1", 53, "https://vrm.dev/licenses/1.0/", "upperChest"),
    ],
)
def test_real_avatars(
    shared: Path, name: str, version: str, bones: int, licence: str, absent: str
) -> None:
    avatar = read_avatar(shared / "data" / "avatars" / name)
    assert avatar.meta_version == version
    assert len(avatar.bones) == bones
    assert avatar.licence.startswith(licence)
    assert absent not in avatar.bones
    # Whatever the file's axes: a T-pose that faces +Z with the left at +X.
    for side, x in (("left", 1), ("right", -1)):
        arm = np.array(avatar.offset(f"{side}LowerArm"))
        assert arm[0] * x > 0.9 * np.linalg.norm(arm)
        if f"{side}Toes" in avatar.bones:
            assert avatar.offset(f"{side}Toes")[2] > 0.03, "toes point forward"
        assert avatar.bones[f"{side}Foot"].world_position[1] < 0.3
    head = avatar.bones["head"].world_position
    assert head[1] > avatar.bones["hips"].world_position[1] + 0.2
    for rest in avatar.bones.values():
        assert np.linalg.norm(rest.rotation) == pytest.approx(1)
        assert np.linalg.norm(rest.world_rotation) == pytest.approx(1)


def test_the_mannequin_is_the_skeleton_of_the_engine() -> None:
    """`humanoid.REST_OFFSETS` say that they are the mannequin's."""
    path = Path(__file__).parents[2] / "streamer/data/avatars/mannequin.vrm"
    avatar = read_avatar(path)
    for i, bone in enumerate(BONES):
        np.testing.assert_allclose(avatar.offset(bone), REST_OFFSETS[i], atol=1e-4, err_msg=bone)


def broken(change: Any) -> bytes:
    document = vrm1(humanoid_nodes())
    change(document)
    return glb(document)


def humanoid(document: dict[str, Any]) -> dict[str, Any]:
    return document["extensions"]["VRMC_vrm"]["humanoid"]["humanBones"]


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a binary glTF"),
    "text": (b"#!/bin/sh\n" * 10, "not a binary glTF"),
    "glTF 1": (struct.pack("<4sII", b"glTF", 1, 20) + b"\0" * 20, "version 1, expected 2"),
    "cut": (glb(vrm1(humanoid_nodes()))[:-100], "cut short"),
    "lying chunk": (
        struct.pack("<4sIII4s", b"glTF", 2, 24, 0xFFFFFFF0, b"JSON") + b"{}  ",
        "not JSON of a length that fits",
    ),
    "binary first": (struct.pack("<4sIII4s", b"glTF", 2, 20, 0, b"BIN\0"), "first chunk is not"),
    "no JSON": (glb(b"{'a': 1}    "), "cannot be read"),
    "no UTF-8": (glb(b'{"a":"\xff\xff"}   '), "cannot be read"),
    "array": (glb(b"[1,2]   "), "is no object"),
    "deep": (glb(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "nested too deeply"),
    "wide": (glb(b'{"a":[' + b"[]," * 400_000 + b"[]]}"), "values in its JSON"),
    "long": (glb(b'{"a":"' + b" " * MAX_JSON_BYTES + b'"}'), "MB of JSON"),
    "long number": (glb(b'{"a":' + b"9" * 100_000 + b"}"), "cannot be read"),
    "no extension": (broken(lambda d: d["extensions"].clear()), "without a VRM extension"),
    "no arm": (broken(lambda d: humanoid(d).pop("leftLowerArm")), "lacks leftLowerArm"),
    "no hips": (broken(lambda d: humanoid(d).pop("hips")), "lacks hips"),
    "cycle": (broken(lambda d: d["nodes"][5].update(children=[0])), "form a circle"),
    "self": (broken(lambda d: d["nodes"][5].update(children=[5])), "two parents"),
    "two parents": (broken(lambda d: d["nodes"][5].update(children=[7])), "two parents"),
    "no child": (broken(lambda d: d["nodes"][5].update(children=[999])), "no child 999"),
    "no node": (broken(lambda d: humanoid(d)["head"].update(node=999)), "is node 999 of"),
    "half node": (broken(lambda d: humanoid(d)["head"].update(node=1.5)), "no node number"),
    "short vector": (broken(lambda d: d["nodes"][3].update(translation=[1, 2])), "for 3 numbers"),
    "infinite": (broken(lambda d: d["nodes"][3].update(translation=[1e300, 0, 0])), "for 3 numb"),
    "NaN": (broken(lambda d: d["nodes"][3].update(rotation=[float("nan")] * 4)), "for 4 numbers"),
    "no rotation": (broken(lambda d: d["nodes"][3].update(rotation=[0] * 4)), "but zeros"),
    "flat matrix": (broken(lambda d: d["nodes"][3].update(matrix=[0] * 16)), "is flat"),
    "blown up": (
        broken(lambda d: [n.update(scale=[1e6] * 3) for n in d["nodes"]]),
        "m away",
    ),
    "nodes a string": (broken(lambda d: d.update(nodes="abc")), "malformed"),
    "meta a list": (broken(lambda d: d["extensions"]["VRMC_vrm"].update(meta=[1])), "malformed"),
    "bones a list": (
        broken(lambda d: d["extensions"]["VRMC_vrm"]["humanoid"].update(humanBones=[1])),
        "malformed",
    ),
    "many nodes": (broken(lambda d: d["nodes"].extend([{}] * 30_000)), "at most 20000"),
}


@pytest.mark.parametrize("case", BAD)
def test_broken_files_give_one_clear_line(tmp_path: Path, case: str) -> None:
    content, reason = BAD[case]
    with pytest.raises(InputError, match=reason) as caught:
        read_avatar(write(tmp_path, content))
    assert "test.vrm" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_too_large_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "huge.vrm"
    with path.open("wb") as file:
        file.truncate((256 << 20) + 1)  # sparse: no disk is used
    with pytest.raises(InputError, match="avatars may have 256 MB"):
        read_avatar(path)
    with pytest.raises(InputError, match=r"nothing\.vrm: cannot be read"):
        read_avatar(tmp_path / "nothing.vrm")
    with pytest.raises(InputError, match="cannot be read"):
        read_avatar(tmp_path)


def test_bones_without_a_node_are_absent(tmp_path: Path) -> None:
    """Some exporters write node -1 for a bone that the model has not."""
    document = vrm0(humanoid_nodes(turned=True))
    bones = document["extensions"]["VRM"]["humanoid"]["humanBones"]
    next(b for b in bones if b["bone"] == "upperChest")["node"] = -1
    avatar = read_avatar(write(tmp_path, glb(document)))
    assert "upperChest" not in avatar.bones
    assert avatar.bones["neck"].parent == "chest"
    assert set(REQUIRED) <= set(avatar.bones)


def test_the_binary_chunk_is_never_read(tmp_path: Path) -> None:
    """A header that promises a huge mesh costs nothing: only the JSON is read."""
    content = glb(vrm1(humanoid_nodes()), binary=b"\0" * 1000)
    assert read_avatar(write(tmp_path, content)).name == "Test One"
    assert json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])
