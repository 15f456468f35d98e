"""Direction vectors to rotations: axes, every joint's meaning, memory, bad input.

Cases are written down by hand from the conventions of protocols.md (3.2, 3.4, 6)
or built with scipy rotations; `directions_from` (forward kinematics) reads the
vectors of a pose back.
"""

import itertools
from dataclasses import replace
from math import radians

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.errors import ArtifactError, InputError
from streamer.humanoid import BONE_INDEX, BONES
from streamer.retarget import Pose, Retargeter
from streamer.retarget_inverse import bone_frames, directions_from
from streamer.retarget_layout import rest_directions
from streamer.skeleton import BUILT_IN, Skeleton, load_skeleton

UPPER = load_skeleton("upper_body")


def t_pose(skeleton: Skeleton = UPPER) -> np.ndarray:
    return rest_directions(skeleton).copy()


def turned(directions: np.ndarray, names: str, q: Rotation) -> np.ndarray:
    """Turn every vector whose name contains one of the words."""
    out = directions.copy()
    for i, name in enumerate(UPPER.vector_names):
        if any(word in name for word in names.split()):
            out[i] = q.apply(out[i])
    return out


def local(pose: Pose, bone: str) -> Rotation:
    return Rotation.from_quat(pose.rotations[BONE_INDEX[bone]])


def world(pose: Pose, bone: str) -> Rotation:
    return Rotation.from_quat(bone_frames(pose.rotations)[1][BONE_INDEX[bone]])


def degrees_apart(a: Rotation, b: Rotation) -> float:
    return float(np.degrees((a.inv() * b).magnitude()))


LEFT_HAND = "left_wrist> left_index left_middle left_pinky left_ring left_thumb left_palm"
LEFT_FOREARM = "left_elbow>left_wrist " + LEFT_HAND


@pytest.mark.parametrize("name", BUILT_IN)
def test_t_pose_is_identity_everywhere(name: str) -> None:
    skeleton = load_skeleton(name)
    pose = Retargeter(skeleton)(t_pose(skeleton))
    for bone, q in zip(BONES, pose.rotations, strict=True):
        procedural = name == "ted_gesture" and any(
            part in bone for part in ("Hand", "LowerArm", "Index", "Middle", "Ring", "Little")
        )
        if not procedural and not (name == "ted_gesture" and "Thumb" in bone):
            np.testing.assert_allclose(q, [0, 0, 0, 1], atol=1e-6, err_msg=bone)
    np.testing.assert_allclose(pose.root, 0, atol=1e-7)


def test_a_t_pose_written_down_by_hand() -> None:
    """VRM 1.0: left arm along +X, palms down, fingers along X, thumbs 45 degrees forward."""
    given = t_pose()
    for side, x in (("left", 1.0), ("right", -1.0)):
        for i, name in enumerate(UPPER.vector_names):
            if name.startswith(side) and not name.endswith(("eye", "ear")):
                given[i] = (x * 0.7071, 0, 0.7071) if "thumb" in name else (x, 0, 0)
            if name == f"{side}_palm":
                given[i] = (0, -1, 0)
    pose = Retargeter(UPPER)(given)
    for bone, q in zip(BONES, pose.rotations, strict=True):
        # The mannequin's own middle knuckle lies 2.3 degrees off X: that is all.
        angle = np.degrees(Rotation.from_quat(q).magnitude())
        assert angle < 2.5, f"{bone} {angle}"


@pytest.mark.parametrize("name", ["ted_expressive", "ted_gesture"])
def test_ted_means_face_forward_in_vrm_axes(name: str) -> None:
    """protocols.md 6.2: the two corpora have opposite axes; both must come out right."""
    skeleton = load_skeleton(name)
    mean = skeleton.to_vrm(skeleton.mean)

    def vector(parent: str, child: str) -> np.ndarray:
        return mean[skeleton.index(parent, child)]

    assert vector("spine3" if name == "ted_expressive" else "spine", "neck")[1] > 0.9
    assert vector("left_elbow", "left_wrist")[2] > 0.5
    assert vector("right_elbow", "right_wrist")[2] > 0.5
    assert vector("neck", "left_shoulder")[0] > 0.8
    assert vector("neck", "right_shoulder")[0] < -0.8
    assert vector("neck", "nose")[2] > 0.3
    pose = Retargeter(skeleton)(skeleton.mean)
    places, _ = bone_frames(pose.rotations)
    for side, sign in (("left", 1), ("right", -1)):
        shoulder, elbow, wrist = (
            places[BONE_INDEX[side + bone]] for bone in ("UpperArm", "LowerArm", "Hand")
        )
        assert elbow[1] < shoulder[1] - 0.15, "upper arms hang"
        assert wrist[2] > shoulder[2] + 0.15, "hands are before the body"
        assert sign * shoulder[0] > 0.1, "left is +X"


