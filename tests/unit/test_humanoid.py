"""The humanoid's names, tree and conversions, against protocols.md 1.5, 3.2 and 3.4."""

import numpy as np

from streamer.humanoid import (
    BONES,
    PARENTS,
    REST_OFFSETS,
    to_unity_position,
    to_unity_rotation,
    unity_bone_name,
)


def test_forty_four_bones_parents_first():
    assert len(BONES) == len(set(BONES)) == 44
    assert PARENTS[0] == -1
    assert all(parent < i for i, parent in enumerate(PARENTS))


def test_t_pose():
    for bone, offset in zip(BONES, REST_OFFSETS, strict=True):
        if bone in ("leftLowerArm", "leftHand", "leftIndexIntermediate"):
            np.testing.assert_allclose(offset / np.linalg.norm(offset), [1, 0, 0], atol=1e-6)
        if bone == "leftThumbProximal":
            np.testing.assert_allclose(
                offset / np.linalg.norm(offset), [0.5**0.5, 0, 0.5**0.5], atol=1e-6
            )
    left = REST_OFFSETS[BONES.index("leftIndexProximal")]
    right = REST_OFFSETS[BONES.index("rightIndexProximal")]
    np.testing.assert_allclose(left, right * [-1, 1, 1])


def test_unity_names():
    assert unity_bone_name("leftThumbMetacarpal") == "LeftThumbProximal"
    assert unity_bone_name("leftThumbProximal") == "LeftThumbIntermediate"
    assert unity_bone_name("rightLittleDistal") == "RightLittleDistal"
    assert unity_bone_name("upperChest") == "UpperChest"


def test_unity_axes_keep_the_geometry():
    """Rotating then converting equals converting both and rotating there."""
    half = np.radians(35) / 2
    axis = np.array([0.6, 0.0, 0.8])
    q = np.array([*(np.sin(half) * axis), np.cos(half)], np.float32)
    v = np.array([0.3, -0.2, 0.9], np.float32)
    here = to_unity_position(rotate(q, v))
    there = rotate(to_unity_rotation(q), to_unity_position(v))
    np.testing.assert_allclose(here, there, atol=1e-6)


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Rotate by the textbook matrix of a unit quaternion xyzw."""
    x, y, z, w = q
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    return (matrix @ v).astype(np.float32)
