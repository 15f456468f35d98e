import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from streamer.skeleton import load_skeleton
from training import pose
from training.smartbody import unit
from training.torso import RADIUS, depth, push_out


def some_poses(seed: int, count: int, spread: float) -> pose.Float:
    generator = np.random.default_rng(seed)
    base = unit(load_skeleton("upper_body").mean.astype(np.float64))
    turn = generator.normal(scale=spread, size=(count, pose.G, 3))
    return pose.rotate(np.broadcast_to(base, (count, *base.shape)), turn)


def test_every_vector_has_its_group() -> None:
    left = {pose.NAMES[i] for i in pose.groups_to_vectors([pose.GROUPS.index("left_hand")])}
    assert len(left) == 16
    assert {"left_palm", "left_wrist>left_index1", "left_thumb2>left_thumb3"} <= left
    head = {pose.NAMES[i] for i in pose.groups_to_vectors([pose.HEAD])}
    assert head == {
        "neck>nose",
        "nose>right_eye",
        "nose>left_eye",
        "right_eye>right_ear",
        "left_eye>left_ear",
    }


def test_mirror_swaps_the_sides() -> None:
    poses = some_poses(1, 3, 0.5)
    points, other = pose.positions(poses), pose.positions(pose.mirror(poses))
    flip = np.array([-1.0, 1.0, 1.0])
    left, right = pose.WRISTS
    np.testing.assert_allclose(other[:, left], points[:, right] * flip, atol=1e-5)
    np.testing.assert_allclose(pose.mirror(pose.mirror(poses)), poses, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.floats(0.0, 1.5))
def test_an_offset_makes_the_pose_and_fades_to_the_target(seed: int, spread: float) -> None:
    a, b = some_poses(seed, 2, spread)
    turn, residue = pose.offset(a, b)
    np.testing.assert_allclose(pose.apply(a, turn, residue), b, atol=1e-9)
    np.testing.assert_allclose(pose.apply(a, 0 * turn, 0 * residue), a, atol=1e-9)
    half = pose.blend(a, b, 0.5)
    np.testing.assert_allclose(np.linalg.norm(half, axis=-1), 1.0, atol=1e-9)


def test_a_hand_turns_as_a_rigid_body() -> None:
    poses = some_poses(3, 1, 0.3)[0]
    turned = poses.copy()
    hand = pose.groups_to_vectors([pose.GROUPS.index("left_hand")])
    axis = Rotation.from_rotvec([0.3, 2.4, -0.5])
    turned[hand] = axis.apply(poses[hand])
    half = pose.blend(poses, turned, 0.5)
    expected = Rotation.from_rotvec(0.5 * axis.as_rotvec()).apply(poses[hand])
    np.testing.assert_allclose(half[hand], expected, atol=1e-9)


def test_hands_inside_the_torso_are_turned_out_smoothly() -> None:
    base = unit(load_skeleton("upper_body").mean.astype(np.float64))
    # The right forearm sweeps through the chest.
    poses = np.repeat(base[None], 60, 0)
    arm = pose.groups_to_vectors(pose.ARMS["right"][1:])
    for n, angle in enumerate(np.linspace(-0.2, 1.2, 60)):
        poses[n, arm] = Rotation.from_rotvec([0, angle, 0]).apply(base[arm])
    assert depth(poses).max() > 0.05
    out = push_out(poses)
    assert depth(out).max() < 0.005
    np.testing.assert_allclose(np.linalg.norm(out, axis=-1), 1.0, atol=1e-9)
    steps = np.linalg.norm(np.diff(pose.positions(out)[:, pose.WRISTS[1]], axis=0), axis=1)
    assert steps.max() < 0.03  # measured 0.022, where another finger becomes the deepest
    outside = depth(poses).max(1) == 0
    clear = outside & (np.abs(out - poses).max((1, 2)) == 0)
    assert clear.sum() > 10  # what is well outside stays
    assert RADIUS > 0.1
