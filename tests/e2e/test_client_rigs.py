"""Poses on the rigs of Unity and Unreal, held to rotation matrices."""

import json

import numpy as np
import pytest

from streamer.humanoid import BONES, PARENTS, REST_OFFSETS
from tests.clients import probes
from tests.clients.probes import GOLDEN, GOLDEN_STREAMS, execute, golden_json, quaternions
from tests.serving import schema_of


def matrix(q: np.ndarray) -> np.ndarray:
    x, y, z, w = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


# Columns: where VRM's +X (the character's left), +Y (up) and +Z (ahead) go.
UNREAL_Y = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]])
UNREAL_X = np.array([[0, 0, 1], [-1, 0, 0], [0, 1, 0]])
UNITY = np.diag([-1, 1, 1])


def test_unreal_axes():
    rng = np.random.default_rng(3)
    q, p = quaternions(rng, 20), rng.normal(size=(20, 3))
    given = "\n".join(
        " ".join(map(repr, [*a.tolist(), *b.tolist()])) for a, b in zip(q, p, strict=True)
    )
    rows = np.array(
        [line.split() for line in probes.run("unreal", "axes", given=given).splitlines()], float
    )
    for row, a, b in zip(rows, q, p, strict=True):
        for got, basis in ((row[:7], UNREAL_Y), (row[7:], UNREAL_X)):
            assert np.linalg.det(basis) == pytest.approx(-1)  # left-handed
            assert np.allclose(matrix(got[:4]), basis @ matrix(a) @ basis.T, atol=1e-6)
            assert np.allclose(got[4:], 100 * basis @ b, atol=1e-4)


class Avatar:
    """A Unity avatar whose bones stand askew in the T-pose, with nodes in between."""

    def __init__(self, missing: frozenset[str]) -> None:
        rng = np.random.default_rng(11)
        self.names, self.parents, self.rest, self.human = ["root"], [-1], [np.eye(3)], ["-"]
        self.q, self.p = [np.array([0.0, 0, 0, 1])], [np.zeros(3)]
        node_of: dict[str, int] = {}
        for i, bone in enumerate(BONES):
            parent = BONES[PARENTS[i]] if i else None
            while parent in missing:
                parent = BONES[PARENTS[BONES.index(parent)]]
            if bone in missing:
                continue
            at = self._add(f"between {i}".replace(" ", "_"), node_of.get(parent, 0), rng, "-")
            node_of[bone] = self._add(bone, at, rng, unity_name(bone))
        self.node_of = node_of

    def _add(self, name: str, parent: int, rng: np.random.Generator, human: str) -> int:
        self.names.append(name)
        self.parents.append(parent)
        self.q.append(quaternions(rng, 1)[0].astype(np.float32))
        self.p.append(rng.normal(size=3).astype(np.float32))
        self.rest.append(self.rest[parent] @ matrix(self.q[-1]))
        self.human.append(human)
        return len(self.names) - 1

    def script(self) -> str:
        return "".join(
            f"node {name} {self.names[parent] if parent >= 0 else '-'} "
            f"{' '.join(map(str, [*q, *p]))} {human}\n"
            for name, parent, q, p, human in zip(
                self.names, self.parents, self.q, self.p, self.human, strict=True
            )
        )

    def world(self, local: np.ndarray) -> list[np.ndarray]:
        """Return each node's rotation in the avatar's space."""
        world: list[np.ndarray] = []
        for q, parent in zip(local, self.parents, strict=True):
            world.append((world[parent] if parent >= 0 else np.eye(3)) @ matrix(q))
        return world


def unity_name(bone: str) -> str:
    name = bone[0].upper() + bone[1:]
    if "Thumb" in name:
        return name.replace("Proximal", "Intermediate").replace("Metacarpal", "Proximal")
    return name


