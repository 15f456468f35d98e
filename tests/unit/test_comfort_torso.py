from pathlib import Path

import numpy as np
import pytest

from streamer.avatar import read_avatar
from streamer.comfort import hanging
from streamer.comfort_torso import TorsoGuard
from streamer.humanoid import BONE_INDEX
from streamer.retarget_inverse import bone_frames
from streamer.rotation import about
from tests.takes import take

RADIUS = 0.14
ARMS = [BONE_INDEX[s + p] for s in ("left", "right") for p in ("UpperArm", "LowerArm")]


def poses(count: int) -> np.ndarray:
    """Return arms in any position on an upright body."""
    rotations = np.array([take(1, seed=n).rotations[0] for n in range(count)])
    rotations[:, :6] = (0, 0, 0, 1)
    for side in ("left", "right"):
        rotations[:, BONE_INDEX[f"{side}Shoulder"]] = (0, 0, 0, 1)
    return rotations


def depth(rotations: np.ndarray, offsets: np.ndarray, radius: float) -> float:
    """Return how deep hands and elbows are in the capsule, by array kinematics of the tests."""
    places, _ = bone_frames(rotations, offsets)
    bottom, top = places[BONE_INDEX["hips"]], places[BONE_INDEX["neck"]]
    deepest = -1.0
    for side in ("left", "right"):
        for part in ("LowerArm", "Hand", "MiddleProximal", "MiddleDistal", "ThumbDistal"):
            p = places[BONE_INDEX[side + part]]
            share = np.clip(
                np.dot(p - bottom, top - bottom) / np.dot(top - bottom, top - bottom), 0, 1
            )
            deepest = max(deepest, radius - np.linalg.norm(p - bottom - share * (top - bottom)))
    return float(deepest)


@pytest.mark.parametrize("name", ["", "Godette_vrm_v4", "debug_robot_vrm1", "cryptovoxels"])
def test_no_hand_is_ever_inside_the_torso(shared: Path, name: str) -> None:
    avatar = read_avatar(shared / "data" / "avatars" / f"{name}.vrm") if name else None
    guard = TorsoGuard(avatar)
    offsets = np.array(guard._offsets, np.float32)
    span = float(
        np.abs(offsets[BONE_INDEX["leftUpperArm"]] + offsets[BONE_INDEX["leftShoulder"]])[0]
    )
    radius = min(RADIUS, 0.9 * span)  # narrower than the shoulders, as every body is
    was_inside = 0
    for rotations in poses(300):
        before = depth(rotations, offsets, radius)
        out = guard(rotations, radius)
        after = depth(out, offsets, radius)
        was_inside += before > 1e-3
        assert after < 1e-3, "a millimetre"
        if before < 0:
            assert out is rotations
        changed = [i for i in range(44) if not np.array_equal(out[i], rotations[i])]
        assert set(changed) <= set(ARMS), "only arms give way"
        np.testing.assert_allclose(np.linalg.norm(out, axis=-1), 1, atol=1e-5)
    assert was_inside > 20, "otherwise this shows nothing"


def test_a_hand_that_passes_by_is_pushed_without_jumps() -> None:
    """The forearm sweeps across the belly; shown steps are as smooth as the sweep's."""
    guard = TorsoGuard(None)
    shown = []
    for degrees in np.arange(0, 120, 2.0):
        pose = hanging()
        pose[BONE_INDEX["leftUpperArm"]] = about((0, 0, 1), -np.radians(85))
        pose[BONE_INDEX["leftLowerArm"]] = about((0, 1, 0), -np.radians(20 + degrees))
        pose[BONE_INDEX["leftUpperArm"]] = pose[BONE_INDEX["leftUpperArm"]]
        shown.append(guard(pose, 0.2))
    q = np.array(shown)[:, ARMS]
    cosine = np.clip(np.abs((q[1:] * q[:-1]).sum(-1)), 0, 1)
    assert np.degrees(2 * np.arccos(cosine)).max() < 8, "the sweep itself makes 2 a frame"
