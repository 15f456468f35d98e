"""The options of everything that a stream goes to beside the page."""

import argparse
import ipaddress
from pathlib import Path
from typing import get_args

from streamer.config import (
    Mouth,
    VmcOptions,
    VrchatOptions,
    parse_milliseconds,
    parse_port,
    parse_positive,
)
from streamer.errors import UsageError


def add_outlets(parser: argparse.ArgumentParser) -> None:
    """Add where a stream goes."""
    parser.add_argument("--avatar", type=Path, metavar="FILE.vrm", help="avatar to show and send")
    add_bone_map(parser)
    parser.add_argument("--vmc", metavar="HOST:PORT", help="send to a VMC application")
    parser.add_argument(
        "--output-fps", type=parse_positive, default=60.0, metavar="FPS", help="of --vmc (60)"
    )
    parser.add_argument(
        "--record",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="record to .jsonl, .npz, .bvh, .vrma or .mp4; may be repeated",
    )
    parser.add_argument(
        "--vmc-role",
        choices=("performer", "assistant"),
        default="performer",
        help="assistant: arms and hands only, for a program that has the rest",
    )
    parser.add_argument(
        "--vmc-bundle",
        choices=("auto", "mtu", "full", "none"),
        default="auto",
        help="messages a datagram: auto and mtu below 1200 bytes, full a frame, none one",
    )
    parser.add_argument(
        "--vmc-in", type=parse_port, metavar="PORT", help="mix in a tracker that sends VMC here"
    )
    parser.add_argument("--vmc-from", metavar="IP", help="the tracker runs on this other machine")
    parser.add_argument(
        "--vmc-mix", type=Path, metavar="FILE.toml", help="bone = 0 (ours) to 1 (the tracker's)"
    )
    parser.add_argument(
        "--vmc-delay",
        type=parse_milliseconds,
        default=0.0,
        metavar="MS",
        help="hold the tracker back so that lips and hands agree",
    )
    parser.add_argument(
        "--vrchat", metavar="auto|HOST:PORT", help="send to VRChat, usually 127.0.0.1:9000"
    )
    parser.add_argument(
        "--vrchat-captions", action="store_true", help="show captions in VRChat's chatbox"
    )
    parser.add_argument(
        "--vrchat-trackers",
        type=parse_positive,
        metavar="HEIGHT",
        help="experimental: body trackers for your height in metres",
    )
    parser.add_argument(
        "--rokoko", metavar="HOST:PORT", help="send to Rokoko's plugins, usually 127.0.0.1:14043"
    )
    parser.add_argument(
        "--livelink-face",
        metavar="HOST:PORT",
        help="send head and face to Unreal, usually 127.0.0.1:11111",
    )
    add_osc_in(parser)
    add_mouth(parser)


def add_bone_map(parser: argparse.ArgumentParser) -> None:
    """Add `--bone-map`."""
    parser.add_argument(
        "--bone-map",
        type=Path,
        metavar="FILE.toml",
        help="names and axes of a rig that is no VRM, for VMC and recordings",
    )


def add_osc_in(parser: argparse.ArgumentParser) -> None:
    """Add `--osc-in`."""
    parser.add_argument(
        "--osc-in", type=parse_port, metavar="PORT", help="take settings by OSC on this port"
    )


def add_mouth(parser: argparse.ArgumentParser) -> None:
    """Add `--mouth`."""
    parser.add_argument(
        "--mouth",
        choices=get_args(Mouth),
        default="auto",
        help="mouth and lids from the voice: auto on the page unless --vmc-in, "
        "on by VMC and VRChat too",
    )


def bone_map(told: argparse.Namespace) -> Path | None:
    """Return the bone map that was told; raises `UsageError` where nobody could use it."""
    if told.bone_map is not None and told.vmc is None and not told.record:
        raise UsageError("--bone-map is for --vmc and --record; the page shows a .vrm (--avatar)")
    return told.bone_map


def vmc_options(told: argparse.Namespace) -> VmcOptions:
    """Return how VMC is spoken; raises `UsageError` where options clash."""
    heard = (told.vmc_from, told.vmc_mix)
    unmet = told.vmc_role == "assistant" or told.vmc_bundle != "auto"
    if told.vmc is None and (told.vmc_in is not None or unmet):
        raise UsageError(
            "--vmc-in, --vmc-role and --vmc-bundle need a program to send to: --vmc HOST:PORT"
        )
    if told.vmc_in is None and (any(v is not None for v in heard) or told.vmc_delay):
        raise UsageError("--vmc-from, --vmc-mix and --vmc-delay need --vmc-in PORT")
    if told.vmc_in is not None and told.vmc_in == 0:
        raise UsageError("--vmc-in 0: the tracker must be told a port, usually 39540")
    if told.vmc_from is not None:
        try:
            ipaddress.IPv4Address(told.vmc_from)
        except ValueError as error:
            raise UsageError(
                f"--vmc-from {told.vmc_from}: expected an IPv4 address, as 192.168.1.7"
            ) from error
    return VmcOptions(
        role=told.vmc_role,
        bundle="mtu" if told.vmc_bundle == "auto" else told.vmc_bundle,
        listen=told.vmc_in,
        sender=told.vmc_from,
        mix=told.vmc_mix,
        delay_ms=told.vmc_delay,
    )


def vrchat_options(told: argparse.Namespace) -> VrchatOptions | None:
    """Return how VRChat is spoken to, None for not at all; raises `UsageError`."""
    if told.vrchat is None:
        if told.vrchat_captions or told.vrchat_trackers is not None:
            raise UsageError("--vrchat-captions and --vrchat-trackers need --vrchat HOST:PORT")
        return None
    from streamer.sinks.vmc import parse_target

    host, port = ("auto", 0)
    if told.vrchat != "auto":
        host, port = parse_target(told.vrchat, option="--vrchat", usual=9000)
    height = told.vrchat_trackers
    if height is not None and not 0.5 <= height <= 3:
        raise UsageError(f"--vrchat-trackers {height:g}: your height in metres, 0.5 to 3")
    return VrchatOptions(host=host, port=port, captions=told.vrchat_captions, height=height)


def vmc_target(text: str | None) -> tuple[str, int] | None:
    """Return the address of `--vmc`, None for none."""
    if text is None:
        return None
    from streamer.sinks.vmc import parse_target

    return parse_target(text)


def target(option: str, text: str | None, usual: int) -> tuple[str, int] | None:
    """Return the address of another option, None for none; raises `UsageError`."""
    if text is None:
        return None
    from streamer.sinks.vmc import parse_target

    return parse_target(text, option=option, usual=usual)
