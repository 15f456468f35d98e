"""BVH of anybody to directions, and back: our writer, other rigs, the errors."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.errors import InputError
from streamer.humanoid import BONE_INDEX, BONES
from streamer.recordings.bvh import bvh_text
from streamer.recordings.take import Motion, TakeRig, even_motion
from streamer.retarget import Retargeter
from streamer.retarget_inverse import directions_from
from streamer.skeleton import Skeleton, load_skeleton
from tests.corpora import swinging, swinging_bvh
from tests.mocap import read_bvh as read_independently
from tests.takes import take
from training.convert.body import body_directions, heading
from training.convert.bvh_file import read_bvh
from training.convert.rigs import bone_rotations, find_bones, read_map

LAYOUTS = ("upper_body", "ted_gesture", "ted_expressive")
UPPER = load_skeleton("upper_body")


def convert(text: str, folder: Path, skeleton: Skeleton = UPPER) -> np.ndarray:
    path = folder / "take.bvh"
    path.write_text(text, "utf-8")
    bvh = read_bvh(path)
    return body_directions(bone_rotations(bvh, find_bones(bvh)), skeleton, bvh.fps)


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((a * b).sum(-1), -1, 1)))


@pytest.mark.parametrize("name", LAYOUTS)
def test_directions_are_those_of_the_pose_that_was_written(tmp_path: Path, name: str) -> None:
    """Wild turns of every bone; only the heading is taken out."""
    layout, source = load_skeleton(name), take(60)
    got = convert(bvh_text(even_motion(source, 15.0), TakeRig.of(None)), tmp_path, layout)
    turned = source.rotations.copy()
    hips = Rotation.from_quat(turned[:, 0])
    turned[:, 0] = (heading(hips).inv() * hips).as_quat()
    want = directions_from(turned, layout)
    # 4 decimals of degrees down a chain of ten joints; float32 arccos near 0 is coarse
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_limbs_point_where_another_reader_puts_the_joints(tmp_path: Path) -> None:
    """The joints of `tests.mocap`'s forward kinematics, at 15 of 30 frames a second."""
    text = swinging_bvh(3.0)
    got = UPPER.to_vrm(convert(text, tmp_path))
    places = read_independently(text).positions()
    for vector, parent, child in (
        ("left_shoulder>left_elbow", "LeftArm", "LeftForeArm"),
        ("right_elbow>right_wrist", "RightForeArm", "RightHand"),
        ("left_wrist>left_index1", "LeftHand", "LeftHandIndex1"),
        ("left_index1>left_index2", "LeftHandIndex1", "LeftHandIndex2"),
    ):
        want = (places[child] - places[parent])[::2]
        want /= np.linalg.norm(want, axis=-1, keepdims=True)
        at = UPPER.vector_names.index(vector)
        assert degrees(got[:, at], want).max() < 0.05, vector


def test_bvh_to_directions_to_bvh(tmp_path: Path) -> None:
    """The directions go through the engine's retargeting into a BVH and out of it again."""
    first = convert(swinging_bvh(3.0, fps=15.0), tmp_path)
    retargeter = Retargeter(UPPER, fps=15)
    rotations = np.stack([retargeter(UPPER.to_vrm(d)).rotations for d in first])
    root = np.zeros((len(rotations), 3), np.float32)
    text = bvh_text(Motion(fps=15.0, root=root, rotations=rotations), TakeRig.of(None))
    second = convert(text, tmp_path)
    limbs = [
        UPPER.index(f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "middle1"))
    ]
    assert degrees(first[:, limbs], second[:, limbs]).max() < 0.1
    fingers = [i for i, n in enumerate(UPPER.vector_names) if "index1>" in n or "middle1>" in n]
    assert degrees(first[:, fingers], second[:, fingers]).max() < 0.1
    spine = UPPER.index("pelvis", "spine3")
    assert degrees(first[:, spine], second[:, spine]).max() < 1.0  # 0.5: bones bend evenly


def test_a_take_is_turned_to_face_forward(tmp_path: Path) -> None:
    rotations = swinging(3.0, fps=15.0)
    plain = directions_from(rotations, UPPER)
    turn = Rotation.from_euler("y", 130, degrees=True)
    rotations[:, 0] = (turn * Rotation.from_quat(rotations[:, 0])).as_quat()
    root = np.zeros((len(rotations), 3), np.float32)
    text = bvh_text(Motion(fps=15.0, root=root, rotations=rotations), TakeRig.of(None))
    np.testing.assert_allclose(convert(text, tmp_path), plain, atol=2e-5)


