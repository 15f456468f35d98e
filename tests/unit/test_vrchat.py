"""What VRChat gets, read by the OSC decoder of the tests."""

import dataclasses
import socket

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.errors import UsageError
from streamer.humanoid import BONE_INDEX, BONES
from streamer.sinks.chatbox import (
    BUCKET,
    BUCKET_S,
    INTERIM_S,
    LONGEST,
    Captions,
    split,
    tail,
    units,
)
from streamer.sinks.vrchat import VrchatSink
from streamer.sinks.vrchat_encoding import (
    STEP,
    ParameterEncoder,
    active,
    chatbox,
    parameters,
    trackers,
    typing,
    unity_euler,
)
from streamer.types import Event
from tests.evmc4u import decode
from tests.support import ManualTime
from tests.takes import frame, take

REST = np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1))


def posed(**turns: tuple[str, float]) -> np.ndarray:
    """Return rest with some bones turned: axis and degrees."""
    out = REST.copy()
    for bone, (axis, degrees) in turns.items():
        out[BONE_INDEX[bone]] = Rotation.from_euler(axis, [degrees], degrees=True).as_quat().ravel()
    return out


def test_golden_bytes() -> None:
    want = "2f63686174626f782f696e7075740000 2c73544600000000 68690000"
    assert chatbox("hi").hex() == want.replace(" ", "")
    assert typing(True).hex() == "2f63686174626f782f747970696e67002c540000"
    assert active(False) == b"/avatar/parameters/Gesture/Active\0\0\0,F\0\0"


def test_121_bits_with_exact_types() -> None:
    values = parameters(REST)
    messages = decode(ParameterEncoder()(values) or b"")
    kinds = {m.address.rsplit("/", 1)[-1]: m.types for m in messages}
    assert kinds.pop("Active") == "T"
    assert set(kinds.values()) == {"f"}
    assert 8 * len(kinds) + 1 == 121
    assert all(m.address.startswith("/avatar/parameters/Gesture/") for m in messages)


def test_parameters_of_known_poses() -> None:
    rest = parameters(REST)
    assert rest["L_ArmX"] == rest["L_ArmY"] == rest["L_Elbow"] == rest["L_WristRoll"] == 0
    assert rest["L_HandOpen"] == rest["R_HandOpen"] == 1
    down = parameters(posed(leftUpperArm=("z", -90), rightUpperArm=("z", 90)))
    assert down["L_ArmY"] == pytest.approx(-1, abs=0.01)
    assert down["R_ArmY"] == pytest.approx(-1, abs=0.01)
    ahead = parameters(posed(leftUpperArm=("y", -90), rightUpperArm=("y", 90)))
    assert ahead["L_ArmX"] == pytest.approx(1, abs=0.01)
    assert ahead["R_ArmX"] == pytest.approx(1, abs=0.01)
    bent = parameters(posed(leftLowerArm=("y", -75), rightLowerArm=("y", 75)))
    assert bent["L_Elbow"] == bent["R_Elbow"] == pytest.approx(0.5, abs=0.01)
    rolled = parameters(posed(leftHand=("x", 45), rightLowerArm=("x", -45)))
    assert rolled["L_WristRoll"] == pytest.approx(0.5, abs=0.01)
    assert rolled["R_WristRoll"] == pytest.approx(-0.5, abs=0.01)
    body = parameters(posed(hips=("y", 22.5), head=("x", -22.5), spine=("x", 0)))
    assert body["Chest_Yaw"] == pytest.approx(0.5, abs=0.01)
    assert body["Head_Nod"] == pytest.approx(0.5, abs=0.01)


def test_a_fist_and_a_pointing_hand() -> None:
    fist = REST.copy()
    for finger in ("Index", "Middle", "Ring", "Little"):
        for joint in ("Proximal", "Intermediate"):
            turn = Rotation.from_euler("z", [-80], degrees=True).as_quat().ravel()
            fist[BONE_INDEX[f"left{finger}{joint}"]] = turn
    values = parameters(fist)
    assert values["L_HandOpen"] == pytest.approx(0, abs=0.01)
    assert values["L_Point"] == 0
    pointing = fist.copy()
    for joint in ("Proximal", "Intermediate"):
        pointing[BONE_INDEX[f"leftIndex{joint}"]] = (0, 0, 0, 1)
    values = parameters(pointing)
    assert values["L_Point"] == pytest.approx(1, abs=0.01)
    assert values["R_HandOpen"] == 1


