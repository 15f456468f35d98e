from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamer.avatar import read_avatar
from streamer.body_size import body_radius, trunk_radius
from streamer.comfort_torso import TorsoGuard
from streamer.errors import UsageError
from streamer.humanoid import BONE_INDEX, BONES
from streamer.profiles import ProfileStore
from streamer.recordings.skin import load_mannequin
from streamer.steering import Steering
from tests.vrm import glb, humanoid_nodes, vrm1


def tube(radius: float, *, back: float | None = None) -> np.ndarray:
    """Return points of a trunk about the mannequin's spine, wider behind if told."""
    skin = load_mannequin()
    bottom, top = skin.rest[0], skin.rest[BONE_INDEX["neck"]]
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rows = []
    for share in np.linspace(0, 1, 30):
        for a in angle:
            wide = back if back is not None and np.cos(a) < 0 else radius
            offset = [wide * np.sin(a), 0, wide * np.cos(a)]
            rows.append(bottom + share * (top - bottom) + offset)
    return np.array(rows, np.float32)


def body(points: np.ndarray):
    weights = np.zeros((len(points), len(BONES)), np.float32)
    weights[:, BONE_INDEX["chest"]] = 1
    return replace(load_mannequin(), vertices=points, weights=weights)


def test_a_tube_has_its_radius_and_a_rucksack_does_not_count() -> None:
    assert trunk_radius(body(tube(0.11))) == pytest.approx(0.11, abs=0.004)
    assert trunk_radius(body(tube(0.11, back=0.3))) == pytest.approx(0.11, abs=0.004)
    wide = trunk_radius(body(tube(0.3)))
    shoulder = load_mannequin().rest[BONE_INDEX["leftUpperArm"], 0]
    assert wide == pytest.approx(0.95 * shoulder, abs=0.002)
    assert trunk_radius(body(tube(0.1)[:3])) is None


def test_a_file_without_a_mesh_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.vrm").write_bytes(glb(vrm1(humanoid_nodes())))
    assert body_radius(tmp_path / "a.vrm") is None


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("Godette_vrm_v4", 0.1, 0.14), ("debug_robot_vrm1", 0.1, 0.125), ("cryptovoxels", 0.04, 0.08)],
)
def test_hands_are_never_inside_the_measured_trunk(
    shared: Path, name: str, low: float, high: float
) -> None:
    path = shared / "data" / "avatars" / f"{name}.vrm"
    radius = body_radius(path)
    assert radius is not None
    assert low < radius < high
    guard = TorsoGuard(read_avatar(path))
    generator = np.random.default_rng(4)
    worst_before = worst = -1.0
    for _ in range(150):
        turns = generator.normal(scale=0.5, size=(len(BONES), 4))
        turns[:, 3] = 1
        pose = (turns / np.linalg.norm(turns, axis=1, keepdims=True)).astype(np.float32)
        worst_before = max(worst_before, guard.depth(pose, radius))
        worst = max(worst, guard.depth(guard(pose, radius), radius))
    assert worst_before > 2e-3  # some would be inside
    assert worst < 1e-3


def test_an_avatar_without_a_profile_begins_with_its_measure(tmp_path: Path) -> None:
    (tmp_path / "a.vrm").write_bytes(glb(vrm1(humanoid_nodes())))
    avatar = read_avatar(tmp_path / "a.vrm")
    profiles = ProfileStore(tmp_path / "profiles")
    steering = Steering(profiles=profiles, avatar=avatar, radius=0.12)
    assert steering.in_effect()["torso_radius"] == 0.12
    steering.control({"torso_radius": 0.05, "profile": "save"})
    again = Steering(profiles=profiles, avatar=avatar, radius=0.12)
    assert again.in_effect()["torso_radius"] == 0.05
    assert again.control({"fit": "body"})["torso_radius"] == 0.12
    with pytest.raises(UsageError, match="expected body"):
        again.control({"fit": "soul"})
    assert again.set_avatar(None)["torso_radius"] == 0.0
    with pytest.raises(UsageError, match="by hand"):
        again.control({"fit": "body"})
    assert again.set_avatar(avatar, radius=0.2)["torso_radius"] == 0.05  # its profile