def a_pose(text: str, degrees_down: float = 45.0) -> str:
    """Return the file with a rest pose whose arms hang: offsets turned, rotations undone.

    The joints stay where they were in every frame.
    """
    source = read_independently(text)
    frames = len(source.hips)
    names, parents = source.names, source.parents
    lean = {
        name: Rotation.from_euler(
            "z", -degrees_down if "Left" in name else degrees_down, degrees=True
        )
        if re.search("(Left|Right)(Arm|ForeArm|Hand)", name)
        else Rotation.identity()
        for name in names
    }
    offsets = source.offsets.copy()
    values = [source.hips]
    for i, (name, parent) in enumerate(zip(names, parents, strict=True)):
        above = lean[names[parent]] if parent >= 0 else Rotation.identity()
        offsets[i] = above.apply(offsets[i])
        # world' = world * lean^-1, so local' = above * local * lean^-1
        local = above * source.turns[name] * lean[name].inv()
        values.append(local.as_euler("ZXY", degrees=True).reshape(frames, 3))
    head, _, _ = text.partition("MOTION")
    rows = iter(offsets)
    out: list[str] = []
    site = False
    for line in head.splitlines():
        if line.strip().startswith("OFFSET"):
            if not site:
                line = "OFFSET " + " ".join(f"{x:.5f}" for x in next(rows))
            site = False
        site = site or line.strip() == "End Site"
        out.append(line)
    table = np.concatenate(values, 1)
    motion = [f"Frames: {frames}", f"Frame Time: {source.frame_time}"]
    motion += [" ".join(f"{x:.5f}" for x in row) for row in table]
    return "\n".join([*out, "MOTION", *motion]) + "\n"


def test_the_rest_pose_may_be_an_a_pose(tmp_path: Path) -> None:
    text = swinging_bvh(2.0, fps=15.0)
    want = convert(text, tmp_path)
    got = convert(a_pose(text), tmp_path)
    arms = [i for i, n in enumerate(UPPER.vector_names) if n.startswith(("left", "right"))]
    assert degrees(got[:, arms], want[:, arms]).max() < 0.1
    np.testing.assert_allclose(got, want, atol=2e-3)


def z_up(text: str) -> str:
    """Return the file as a program with Z up and -Y forward writes it."""
    source = read_independently(text)
    basis = Rotation.from_euler("x", 90, degrees=True)  # y up to z up
    head, _, _ = text.partition("MOTION")

    def turned(match: re.Match[str]) -> str:
        vector = basis.apply([float(x) for x in match.group(1).split()])
        return "OFFSET " + " ".join(f"{x:.5f}" for x in vector)

    head = re.sub(r"OFFSET (.*)", turned, head)
    values = [basis.apply(source.hips)]
    for name in source.names:
        local = basis * source.turns[name] * basis.inv()
        values.append(local.as_euler("ZXY", degrees=True))
    rows = [" ".join(f"{x:.5f}" for x in row) for row in np.concatenate(values, 1)]
    motion = [f"Frames: {len(rows)}", f"Frame Time: {source.frame_time}", *rows]
    return head + "\n".join(["MOTION", *motion]) + "\n"


def test_up_may_be_z(tmp_path: Path) -> None:
    text = swinging_bvh(2.0, fps=15.0)
    np.testing.assert_allclose(convert(z_up(text), tmp_path), convert(text, tmp_path), atol=5e-5)


ARMS = {
    "vrm": "leftShoulder leftUpperArm leftLowerArm leftHand leftIndexProximal",
    "Poser": "LeftCollar LeftShoulder LeftElbow LeftWrist LeftIndexProximal",
    "SMPL": "left_collar left_shoulder left_elbow left_wrist left_index1",
    "Biovision": "LeftCollar LeftUpArm LeftLowArm LeftHand LeftIndex1",
    "BEAT": "LShoulder LArm LArm1 LHand LHandI1",
    "Daz": "lCollar lShldr lForeArm lHand lIndex1",
    "Unreal": "clavicle_l upperarm_l lowerarm_l hand_l index_01_l",
    "Mixamo": "mixamorig:LeftShoulder mixamorig:LeftArm mixamorig:LeftForeArm "
    "mixamorig:LeftHand mixamorig:LeftHandIndex1",
}
OTHER_SIDE = str.maketrans("lL", "rR")
OURS = ("Shoulder", "Arm", "ForeArm", "Hand", "HandIndex1")