def test_any_pose_stays_in_range_and_a_mirrored_one_swaps_sides() -> None:
    for rotations in take(60, seed=3).rotations:
        values = parameters(rotations)
        assert len(values) == 15
        assert all(-1 <= v <= 1 for v in values.values())
        mirrored = rotations * np.array([1, -1, -1, 1], np.float32)
        for i, bone in enumerate(BONES):
            if bone.startswith("left"):
                j = BONE_INDEX[bone.replace("left", "right")]
                mirrored[[i, j]] = mirrored[[j, i]]
        other = parameters(mirrored)
        for name, value in values.items():
            swapped = {"L_": "R_", "R_": "L_"}.get(name[:2], name[:2]) + name[2:]
            sign = -1 if name == "Chest_Yaw" else 1
            if "Wrist" not in name or abs(value) < 0.99:  # a full roll is clamped on both ends
                assert other[swapped] == pytest.approx(sign * value, abs=2e-3), name


def test_only_what_moved_is_sent() -> None:
    encode, values = ParameterEncoder(), parameters(REST)
    assert len(decode(encode(values) or b"")) == 16
    assert encode(values) is None
    assert encode({**values, "L_Elbow": 0.9 * STEP}) is None
    (message,) = decode(encode({**values, "L_Elbow": 1.1 * STEP}) or b"")
    assert message.address.endswith("/L_Elbow")
    # slow drift is not lost: it counts from what was told
    assert encode({**values, "L_Elbow": 1.9 * STEP}) is None
    assert encode({**values, "L_Elbow": 2.2 * STEP}) is not None
    encode.forget()
    assert len(decode(encode(values) or b"")) == 16


def test_euler_angles_are_unitys() -> None:
    """q = qY qX qZ, against scipy's intrinsic YXZ."""
    for q in Rotation.random(200, random_state=1).as_quat():
        y, x, z = Rotation.from_quat(q).as_euler("YXZ", degrees=True)
        np.testing.assert_allclose(unity_euler(q.tolist()), (x, y, z), atol=1e-3)


def test_trackers_are_metres_of_the_users_height() -> None:
    tall = {m.address: m.values for m in decode(trackers(REST, np.zeros(3, np.float32), 1.8))}
    small = {m.address: m.values for m in decode(trackers(REST, np.zeros(3, np.float32), 0.9))}
    assert set(tall) == {
        f"/tracking/trackers/{n}/{kind}" for n in (1, 6, 7, 8) for kind in ("position", "rotation")
    }
    for address, values in tall.items():
        if address.endswith("position"):
            np.testing.assert_allclose(values, 2 * np.array(small[address]), rtol=1e-5)
    assert 0.9 < tall["/tracking/trackers/1/position"][1] < 1.1
    assert tall["/tracking/trackers/7/position"][0] < 0, "the left is at -X in Unity"


@pytest.fixture
def vrchat() -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.settimeout(5)
    yield udp
    udp.close()


async def test_over_a_real_socket(vrchat: socket.socket) -> None:
    clock = ManualTime()
    sink, source = VrchatSink(*vrchat.getsockname(), clock=clock), take(60)
    got = []
    for n in range(60):  # a frame each 1/60 s: more than VRChat is sent
        await sink.send(frame(source, n))
        await clock.advance(1 / 60)
    await sink.aclose()
    await sink.aclose()
    vrchat.setblocking(False)
    while True:
        try:
            got.append(decode(vrchat.recv(4096)))
        except BlockingIOError:
            break
    assert 14 <= len(got) <= 21
    assert {m.address for m in got[0]} >= {"/avatar/parameters/Gesture/Active"}
    assert got[-1][0].types == "F", "the avatar has its own arms again"


