import asyncio
import math
import socket

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.errors import UsageError
from streamer.humanoid import BONE_INDEX, BONES
from streamer.retarget import Pose
from streamer.sinks.vmc import VmcSink
from streamer.sinks.vmc_encoding import VmcEncoder, VmcRig, encode_vmc, osc_message
from streamer.vmc_input import MOST_A_SECOND, Upstream, VmcInput, mixed, parse_weights
from tests.evmc4u import Receiver, decode
from tests.support import ManualTime
from tests.takes import frame, take

HERE = ("127.0.0.1", 50_000)


def bone(name: str, *q: float) -> bytes:
    return osc_message("/VMC/Ext/Bone/Pos", "sfffffff", name, 0.0, 0.0, 0.0, *q)


OK = osc_message("/VMC/Ext/OK", "i", 1)
HEAD = Rotation.from_euler("y", 30, degrees=True)


def pose() -> Pose:
    source = take(1)
    return Pose(rotations=source.rotations[0], root=source.root[0])


def test_what_we_send_is_what_we_receive() -> None:
    """Our own performer stream, through the receiver, is the pose that was sent."""
    upstream, sent = VmcInput(clock=ManualTime()), pose()
    for datagram in encode_vmc(sent, 0.0):
        upstream.datagram_received(datagram, HERE)
    seen = upstream.sample()
    assert seen is not None
    assert set(BONES) - set(seen.bones) == {"upperChest"}  # folded: models without it are common
    for name in ("hips", "head", "leftLowerArm", "rightThumbMetacarpal", "leftLittleDistal"):
        ours = Rotation.from_quat(sent.rotations[BONE_INDEX[name]])
        assert (Rotation.from_quat(seen.bones[name]).inv() * ours).magnitude() < 1e-3, name
    assert upstream.refused == 0


def test_a_tracker_has_the_head_and_we_have_the_arms() -> None:
    ours = pose()
    theirs = Upstream(
        bones={"head": tuple(HEAD.as_quat()), "leftUpperArm": (1.0, 0.0, 0.0, 0.0)},
        root=None,
        blends={},
    )
    got = mixed(ours, theirs)
    np.testing.assert_allclose(got.rotations[BONE_INDEX["head"]], HEAD.as_quat(), atol=1e-6)
    arms = [i for i, b in enumerate(BONES) if b.startswith(("left", "right"))]
    np.testing.assert_array_equal(got.rotations[arms], ours.rotations[arms])
    half = mixed(ours, theirs, parse_weights({"head": 0.5}))
    own = Rotation.from_quat(ours.rotations[BONE_INDEX["head"]])
    whole, part = (own.inv() * HEAD).magnitude(), Rotation.from_quat(half.rotations[5])
    assert (own.inv() * part).magnitude() == pytest.approx(whole / 2, abs=1e-3)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"rubbish",
        b"#bundle\0" + b"\0" * 7,
        b"#bundle\0\0\0\0\0\0\0\0\1\xff\xff\xff\xff",
        bone("Head", math.nan, 0.0, 0.0, 1.0),
        bone("Head", math.inf, 0.0, 0.0, 1.0),
        bone("Head", 0.0, 0.0, 0.0, 0.0),
        osc_message("/VMC/Ext/Bone/Pos", "sf", "Head", 1.0),
        osc_message("/VMC/Ext/Bone/Pos", "ssssssss", *("Head",) * 8),
        osc_message("/VMC/Ext/Blend/Val", "sf", "A", math.nan),
        osc_message("/VMC/Ext/Blend/Val", "si", "A", 1),
        osc_message("/VMC/Ext/Blend/Val", "sf", "A" * 1000, 1.0),
        osc_message("/VMC/Ext/Root/Pos", "s", "root"),
    ],
)
def test_what_cannot_be_used_is_counted_and_changes_nothing(datagram: bytes) -> None:
    upstream = VmcInput(clock=ManualTime())
    for data in (bone("Head", 0.0, 0.0, 0.0, 1.0), OK):
        upstream.datagram_received(data, HERE)
    before = upstream.sample()
    upstream.datagram_received(datagram, HERE)
    upstream.datagram_received(OK, HERE)
    assert upstream.refused == 1
    assert upstream.sample() is before


def test_a_flood_is_not_read_and_names_are_bounded() -> None:
    upstream = VmcInput(clock=ManualTime())
    for n in range(MOST_A_SECOND + 50):
        data = osc_message("/VMC/Ext/Blend/Val", "sf", f"b{n}", 0.5)
        upstream.datagram_received(data, HERE)
    assert upstream.refused == 50
    upstream._second = -math.inf
    upstream.datagram_received(OK, HERE)
    seen = upstream.sample()
    assert seen is not None
    assert len(seen.blends) == 256


async def test_held_back_by_the_lag_and_gone_after_a_second() -> None:
    clock = ManualTime()
    upstream = VmcInput(clock=clock, delay_s=0.3)
    for n in range(10):  # ten poses, 0.1 s apart
        upstream.datagram_received(bone("Head", 0.0, n / 20, 0.0, 1.0), HERE)
        upstream.datagram_received(OK, HERE)
        await clock.advance(0.1)
    seen = upstream.sample()
    assert seen is not None
    y = abs(seen.bones["head"][1] / seen.bones["head"][3])
    assert y == pytest.approx(7 / 20, abs=0.051), "that of 0.3 s ago, not the newest"
    await clock.advance(1.5)
    assert upstream.sample() is None


