import dataclasses
import socket
from pathlib import Path

import numpy as np
import pytest
from pythonosc.osc_message_builder import OscMessageBuilder

from streamer.avatar import read_avatar
from streamer.comfort_settings import Settings, as_mapping
from streamer.errors import InputError, UsageError
from streamer.humanoid import BONES
from streamer.osc_control import OscControl, parse_control
from streamer.profiles import ProfileStore
from streamer.steering import Steering
from tests.takes import frame, take
from tests.vrm import glb, humanoid_nodes, vrm1


def message(address: str, *values: object) -> bytes:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build().dgram


def test_control_answers_with_everything_in_effect() -> None:
    steering = Steering(profiles=None)
    assert steering.control({}) == as_mapping(Settings())
    done = steering.control({"amplitude": 0.5, "still": True})
    assert done == as_mapping(Settings(amplitude=0.5, still=True))
    assert steering.control({"profile": "neutral"}) == as_mapping(Settings())


def test_a_wrong_name_or_value_changes_nothing() -> None:
    steering = Steering(profiles=None)
    for wanted in (
        {"amplitude": 0.5, "nonsense": 1},
        {"amplitude": 0.5, "trigger": "backflip"},
        {"amplitude": 0.5, "profile": "erase"},
        {"amplitude": 50},
    ):
        with pytest.raises(UsageError):
            steering.control(wanted)
        assert steering.in_effect() == as_mapping(Settings())


def test_a_trigger_shows_in_the_frames() -> None:
    steering, source = Steering(profiles=None), take(30)
    given = frame(source, 0)
    assert steering.apply(given) is given
    steering.control({"trigger": "wave"})
    shown = [steering.apply(frame(source, n)) for n in range(1, 16)][-1]
    arm = BONES.index("rightUpperArm")
    assert abs((shown.rotations[arm] * source.rotations[15][arm]).sum()) < 0.99
    head = BONES.index("head")
    np.testing.assert_array_equal(shown.rotations[head], source.rotations[15][head])


def test_profiles_follow_the_avatar(tmp_path: Path) -> None:
    path = tmp_path / "me.vrm"
    path.write_bytes(glb(vrm1(humanoid_nodes())))
    avatar, store = read_avatar(path), ProfileStore(tmp_path / "profiles")
    steering = Steering(profiles=store)
    steering.control({"amplitude": 0.6, "still": True, "profile": "save"})
    assert steering.set_avatar(avatar)["amplitude"] == 1.0
    steering.control({"torso_radius": 0.2, "profile": "save"})
    assert steering.set_avatar(None)["amplitude"] == 0.6
    again = steering.set_avatar(avatar)
    assert (again["torso_radius"], again["still"]) == (0.2, True), (
        "still is of the moment: it stays"
    )
    assert Steering(profiles=store, avatar=avatar).in_effect()["torso_radius"] == 0.2


def test_osc_messages_become_settings() -> None:
    assert parse_control(message("/gesture/amplitude", 0.5)) == {"amplitude": 0.5}
    assert parse_control(message("/gesture/amplitude", 1)) == {"amplitude": 1.0}
    assert parse_control(message("/gesture/still", 1)) == {"still": True}
    assert parse_control(message("/gesture/still", False)) == {"still": False}
    assert parse_control(message("/gesture/trigger", "nod")) == {"trigger": "nod"}
    assert parse_control(message("/avatar/parameters/X", 1.0)) == {}


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"/gesture",
        b"\xff" * 40,
        b"x" * 5_000,
        message("/gesture/still"),
        message("/gesture/left", 1.0, 2.0),
    ],
)
def test_osc_that_is_none(datagram: bytes) -> None:
    with pytest.raises(InputError):
        parse_control(datagram)


async def test_settings_over_a_real_port_and_a_flood() -> None:
    steering, told = Steering(profiles=None), []
    osc = OscControl(steering.control, told.append)
    port = await osc.listen(0)
    osc.datagram_received(message("/gesture/energy", 0.5), ("127.0.0.1", 1))
    assert told[-1]["energy"] == 0.5
    osc.datagram_received(b"rubbish", ("127.0.0.1", 1))
    osc.datagram_received(message("/gesture/energy", 99.0), ("127.0.0.1", 1))
    assert osc.refused == 2
    for _ in range(1_000):
        osc.datagram_received(message("/gesture/energy", 0.7), ("127.0.0.1", 1))
    assert len(told) <= 401, "200 a second, and a second may turn"
    with pytest.raises(UsageError, match="--osc-in"):
        await OscControl(steering.control, told.append).listen(port)
    await osc.aclose()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))


def test_frames_keep_what_settings_do_not_touch() -> None:
    steering = Steering(profiles=None)
    steering.control({"amplitude": 0.0})
    given = frame(take(3), 1)
    shown = steering.apply(given)
    same = ("index", "sample", "state", "reset", "captured_at", "emitted_at")
    assert all(getattr(shown, name) == getattr(given, name) for name in same)
    assert shown.positions is given.positions
    assert dataclasses.fields(shown) == dataclasses.fields(given)