def test_forearm_bent_forward_turns_the_elbow_alone() -> None:
    """The left elbow folds forward about -Y, the right one about +Y (protocols.md 6.3)."""
    given = turned(t_pose(), LEFT_FOREARM, Rotation.from_euler("y", -90, degrees=True))
    right = LEFT_FOREARM.replace("left", "right")
    given = turned(given, right, Rotation.from_euler("y", 90, degrees=True))
    pose = Retargeter(UPPER)(given)
    expected = Rotation.from_euler("y", -90, degrees=True)
    assert degrees_apart(local(pose, "leftLowerArm"), expected) < 0.01
    assert degrees_apart(local(pose, "rightLowerArm"), expected.inv()) < 0.01
    for bone in ("leftUpperArm", "rightUpperArm", "leftHand", "rightHand", "leftRingProximal"):
        assert np.degrees(local(pose, bone).magnitude()) < 0.01, bone


def test_forearm_bent_up_rolls_the_upper_arm() -> None:
    """Swing alone would leave the elbow's hinge upright and break the elbow sideways."""
    up = Rotation.from_euler("z", 90, degrees=True)
    pose = Retargeter(UPPER)(turned(t_pose(), LEFT_FOREARM, up))
    upper = local(pose, "leftUpperArm")
    assert degrees_apart(upper, Rotation.from_euler("x", -90, degrees=True)) < 0.01
    np.testing.assert_allclose(world(pose, "leftLowerArm").apply([1, 0, 0]), [0, 1, 0], atol=1e-5)
    assert degrees_apart(world(pose, "leftHand"), up) < 0.01, "and the hand is where it was asked"


@pytest.mark.parametrize("roll", [-80, -30, 40, 90])
def test_forearm_roll_is_shared_by_forearm_and_hand(roll: float) -> None:
    forward = Rotation.from_euler("y", -90, degrees=True)
    given = turned(t_pose(), LEFT_FOREARM, forward)
    about_forearm = Rotation.from_rotvec(radians(roll) * np.array([0, 0, 1.0]))
    given = turned(given, LEFT_HAND, about_forearm)
    pose = Retargeter(UPPER)(given)
    assert degrees_apart(world(pose, "leftHand"), about_forearm * forward) < 0.01
    hand = local(pose, "leftHand").as_rotvec(degrees=True)
    np.testing.assert_allclose(hand, [roll / 2, 0, 0], atol=0.01)


def test_forearm_roll_is_clamped_at_95_degrees() -> None:
    forward = Rotation.from_euler("y", -90, degrees=True)
    given = turned(t_pose(), LEFT_FOREARM, forward)
    given = turned(given, LEFT_HAND, Rotation.from_rotvec(radians(130) * np.array([0, 0, 1.0])))
    pose = Retargeter(UPPER)(given)
    wanted = Rotation.from_rotvec(radians(95) * np.array([0, 0, 1.0])) * forward
    assert degrees_apart(world(pose, "leftHand"), wanted) < 0.1


def test_a_straight_arm_turns_its_palm_up_with_the_shoulder() -> None:
    """180 degrees of palm: more than a forearm rolls, so the upper arm takes half."""
    up = turned(t_pose(), LEFT_HAND, Rotation.from_euler("x", -175, degrees=True))
    pose = Retargeter(UPPER)(up)
    upper, hand = local(pose, "leftUpperArm"), world(pose, "leftHand")
    np.testing.assert_allclose(upper.as_rotvec(degrees=True), [-87.5, 0, 0], atol=0.5)
    assert degrees_apart(hand, Rotation.from_euler("x", -175, degrees=True)) < 0.5