def test_only_the_named_machine_may_send() -> None:
    upstream = VmcInput(clock=ManualTime(), sender="192.168.1.7")
    for address, refused in ((("192.168.1.8", 1), 1), (("192.168.1.7", 1), 1), (HERE, 1)):
        upstream.datagram_received(bone("Head", 0.0, 0.0, 0.0, 1.0), address)
        assert upstream.refused == refused


async def test_it_listens_on_loopback_and_says_when_it_cannot() -> None:
    upstream = VmcInput(clock=ManualTime())
    port = await upstream.listen(0)
    assert upstream._transport is not None
    assert upstream._transport.get_extra_info("sockname")[0] == "127.0.0.1"
    with pytest.raises(UsageError, match=f"--vmc-in {port}: the UDP port cannot be used"):
        await VmcInput(clock=ManualTime()).listen(port)
    await upstream.aclose()


def test_an_assistant_sends_arms_and_hands_alone() -> None:
    datagrams = VmcEncoder(VmcRig.standard(), role="assistant")(pose(), 1.0)
    messages = [m for d in datagrams for m in decode(d)]
    names = [m.values[0] for m in messages if m.address == "/VMC/Ext/Bone/Pos"]
    assert len(names) == len(set(names)) == 38
    assert all(n.startswith(("Left", "Right")) for n in names)
    assert not any(part in n for n in names for part in ("Leg", "Foot", "Eye"))
    assert {m.address for m in messages} == {"/VMC/Ext/Bone/Pos", "/VMC/Ext/OK", "/VMC/Ext/T"}
    assert [m.address for m in messages[-2:]] == ["/VMC/Ext/OK", "/VMC/Ext/T"]
    arm = next(m for m in messages if m.values[0] == "LeftLowerArm")
    x, y, z, w = pose().rotations[BONE_INDEX["leftLowerArm"]]
    np.testing.assert_allclose(arm.values[4:], (x, -y, -z, w), atol=1e-5)


def test_expressions_and_root_go_along_before_the_frame_ends() -> None:
    encode = VmcEncoder(VmcRig.standard())
    blends = {f"Expression{n:02}": n / 64 for n in range(64)}
    root = ((0.5, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0))
    datagrams = encode(pose(), 1.0, root=root, blends=blends)
    assert max(map(len, datagrams)) <= 1200
    messages = [m for d in datagrams for m in decode(d)]
    values = {m.values[0]: m.values[1] for m in messages if m.address == "/VMC/Ext/Blend/Val"}
    assert values == pytest.approx(blends)
    order = [m.address.removeprefix("/VMC/Ext/") for m in messages]
    assert order.count("Blend/Apply") == 1
    assert max(i for i, a in enumerate(order) if a == "Blend/Val") < order.index("Blend/Apply")
    assert order.index("Blend/Apply") < order.index("OK") < order.index("T") == len(order) - 1
    assert order[0] == "Root/Pos"
    assert messages[0].values == ("root", *root[0], *root[1])
    receiver = Receiver()  # the strict one takes all the rest as before
    for datagram in datagrams:
        if "Blend" not in decode(datagram)[-1].address:
            receiver.take(datagram)
    assert len(receiver.frames) == 1


async def test_mixed_into_the_stream_over_real_sockets() -> None:
    """A tracker turns the head; the receiver gets its head, our arms, its expressions."""
    clock = ManualTime()
    upstream = VmcInput(clock=clock)
    port = await upstream.listen(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as app:
        app.bind(("127.0.0.1", 0))
        app.setblocking(False)
        sink = VmcSink(*app.getsockname(), upstream=upstream, clock=clock)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tracker:
            for data in (
                bone("Head", *HEAD.as_quat()),
                osc_message("/VMC/Ext/Blend/Val", "sf", "A", 0.75),
                OK,
            ):
                tracker.sendto(data, ("127.0.0.1", port))
        await clock.settle()
        assert upstream.sample() is not None
        source = take(3)
        await sink.send(frame(source, 0))
        sink.tick()
        got = {}
        loop = asyncio.get_running_loop()
        while "/VMC/Ext/T" not in got:
            for m in decode(await asyncio.wait_for(loop.sock_recv(app, 4096), 5)):
                got.setdefault(m.address, []).append(m.values)
        bones = {v[0]: v[4:] for v in got["/VMC/Ext/Bone/Pos"]}
        x, y, z, w = HEAD.as_quat()
        sign = np.sign(np.dot(bones["Head"], (x, y, z, w)))
        np.testing.assert_allclose(np.array(bones["Head"]) * sign, (x, y, z, w), atol=1e-5)
        x, y, z, w = source.rotations[0][BONE_INDEX["leftLowerArm"]]
        np.testing.assert_allclose(bones["LeftLowerArm"], (x, -y, -z, w), atol=1e-5)
        assert got["/VMC/Ext/Blend/Val"] == [("A", 0.75)]
        await sink.aclose()
    await upstream.aclose()


@pytest.mark.parametrize("values", [{"tail": 1.0}, {"head": 2.0}, {"head": True}, {"head": "x"}])
def test_weights_that_do_not_fit(values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="VMC mix"):
        parse_weights(values)