async def test_everything_is_told_again_after_a_while(vrchat: socket.socket) -> None:
    clock = ManualTime()
    sink = VrchatSink(*vrchat.getsockname(), clock=clock)
    still = frame(take(1), 0)
    for _ in range(8):
        await sink.send(still)
        await clock.advance(1.0)
    await sink.aclose()
    sizes = [len(decode(vrchat.recv(4096))) for _ in range(3)]
    assert sizes == [16, 16, 1]


async def test_vrchat_may_be_away_and_an_address_must_exist() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    clock = ManualTime()
    sink, source = VrchatSink(*address, clock=clock), take(20)
    for n in range(20):
        await sink.send(frame(source, n))
        await clock.advance(0.1)
    await sink.aclose()
    with pytest.raises(UsageError, match="--vrchat"):
        VrchatSink("no such host.invalid", 9000)


def test_captions_keep_the_limits() -> None:
    captions, sent, now = Captions(), [], 0.0
    for n in range(400):  # 40 s of interims, ten a second, and a final each 2 s
        captions.add(f"so this is word {n}", final=n % 20 == 19)
        while text := captions.next(now):
            sent.append((now, text))
        now += 0.1
    for _ in range(100):  # what still waits
        now += 0.1
        if text := captions.next(now):
            sent.append((now, text))
    times = [t for t, _ in sent]
    for i in range(len(times) - BUCKET):
        assert times[i + BUCKET] - times[i] >= BUCKET_S - 1e-9
    finals = [t for _, t in sent if t.endswith("9") and int(t.split()[-1]) % 20 == 19]
    assert finals == [f"so this is word {n}" for n in range(19, 400, 20)], "all, in order"
    assert len(sent) > len(finals), "and interims between"


def test_interims_are_the_newest_and_not_too_often() -> None:
    captions = Captions()
    captions.add("one", final=False)
    assert captions.next(0.0) == "one"
    captions.add("one two", final=False)
    captions.add("one two three", final=False)
    assert captions.next(1.0) is None
    assert captions.due(1.0) == pytest.approx(INTERIM_S - 1.0)
    assert captions.next(INTERIM_S) == "one two three"
    assert captions.due(2.0) is None
    captions.add("late", final=False)
    captions.add("Done.", final=True)
    assert captions.next(9.0) == "Done."
    assert captions.next(20.0) is None, "what was said before the end is not shown after it"


@pytest.mark.parametrize(
    "text",
    [
        "short",
        "One sentence. " * 30,
        "word " * 100,
        "x" * 500,
        "😀" * 200,
        "Ein Satz? Noch einer! " + "lang" * 60,
    ],
)
def test_pieces_fit_and_lose_nothing(text: str) -> None:
    pieces = split(" ".join(text.split()))
    assert all(0 < units(p) <= LONGEST for p in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert units(tail(text)) <= LONGEST
    assert tail("short") == "short"


def test_sentences_stay_whole_where_they_can() -> None:
    first, second = "A" + "a" * 80 + ".", "B" + "b" * 80 + "."
    assert split(f"{first} {second}") == [first, second]


async def test_captions_come_from_events(vrchat: socket.socket) -> None:
    sink = VrchatSink(*vrchat.getsockname(), captions=True, clock=ManualTime())
    for data in ({"text": "Hello there.", "final": True}, {"text": "", "final": True}):
        await sink.event(Event(kind="caption", sample=0, data=data))
    (message,) = decode(vrchat.recv(4096))
    assert (message.address, message.types) == ("/chatbox/input", "sTF")
    assert message.values[0] == "Hello there."
    await sink.aclose()
    await sink.event(Event(kind="caption", sample=0, data={"text": "late", "final": True}))


def test_frames_are_left_as_they_are() -> None:
    given = frame(take(2), 1)
    before = given.rotations.copy()
    parameters(given.rotations)
    trackers(given.rotations, given.root, 1.7)
    np.testing.assert_array_equal(given.rotations, before)
    assert dataclasses.is_dataclass(given)
