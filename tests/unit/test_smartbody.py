from pathlib import Path

import numpy as np
import pytest

from streamer.errors import InputError
from streamer.skeleton import load_skeleton
from training.smartbody import (
    forward_kinematics,
    palm_normal,
    read_motion,
    read_names,
    read_skeleton,
    resample,
    slerp,
    to_directions,
)

SKELETON = """
# a comment
set_name Tiny
skeleton
root Base
{ offset 0 1 0
  prerot axis 0 0 0 ang 0
  channel XPos 0 free
  channel Quat
  joint Arm
  { offset 2 0 0
    prerot axis 0 0 1 ang 90
    channel Quat
    joint Tip
    { offset 3 0 0
      prerot axis 0 0 0 ang 0
    }
  }
}
end
"""
MOTION = f"""SkMotion
name "tiny"
channels 3
Base XPos
Base YPos
Arm Quat
frames 2
kt 0 fr 0 0 0 0 0
kt 0.5 fr 5 -1 0 0 {np.pi / 2:.12f}
ready time: 0.1
strokeStart time: 0.2
emphasis time: 0.3
stroke time: 0.4
relax time: 0.45
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_kinematics_of_a_chain_computed_by_hand(tmp_path: Path) -> None:
    skeleton = read_skeleton(write(tmp_path, "a.sk", SKELETON))
    motion = read_motion(write(tmp_path, "a.skm", MOTION))
    positions = forward_kinematics(skeleton, motion)
    assert skeleton.joints == ("Base", "Arm", "Tip")
    assert skeleton.parents == (-1, 0, 1)
    # The arm's prerotation turns its child's +x to +y; the rotation, on to -x.
    np.testing.assert_allclose(positions[0], [[0, 1, 0], [2, 1, 0], [2, 4, 0]], atol=1e-9)
    np.testing.assert_allclose(positions[1], [[5, 0, 0], [7, 0, 0], [4, 0, 0]], atol=1e-9)


def test_marks_and_times_are_read(tmp_path: Path) -> None:
    motion = read_motion(write(tmp_path, "a.skm", MOTION))
    assert motion.times.tolist() == [0.0, 0.5]
    assert motion.marks is not None
    assert (motion.marks.stroke_start, motion.marks.emphasis) == (0.2, 0.3)
    assert read_motion(write(tmp_path, "b.skm", MOTION.split("ready")[0])).marks is None


def test_joint_names_are_mapped(tmp_path: Path) -> None:
    names = read_names(write(tmp_path, "names.json", '{"Arm": "JtArm"}'))
    motion = read_motion(write(tmp_path, "a.skm", MOTION), names)
    assert set(motion.rotations) == {"JtArm"}


@pytest.mark.parametrize(
    "text",
    ["", "not a skeleton", SKELETON.replace("}", "", 1), SKELETON.replace("offset 2", "offset x")],
    ids=["empty", "prose", "unbalanced", "no number"],
)
def test_a_broken_skeleton_is_one_clear_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"bad\.sk"):
        read_skeleton(write(tmp_path, "bad.sk", text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        MOTION.replace("0 0 0 0 0", "0 0 0 0"),
        MOTION.replace("fr 5", "fr five"),
        MOTION.replace("emphasis time: 0.3\n", ""),
    ],
    ids=["empty", "short frame", "no number", "a mark is missing"],
)
def test_a_broken_motion_is_one_clear_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"bad\.skm"):
        read_motion(write(tmp_path, "bad.skm", text))


def test_a_missing_file_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="smartbody_gestures"):
        read_skeleton(tmp_path / "none.sk")


def test_slerp_goes_along_the_arc() -> None:
    x, y = np.array([1.0, 0, 0]), np.array([0.0, 1, 0])
    np.testing.assert_allclose(slerp(x, y, 1 / 3), [np.cos(np.pi / 6), 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(slerp(x, x, 0.5), x, atol=1e-12)
    half = slerp(x, -x, 0.5)
    assert abs(half @ x) < 1e-9
    assert np.linalg.norm(half) == pytest.approx(1.0)


def test_resample_holds_the_ends() -> None:
    directions = np.array([[[1.0, 0, 0]], [[0.0, 1, 0]]])
    got = resample(directions, np.array([0.0, 1.0]), np.array([-1.0, 0.5, 9.0]))
    root = np.sqrt(0.5)
    np.testing.assert_allclose(got[:, 0], [[1, 0, 0], [root, root, 0], [0, 1, 0]], atol=1e-12)


@pytest.mark.parametrize(("side", "x"), [("left", 1.0), ("right", -1.0)])
def test_palms_face_down_in_the_t_pose(side: str, x: float) -> None:
    joints = tuple(f"{side}_{j}" for j in ("wrist", "middle1", "index1", "pinky1"))
    points = np.array([[[0, 0, 0], [x, 0, 0], [x, 0, 0.2], [x, 0, -0.3]]])
    np.testing.assert_allclose(palm_normal(points, joints, side), [[0, -1, 0]], atol=1e-12)


def test_a_real_clip_stands_as_its_readme_says(shared: Path) -> None:
    folder = shared / "data" / "smartbody_gestures" / "garza"
    skeleton = read_skeleton(folder / "ChrGarza.sk")
    motion = read_motion(folder / "ChrGarza@IdleStand01_StopForwardRt01.skm")
    positions = forward_kinematics(skeleton, motion)
    left, right = (positions[:, skeleton.joints.index(f"JtWrist{s}")] for s in ("Lf", "Rt"))
    np.testing.assert_allclose(left[0, :2], [0.27, 0.87], atol=0.03)
    np.testing.assert_allclose(right[0, :2], [-0.27, 0.87], atol=0.03)
    speed = np.linalg.norm(np.diff(right, axis=0), axis=1) * 30
    assert 0.8 < speed.max() < 2.5
    directions = to_directions(skeleton, positions)
    layout = load_skeleton("upper_body")
    assert directions.shape == (len(motion.times), layout.vectors, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0, atol=1e-9)
    left_palm, right_palm = directions[0, -2], directions[0, -1]
    assert left_palm[0] < -0.5  # hanging hands face the thighs
    assert right_palm[0] > 0.5
    # "Stop": at the emphasis the right palm faces forward, fingers up.
    assert motion.marks is not None
    stop = directions[round(motion.marks.emphasis * 30)]
    assert stop[-1, 2] > 0.5
    assert stop[layout.index("right_wrist", "right_middle1"), 1] > 0.5