def test_elbow_plane_is_continuous_across_a_straight_arm() -> None:
    """The forearm sweeps through straight: the plane's normal turns over, the arm must not jump."""
    retargeter = Retargeter(UPPER)
    shown = []
    for bend in np.arange(40, -41, -2.0):
        sweep = Rotation.from_euler("y", -bend, degrees=True)
        shown.append(retargeter(turned(t_pose(), LEFT_FOREARM, sweep)))
    for bone in ("leftUpperArm", "leftLowerArm", "leftHand"):
        steps = [
            degrees_apart(local(a, bone), local(b, bone)) for a, b in itertools.pairwise(shown)
        ]
        assert max(steps) <= 61, bone  # measured 60 (the limit), where 180 would be a flip
    upper, lower = (
        UPPER.index("left_shoulder", "left_elbow"),
        UPPER.index("left_elbow", "left_wrist"),
    )
    for pose, bend in zip(shown, np.arange(40, -41, -2.0), strict=True):
        seen = directions_from(pose.rotations, UPPER)
        expected = Rotation.from_euler("y", -bend, degrees=True).apply([1, 0, 0])
        np.testing.assert_allclose(seen[upper], [1, 0, 0], atol=1e-5)
        np.testing.assert_allclose(seen[lower], expected, atol=1e-5)


def test_noise_on_a_straight_arm_does_not_roll_it() -> None:
    rng = np.random.default_rng(1)
    retargeter, rolls = Retargeter(UPPER), []
    for _ in range(200):
        wobble = Rotation.from_rotvec(radians(4) * rng.uniform(-1, 1, 3))
        pose = retargeter(turned(t_pose(), LEFT_FOREARM, wobble))
        rolls.append(local(pose, "leftUpperArm").magnitude())
    assert np.degrees(max(rolls)) < 5  # the hand's own wobble of 4 degrees; a flip is 180


def test_torso_turn_reaches_the_chest_and_is_spread() -> None:
    yaw = Rotation.from_euler("y", 30, degrees=True)
    given = turned(t_pose(), "neck>left neck>right spine3>neck", yaw)
    pose = Retargeter(UPPER)(given)
    assert degrees_apart(world(pose, "upperChest"), yaw) < 0.01
    shares = [local(pose, bone).as_rotvec(degrees=True)[1] for bone in BONES[:4]]
    np.testing.assert_allclose(shares, [0, 9, 12, 9], atol=0.05)
    np.testing.assert_allclose(pose.root, 0, atol=1e-6)


def test_lean_moves_the_upper_spine_and_keeps_the_feet() -> None:
    lean = Rotation.from_euler("z", -12, degrees=True)  # towards the left, +X
    given = turned(t_pose(), "pelvis spine3>neck neck>left neck>right", lean)
    pose = Retargeter(UPPER)(given)
    places, turns = bone_frames(pose.rotations)
    up = places[BONE_INDEX["upperChest"]] - places[0]
    # A chain of three bends a little short of one straight lever: 0.3 degrees.
    assert degrees_apart(Rotation.align_vectors(up, [0, 1, 0])[0], lean) < 0.5
    assert degrees_apart(Rotation.from_quat(turns[BONE_INDEX["upperChest"]]), lean) < 0.01
    sole = pose.root + places[0] + Rotation.from_quat(turns[0]).apply([0, -places[0, 1], 0])
    np.testing.assert_allclose(sole, 0, atol=1e-6)
    assert pose.root[0] > 0.02, "the hips follow the lean"


def test_raised_shoulder_is_damped_and_limited() -> None:
    raised = Rotation.from_euler("z", 20, degrees=True)
    pose = Retargeter(UPPER)(turned(t_pose(), "neck>left_shoulder", raised))
    angle = np.degrees(local(pose, "leftShoulder").magnitude())
    assert 6 < angle < 9  # 0.4 of 20, less what the torso frame took of it
    wild = Rotation.from_euler("z", 80, degrees=True)
    pose = Retargeter(UPPER)(turned(t_pose(), "neck>left_shoulder", wild))
    assert np.degrees(local(pose, "leftShoulder").magnitude()) <= 15.001


