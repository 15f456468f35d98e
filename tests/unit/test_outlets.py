"""What was asked for is what is opened; a dropped avatar is the one that is sent for."""

import socket
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.avatar import read_avatar
from streamer.config import ReplayConfig, VmcOptions, VrchatOptions
from streamer.errors import UsageError
from streamer.options import live_config, parse, replay_config
from streamer.outlets import makes_face, open_outlets, retarget
from tests.evmc4u import Receiver
from tests.serving import make_frame
from tests.vrm import glb, humanoid_nodes, vrm1

NOWHERE = ("127.0.0.1", 9)


async def opened(config: ReplayConfig) -> list[str]:
    async with AsyncExitStack() as stack:
        sinks = await open_outlets(stack, config, rig=None, fps=15.0, clock=time.perf_counter)
        names = [sink.name for sink in sinks]
        for sink in sinks:
            await sink.aclose()
    return names


async def test_every_outlet_that_was_asked_for_and_no_other() -> None:
    config = ReplayConfig(recording=Path("a.jsonl"))
    assert await opened(config) == []
    whole = replace(
        config,
        vmc=NOWHERE,
        vrchat=VrchatOptions(host="127.0.0.1", port=9),
        rokoko=NOWHERE,
        livelink_face=NOWHERE,
    )
    kinds = [name.split()[0] for name in await opened(whole)]
    assert kinds == ["vmc", "vrchat", "rokoko", "livelink-face"]


@pytest.mark.parametrize(
    ("mouth", "tracker", "made"),
    [
        ("auto", None, True),
        ("auto", 39540, False),  # a tracker has a better face
        ("on", 39540, True),
        ("off", None, False),
    ],
)
def test_who_gets_a_face(mouth, tracker, made) -> None:
    assert makes_face(mouth, VmcOptions(listen=tracker)) is made


async def test_a_dropped_avatar_is_the_one_that_is_sent_for(tmp_path: Path) -> None:
    nodes = humanoid_nodes()
    nodes[0]["translation"] = [0, 1.31, 0]
    (tmp_path / "a.vrm").write_bytes(glb(vrm1(nodes)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.bind(("127.0.0.1", 0))
        inbox.settimeout(5)
        config = ReplayConfig(recording=Path("a.jsonl"), vmc=inbox.getsockname(), rokoko=NOWHERE)
        async with AsyncExitStack() as stack:
            sinks = await open_outlets(stack, config, rig=None, fps=15.0, clock=lambda: 5.0)
            await sinks[0].send(make_frame(0))
            heights = []
            for avatar in (None, read_avatar(tmp_path / "a.vrm"), None):
                retarget(sinks, avatar)
                sinks[0].tick()
                receiver = Receiver()
                while not receiver.frames:
                    receiver.take(inbox.recv(2048))
                heights.append(receiver.frames[0].bones["Hips"][1] - float(make_frame(0).root[1]))
            for sink in sinks:
                await sink.aclose()
    assert heights[0] == heights[2] == pytest.approx(0.95, abs=0.02)
    assert heights[1] > 1.25


def test_options_become_outlets() -> None:
    told = ["live", "--vmc", "127.0.0.1:39539", "--vmc-bundle", "none", "--mouth", "on"]
    told += ["--rokoko", "127.0.0.1:14043", "--livelink-face", "[::1]:11111"]
    config = live_config(parse([*told, "--bone-map", "a.toml"]))
    assert config.vmc_options.bundle == "none"
    assert config.rokoko == ("127.0.0.1", 14043)
    assert config.livelink_face == ("::1", 11111)
    assert (config.mouth, config.bone_map) == ("on", Path("a.toml"))
    assert live_config(parse(["live", "--vmc", "127.0.0.1:1"])).vmc_options.bundle == "mtu"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--bone-map", "a.toml"], "--vmc and --record"),
        (["--vmc-bundle", "full"], "--vmc HOST:PORT"),
        (["--rokoko", "14043"], "--rokoko 14043: expected HOST:PORT"),
        (["--livelink-face", "::1:11111"], r"\[::1\]:11111"),
        (["--mouth", "wide"], "--mouth"),
    ],
)
def test_options_that_clash_are_one_line(words: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        live_config(parse(["live", *words]))
    with pytest.raises(UsageError, match=reason):
        replay_config(parse(["replay", "a.jsonl", *words]))
