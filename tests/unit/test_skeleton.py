"""Skeletons: the built-in ones agree with the specification, broken ones are refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import ArtifactError
from streamer.skeleton import BUILT_IN, Skeleton, load_skeleton


@pytest.mark.parametrize("name", BUILT_IN)
def test_round_trip(name: str):
    skeleton = load_skeleton(name)
    again = Skeleton.from_json(json.loads(json.dumps(skeleton.to_json())))
    assert again.bones == skeleton.bones
    assert again.levels == skeleton.levels
    np.testing.assert_allclose(again.mean, skeleton.mean, atol=1e-6)


@pytest.mark.parametrize("name", ["ted_gesture", "ted_expressive"])
def test_ted_layouts_are_those_of_the_specification(name: str, shared: Path):
    spec = json.loads((shared / "spec" / f"skeleton_{name}.json").read_text())
    skeleton = load_skeleton(name)
    assert list(skeleton.joints) == spec["joint_names"]
    assert [list(b) for b in skeleton.bones] == spec["parent_pairs"]
    assert list(skeleton.bone_lengths) == spec["bone_lengths"]
    assert [list(level) for level in skeleton.levels] == spec["level_directions"]
    assert [3 * len(level) for level in skeleton.levels] == spec["level_dims"]
    np.testing.assert_allclose(skeleton.mean.ravel(), spec["mean_dir_vec"], atol=1e-6)


@pytest.mark.parametrize("name", ["ted_gesture", "ted_expressive"])
def test_axes_turn_the_mean_upright(name: str):
    """Protocols.md 6.2: spine up, forearms forward, left shoulder on the character's left."""
    skeleton = load_skeleton(name)
    mean = skeleton.to_vrm(skeleton.mean)
    spine = mean[0]
    left = skeleton.index("neck", "left_shoulder")
    assert spine[1] > 0.9
    assert mean[left][0] > 0
    for side in ("left", "right"):
        assert mean[skeleton.index(f"{side}_elbow", f"{side}_wrist")][2] > 0.5


def test_upper_body_adds_lean_and_palms():
    skeleton = load_skeleton("upper_body")
    assert skeleton.vectors == 45
    assert skeleton.normals == ("left_palm", "right_palm")
    assert skeleton.index("pelvis", "spine3") == 42


def test_positions_walk_the_tree():
    skeleton = load_skeleton("upper_body")
    directions = np.zeros((45, 3), np.float32)
    directions[:, 1] = 1.0
    places = skeleton.positions(directions)
    wrist = skeleton.joints.index("left_wrist")
    names = ("pelvis>spine3", "spine3>neck", "neck>left_shoulder", "left_shoulder>left_elbow")
    chain = [*names, "left_elbow>left_wrist"]
    lengths = dict(zip(skeleton.vector_names, skeleton.bone_lengths, strict=False))
    assert places[wrist][1] == pytest.approx(sum(lengths[n] for n in chain))
    assert (places[skeleton.root_joint] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bones": [[0, 1], [1, 0]]}, "tree"),
        ({"axes": [1, 2, 1]}, "axes"),
        ({"bone_lengths": [0.1]}, "lengths"),
        ({"levels": [[0]]}, "last level"),
        ({"mean": "no"}, "malformed"),
        ({"joints": None}, "malformed"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str):
    data = load_skeleton("ted_gesture").to_json() | change
    with pytest.raises(ArtifactError, match=message):
        Skeleton.from_json(data)


def test_a_cycle_beside_the_tree_is_refused():
    data = load_skeleton("ted_gesture").to_json()
    data["bones"][3:5] = [[5, 4], [4, 5]]
    with pytest.raises(ArtifactError, match="root"):
        Skeleton.from_json(data)


def test_unknown_name():
    with pytest.raises(ArtifactError, match="upper_body"):
        load_skeleton("nobody")