@pytest.mark.parametrize("missing", [frozenset(), frozenset({"upperChest", "leftShoulder"})])
def test_unity_avatar_takes_the_pose_whatever_its_bones_look_like(missing, tmp_path):
    """World rotations relative to the T-pose must be the stream's, in Unity's axes."""
    probes.need_mono()
    avatar = Avatar(missing)
    rotations = quaternions(np.random.default_rng(2), len(BONES)).astype(np.float32)
    root = [0.1, 0.02, -0.05]
    pose = " ".join(map(str, [*rotations.ravel(), *root]))
    height = 2.0
    text = avatar.script() + f"hello {','.join(BONES)} {','.join(map(str, PARENTS))} {height}\n"
    text += f"frame 0.0 {pose}\nlate 0.02\n"
    for i in range(1, 30):  # until it is faded in
        text += f"frame {i / 15} {pose}\nlate {i / 15 + 0.02}\n"
    path = tmp_path / "script"
    path.write_text(text)
    rows = [
        np.array(line.split(), float).reshape(-1, 7)
        for line in execute(["mono", str(probes.unity_thin()), str(path)]).splitlines()
    ]
    world = avatar.world(rows[-1][:, :4])
    want: list[np.ndarray] = []
    for i, bone in enumerate(BONES):
        above = want[PARENTS[i]] if i else np.eye(3)
        want.append(above @ UNITY @ matrix(rotations[i]) @ UNITY)
        if bone not in missing:
            node = avatar.node_of[bone]
            turned = world[node] @ avatar.rest[node].T
            assert np.allclose(turned, want[i], atol=1e-4), bone
    hips = avatar.node_of["hips"]
    above = avatar.parents[hips]
    moved = avatar.rest[above] @ (rows[-1][hips, 4:] - avatar.p[hips])
    at_rest = avatar.rest[above] @ avatar.p[hips] + avatar.p[above]
    scale = at_rest[1] / height if at_rest[1] > 0 else 1
    assert np.allclose(moved, UNITY @ root * scale, atol=1e-4)
    # Without an Animator that writes, a fade must not pile up: the last two agree.
    assert np.allclose(rows[-1], rows[-2], atol=1e-5)
    # Nodes between the bones stay as they are.
    for node, human in enumerate(avatar.human):
        if human == "-":
            assert np.allclose(rows[-1][node, :4], avatar.q[node])


def test_live_link_source_on_stand_ins():
    """It pushes names once, a pose an update, acknowledges, and comes back; not after 4401."""
    lines = execute([str(probes.unreal_live_link()), str(GOLDEN / GOLDEN_STREAMS[1])]).splitlines()
    assert lines[0] == "socket ws://127.0.0.1:8765/v1/watch gesture.v1.bin"
    words = lines[1].split(" ")[2:]
    assert tuple(words[::2]) == BONES
    assert tuple(map(int, words[1::2])) == PARENTS
    sent = [json.loads(line.removeprefix("sent ")) for line in lines if line.startswith("sent ")]
    assert [m["seq"] for m in sent[:-1]] == [
        m["seq"] for m in golden_json() if m["type"] == "frame"
    ]
    assert sent[-1] == {"type": "ping", "id": 1}
    schema = schema_of("client")
    for message in sent:
        schema.validate(message)
    poses = [np.array(line.split(" ")[1:], float) for line in lines if line.startswith("pose ")]
    assert len(poses) == len(golden_json()) + 6
    last = poses[-1][2:].reshape(-1, 7)
    final = [m for m in golden_json() if m["type"] == "frame"][-1]
    rest = REST_OFFSETS.copy()
    rest[0] += final["root"]
    assert np.allclose(last[:, 4:], 100 * rest @ UNREAL_Y.T, atol=1e-3)
    for got, q in zip(last[:, :4], np.array(final["rotations"]).reshape(-1, 4), strict=True):
        assert np.allclose(matrix(got), UNREAL_Y @ matrix(q) @ UNREAL_Y.T, atol=1e-4)
    plain = [line for line in lines if line.startswith(("status", "sockets", "shutdown"))]
    assert plain == [
        "status Receiving",
        "status the server stops",
        "sockets 2",
        "status The engine has fallen silent",
        "sockets 3",
        "sockets 3",
        "shutdown 1",
    ]
    greeting = json.loads(lines[-1].removeprefix("greeting "))
    schema.validate(greeting)
    assert greeting["token"] == 'a "token" of sixteen'
    assert poses[-1][1] == 0  # the weight, a minute after the last frame
