"""The VMC sink: targets, playing between poses, silence, bad poses.

Its clock is driven by hand and `tick` called in place of its task, which never gets
to run here: these tests do not yield to the event loop.
"""

import itertools
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.avatar import read_avatar
from streamer.errors import UsageError
from streamer.humanoid import BONE_INDEX, BONES
from streamer.retarget import Pose
from streamer.sinks.vmc import VmcSink, parse_target
from streamer.types import SkeletonFrame
from tests.evmc4u import Receiver, decode
from tests.vrm import glb, humanoid_nodes, vrm1

REST = Pose(
    rotations=np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1)),
    root=np.zeros(3, np.float32),
)


def posed(seed: int) -> Pose:
    turns = Rotation.from_rotvec(np.random.default_rng(seed).uniform(-0.8, 0.8, (len(BONES), 3)))
    return Pose(rotations=turns.as_quat().astype(np.float32), root=REST.root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:39539", ("127.0.0.1", 39539)),
        ("studio-pc.local:39540", ("studio-pc.local", 39540)),
        (" [::1]:39539 ", ("::1", 39539)),
    ],
)
def test_targets(text: str, expected: tuple[str, int]) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("127.0.0.1", "expected HOST:PORT"),
        (":39539", "expected HOST:PORT"),
        ("", "expected HOST:PORT"),
        ("localhost:", "port '' is not"),
        ("localhost:0", "port '0' is not"),
        ("localhost:65536", "port '65536' is not"),
        ("localhost:" + "9" * 9000, "is not a number from 1 to 65535"),
        ("localhost:vmc", "port 'vmc' is not"),
        ("localhost:٣٩", "is not a number"),
        ("::1:39539", "in brackets"),
    ],
)
def test_bad_targets(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_target(text)


def test_an_unknown_host_and_a_silly_rate_are_refused() -> None:
    with pytest.raises(UsageError, match="check the host"):
        VmcSink("no-such-host.invalid", 39539)
    with pytest.raises(UsageError, match="usually 60"):
        VmcSink("127.0.0.1", 39539, output_fps=1000)


class ManualClock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(5)
        yield udp


def frame(pose: Pose, seconds: float = 0.0) -> SkeletonFrame:
    return SkeletonFrame(
        index=round(seconds * 15),
        sample=round(seconds * 16_000),
        rotations=pose.rotations,
        root=pose.root,
        positions=np.zeros((1, 3), np.float32),
        directions=np.zeros((1, 3), np.float32),
        state="idle",
        reset=False,
        captured_at=0.0,
        emitted_at=0.0,
    )


def next_frame(listener: socket.socket, receiver: Receiver):
    count = len(receiver.frames)
    while len(receiver.frames) == count:
        receiver.take(listener.recv(2048))
    return receiver.frames[-1]


async def test_it_plays_one_frame_behind_and_between_poses(listener: socket.socket) -> None:
    clock, receiver = ManualClock(), Receiver()
    turn = Rotation.from_euler("y", 40, degrees=True).as_quat()
    rotations = REST.rotations.copy()
    rotations[BONE_INDEX["head"]] = turn
    sink = VmcSink(*listener.getsockname(), clock=clock)
    await sink.send(frame(REST))
    clock.now += 1 / 15
    await sink.send(frame(Pose(rotations=rotations, root=REST.root), 1 / 15))
    angles = []
    for _ in range(7):
        sink.tick()
        sent = Rotation.from_quat(next_frame(listener, receiver).bones["Head"][3:])
        angles.append(-sent.as_rotvec(degrees=True)[1])  # Unity turns the other way about Y
        clock.now += 1 / 60
    np.testing.assert_allclose(angles, [0, 10, 20, 30, 40, 40, 40], atol=0.1)
    assert sink.added_delay_s == pytest.approx(1 / 15)
    await sink.aclose()


async def test_silence_holds_the_last_pose_and_time_goes_on(listener: socket.socket) -> None:
    clock, receiver = ManualClock(), Receiver()
    sink = VmcSink(*listener.getsockname(), clock=clock)
    await sink.send(frame(posed(1)))
    shown = []
    for _ in range(5):
        clock.now += 1
        sink.tick()
        shown.append(next_frame(listener, receiver))
    assert [s.time for s in shown] == pytest.approx([1, 2, 3, 4, 5])
    assert all(s.bones == shown[0].bones for s in shown)
    await sink.aclose()


async def test_nan_holds_the_last_good_pose(listener: socket.socket) -> None:
    clock, receiver = ManualClock(), Receiver()
    sink = VmcSink(*listener.getsockname(), clock=clock)
    await sink.send(frame(posed(1)))
    clock.now += 1
    sink.tick()
    good = next_frame(listener, receiver)
    broken = posed(2).rotations.copy()
    broken[7] = np.nan
    await sink.send(frame(Pose(rotations=broken, root=REST.root), 1 / 15))
    clock.now += 1
    sink.tick()
    assert next_frame(listener, receiver).bones == good.bones
    assert sink.rejected == 1
    await sink.aclose()


async def test_signs_of_rotations_never_jump(listener: socket.socket) -> None:
    """Frames whose signs alternate, and a stream that begins again with the other sign."""
    clock, receiver = ManualClock(), Receiver()
    sink = VmcSink(*listener.getsockname(), clock=clock)
    await sink.send(frame(posed(0)))
    sent = []
    for i in range(1, 40):
        pose = posed(0)
        flipped = Pose(rotations=pose.rotations * np.float32((-1) ** i), root=pose.root)
        clock.now += 1 / 15
        await sink.send(frame(flipped, i / 15 if i < 20 else 1000 + i / 15))
        sink.tick()
        bones = next_frame(listener, receiver).bones
        sent.append(np.array([bones[b][3:] for b in sorted(bones)]))
    for a, b in itertools.pairwise(sent):
        assert ((a * b).sum(-1) > 0.999).all()
    await sink.aclose()


async def test_another_avatar_takes_over(listener: socket.socket, tmp_path: Path) -> None:
    clock, receiver = ManualClock(), Receiver()
    sink = VmcSink(*listener.getsockname(), clock=clock)
    await sink.send(frame(REST))
    sink.tick()
    assert next_frame(listener, receiver).bones["Hips"][1] == pytest.approx(0.95)
    nodes = humanoid_nodes()
    nodes[0]["translation"] = [0, 1.25, 0]
    (tmp_path / "a.vrm").write_bytes(glb(vrm1(nodes)))
    sink.set_avatar(read_avatar(tmp_path / "a.vrm"))
    sink.tick()
    bones = next_frame(listener, receiver).bones
    assert bones["Hips"][1] == pytest.approx(1.25)
    assert "UpperChest" in bones
    await sink.aclose()


@pytest.mark.parametrize("asked", [True, False])
async def test_a_face_is_sent_between_two_only_if_asked_for(
    listener: socket.socket, asked: bool
) -> None:
    clock, receiver = ManualClock(), Receiver(blends=asked)
    sink = VmcSink(*listener.getsockname(), face=asked, clock=clock)
    for n, face in enumerate(([0, 0, 0, 0, 0, 1], [1, 0, 0.5, 0, 0, 0])):
        clock.now += 1 / 15
        given = replace(frame(posed(n), n / 15), face=np.array(face, np.float32))
        await sink.send(given)
    clock.now += 1 / 30
    sink.tick()
    shown = next_frame(listener, receiver).blends
    if asked:
        half = {"A": 0.5, "I": 0.0, "U": 0.25, "E": 0.0, "O": 0.0, "Blink": 0.5}
        assert shown == pytest.approx(half, abs=1e-3)
    else:
        assert shown == {}
    await sink.aclose()
    if asked:  # many receivers keep the last value for ever
        last = decode(listener.recv(2048))
        assert [m.values[1] for m in last[:-1]] == [0.0] * 6
        assert last[-1].address == "/VMC/Ext/Blend/Apply"