@pytest.mark.parametrize("euler", [(0, 40, 0), (25, 0, 0), (0, 0, 20), (15, -30, 10)])
def test_head_turns_on_all_three_axes(euler: tuple[int, int, int]) -> None:
    turn = Rotation.from_euler("xyz", euler, degrees=True)
    pose = Retargeter(UPPER)(turned(t_pose(), "nose> eye>", turn))
    assert degrees_apart(world(pose, "head"), turn) < 0.01
    whole = turn.magnitude()
    assert local(pose, "neck").magnitude() == pytest.approx(0.4 * whole, abs=1e-5)
    assert local(pose, "head").magnitude() == pytest.approx(0.6 * whole, abs=1e-5)


def test_ted_gesture_head_turns_with_nose_and_crown() -> None:
    skeleton = load_skeleton("ted_gesture")
    turn = Rotation.from_euler("xyz", (10, 35, 0), degrees=True)
    given = skeleton.to_vrm(t_pose(skeleton))
    for ends in (("neck", "nose"), ("nose", "head")):
        given[skeleton.index(*ends)] = turn.apply(given[skeleton.index(*ends)])
    pose = Retargeter(skeleton)(skeleton.to_vrm(given))
    assert degrees_apart(world(pose, "head"), turn) < 0.01


def test_finger_curl_is_a_hinge_per_joint() -> None:
    """50 degrees at the knuckle, 60 at the middle joint; the last joint takes two thirds."""
    given = t_pose()
    knuckle = Rotation.from_euler("z", -50, degrees=True)
    middle = Rotation.from_euler("z", -110, degrees=True)
    given[UPPER.index("left_index1", "left_index2")] = knuckle.apply([1, 0, 0])
    given[UPPER.index("left_index2", "left_index3")] = middle.apply([1, 0, 0])
    pose = Retargeter(UPPER)(given)
    for bone, angle in (("Proximal", -50), ("Intermediate", -60), ("Distal", -40)):
        got = local(pose, f"leftIndex{bone}").as_rotvec(degrees=True)
        np.testing.assert_allclose(got, [0, 0, angle], atol=0.01, err_msg=bone)


def test_finger_spread_is_kept_and_limited() -> None:
    given = t_pose()
    for angle, finger in ((10, "index"), (35, "pinky")):
        spread = Rotation.from_euler("y", -angle, degrees=True).apply([1, 0, 0])
        given[UPPER.index(f"left_{finger}1", f"left_{finger}2")] = spread
        given[UPPER.index(f"left_{finger}2", f"left_{finger}3")] = spread
    pose = Retargeter(UPPER)(given)
    index = local(pose, "leftIndexProximal").as_rotvec(degrees=True)
    little = local(pose, "leftLittleProximal").as_rotvec(degrees=True)
    np.testing.assert_allclose(index, [0, -10, 0], atol=0.01)
    np.testing.assert_allclose(little, [0, -20, 0], atol=0.01)


def test_thumb_points_where_it_should_and_bends_across_the_palm() -> None:
    given = t_pose()
    towards = np.array([0.75, -0.35, 0.56]) / np.linalg.norm([0.75, -0.35, 0.56])
    given[UPPER.index("left_thumb1", "left_thumb2")] = towards
    given[UPPER.index("left_thumb2", "left_thumb3")] = towards
    pose = Retargeter(UPPER)(given)
    seen = directions_from(pose.rotations, UPPER)
    np.testing.assert_allclose(seen[UPPER.index("left_thumb1", "left_thumb2")], towards, atol=1e-5)
    assert local(pose, "leftThumbProximal").magnitude() < 1e-4
    across = Rotation.from_euler("y", 40, degrees=True).apply([0.7071, 0, 0.7071])
    given = t_pose()
    given[UPPER.index("left_thumb2", "left_thumb3")] = across
    bend = local(Retargeter(UPPER)(given), "leftThumbProximal").as_rotvec(degrees=True)
    assert 35 < bend[1] < 45
    assert np.linalg.norm(bend) < 45