@pytest.mark.parametrize("style", ARMS)
def test_names_of_other_programs(tmp_path: Path, style: str) -> None:
    """The arms of a file of ours under other names; what it says stays the same."""
    text = swinging_bvh(1.0)
    want = convert(text, tmp_path)
    for ours, left in zip(OURS, ARMS[style].split(), strict=True):
        right = left.replace("Left", "Right").replace("left", "right")
        if right == left:  # one letter stands for the side
            right = re.sub(r"^L|_l$|^l(?=[A-Z])", lambda m: m[0].translate(OTHER_SIDE), left)
        for name, theirs in ((f"Left{ours}", left), (f"Right{ours}", right)):
            text = re.sub(rf"JOINT {name}\n", f"JOINT {theirs}\n", text)
    assert "JOINT LeftForeArm\n" not in text
    got = convert(text, tmp_path)
    arms = [n for n in UPPER.vector_names if ">" in n and re.match("(left|right)_(sh|el)", n)]
    arms += [f"{side}_wrist>{side}_index1" for side in ("left", "right")]
    columns = [UPPER.vector_names.index(name) for name in arms]
    assert len(columns) == 6
    np.testing.assert_allclose(got[:, columns], want[:, columns], atol=1e-6)
    bvh = read_bvh(tmp_path / "take.bvh")
    assert bvh.joints[find_bones(bvh)["rightLowerArm"]] not in ("LeftArm", "RightArm")


def test_a_map_file_names_what_is_not_recognised(tmp_path: Path) -> None:
    text = swinging_bvh(1.0).replace("LeftForeArm", "Knochen_7")
    path = tmp_path / "take.bvh"
    path.write_text(text, "utf-8")
    bvh = read_bvh(path)
    with pytest.raises(InputError, match=r"recognised as leftLowerArm.*Knochen_7"):
        find_bones(bvh)
    (tmp_path / "map.json").write_text('{"leftLowerArm": "Knochen_7"}')
    bones = find_bones(bvh, read_map(tmp_path / "map.json"))
    assert bvh.joints[bones["leftLowerArm"]] == "Knochen_7"
    for content, said in (
        ('{"leftLowerArm": "Knochen_8"}', "no joint 'Knochen_8'"),
        ('{"tail": "Knochen_7"}', "no humanoid bone"),
        ("[]", "not a map file"),
    ):
        (tmp_path / "map.json").write_text(content)
        with pytest.raises(InputError, match=said):
            find_bones(bvh, read_map(tmp_path / "map.json"))


def test_a_body_without_fingers_keeps_them_straight(tmp_path: Path) -> None:
    rotations = swinging(1.0)
    text = bvh_text(
        Motion(fps=30.0, root=np.zeros((30, 3), np.float32), rotations=rotations), TakeRig.of(None)
    )
    got = UPPER.to_vrm(convert(text.replace("HandIndex", "Feeler"), tmp_path))
    hand = UPPER.vector_names.index("left_wrist>left_middle1")
    finger = UPPER.vector_names.index("left_index1>left_index2")
    assert np.ptp(degrees(got[:, hand], got[:, finger])) < 0.1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace("HIERARCHY", "HELLO"), "not a BVH file"),
        (lambda t: t.replace("Frames: 30", "Frames: 31"), "a channel is missing"),
        (lambda t: t[: t.rindex("\n", 0, -2)], "a channel is missing"),
        (
            lambda t: t.replace("3 Zrotation Xrotation Yrotation", "2 Zrotation Xrotation", 1),
            "missing",
        ),
        (lambda t: t.replace("Frame Time: 0.0333333", "Frame Time: 0"), "can|time"),
        (lambda t: t.replace("Xrotation", "Wrotation", 1), "unknown channel 'Wrotation'"),
        (lambda t: t.replace("}", "", 3), "unbalanced|cannot be read|not a BVH"),
        (lambda t: t.replace("OFFSET", "OFFSET x", 1), "not a BVH file that can be read"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, change, said: str) -> None:
    text = change(swinging_bvh(1.0))
    with pytest.raises(InputError, match=said) as caught:
        convert(text, tmp_path)
    assert "take.bvh" in str(caught.value)


def test_a_channel_that_is_missing_is_named_with_its_joint(tmp_path: Path) -> None:
    """Its numbers are gone too, so that the counts fit."""
    text = swinging_bvh(1.0)
    head, _, motion = text.partition("MOTION")
    first, channels = head.index("JOINT Spine\n"), "3 Zrotation Xrotation Yrotation"
    place = head.index(channels, first)
    head = head[:place] + "2 Zrotation Xrotation" + head[place + len(channels) :]
    lines = motion.splitlines()
    rows = [" ".join(w for i, w in enumerate(line.split()) if i != 8) for line in lines[3:]]
    with pytest.raises(InputError, match=r"joint Spine has rotation channels ZX.*missing"):
        convert("\n".join([head + "MOTION", *lines[1:3], *rows]), tmp_path)


def test_which_bones_are_found(tmp_path: Path) -> None:
    path = tmp_path / "take.bvh"
    path.write_text(swinging_bvh(1.0), "utf-8")
    bvh = read_bvh(path)
    assert bvh.fps == 30
    bones = find_bones(bvh)
    assert set(bones) == set(BONES)
    assert bvh.joints[bones["upperChest"]] == "Spine2"
    assert bvh.joints[bones["leftThumbMetacarpal"]] == "LeftHandThumb1"
    assert BONE_INDEX["hips"] == 0