def test_hands_without_fingers_are_at_ease() -> None:
    skeleton = load_skeleton("ted_gesture")
    hanging, level = skeleton.to_vrm(t_pose(skeleton)), skeleton.to_vrm(t_pose(skeleton))
    for side in ("left", "right"):
        upper, lower = (
            skeleton.index(f"{side}_shoulder", f"{side}_elbow"),
            skeleton.index(f"{side}_elbow", f"{side}_wrist"),
        )
        hanging[[upper, lower]] = (0, -1, 0)
        level[upper], level[lower] = (0, -1, 0), (0, 0, 1)
    down = Retargeter(skeleton)(skeleton.to_vrm(hanging))
    ahead = Retargeter(skeleton)(skeleton.to_vrm(level))
    for side, inwards in (("left", -1), ("right", 1)):
        palm_down = world(down, f"{side}Hand").apply([0, -1, 0])
        palm_level = world(ahead, f"{side}Hand").apply([0, -1, 0])
        assert inwards * palm_down[0] > 0.95, "palms face the thighs"
        assert inwards * palm_level[0] > 0.7, "palms face each other ..."
        assert palm_level[1] < -0.4, "... and half down"
        for finger in ("Index", "Middle", "Ring", "Little"):
            curl = np.degrees(local(down, f"{side}{finger}Proximal").magnitude())
            assert 15 < curl < 40


def test_thin_vectors_hold_and_nan_repeats_the_last_pose() -> None:
    rng = np.random.default_rng(5)
    retargeter = Retargeter(UPPER)
    good = (UPPER.mean + rng.normal(size=UPPER.mean.shape) * 0.1).astype(np.float32)
    first = retargeter(good)
    thin = good.copy()
    thin[UPPER.index("left_elbow", "left_wrist")] = (0.0, 0.29, 0.0)
    np.testing.assert_allclose(retargeter(thin).rotations, first.rotations, atol=1e-5)
    for poison in (np.nan, np.inf, -np.inf):
        broken = good.copy()
        broken[7, 1] = poison
        before = retargeter(good)
        np.testing.assert_array_equal(retargeter(broken).rotations, before.rotations)
    assert np.isfinite(retargeter(good).rotations).all()


def test_nan_before_any_pose_is_the_t_pose() -> None:
    pose = Retargeter(UPPER)(np.full((45, 3), np.nan, np.float32))
    np.testing.assert_array_equal(pose.rotations[:, 3], 1)


def test_save_and_restore_continue_identically() -> None:
    rng = np.random.default_rng(6)
    poses = (UPPER.mean + rng.normal(size=(40, 45, 3)) * 0.25).astype(np.float32)
    one = Retargeter(UPPER)
    for pose in poses[:20]:
        one(pose)
    other = Retargeter(UPPER)
    other.restore(one.save())
    for pose in poses[20:]:
        a, b = one(pose), other(pose)
        np.testing.assert_array_equal(a.rotations, b.rotations)
        np.testing.assert_array_equal(a.root, b.root)


def test_reset_forgets() -> None:
    rng = np.random.default_rng(7)
    poses = (UPPER.mean + rng.normal(size=(10, 45, 3)) * 0.4).astype(np.float32)
    fresh, used = Retargeter(UPPER), Retargeter(UPPER)
    for pose in poses:
        used(pose)
    used.reset()
    np.testing.assert_array_equal(used(poses[3]).rotations, fresh(poses[3]).rotations)


def test_wrong_shape_and_missing_joints_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(45, 3\), got \(42, 3\)"):
        Retargeter(UPPER)(np.zeros((42, 3), np.float32))
    gesture = load_skeleton("ted_gesture")
    renamed = replace(gesture, joints=tuple(j.replace("elbow", "cubit") for j in gesture.joints))
    with pytest.raises(ArtifactError, match="no vector left_shoulder>left_elbow"):
        Retargeter(renamed)


def test_a_skeleton_without_means_still_stands() -> None:
    bare = replace(UPPER, mean=np.zeros_like(UPPER.mean))
    pose = Retargeter(bare)(rest_directions(bare))
    np.testing.assert_allclose(pose.rotations[:, 3], 1, atol=1e-6)


def test_poses_are_read_only() -> None:
    pose = Retargeter(UPPER)(t_pose())
    with pytest.raises(ValueError, match="read-only"):
        pose.rotations[0] = 0
