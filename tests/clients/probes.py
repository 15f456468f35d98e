"""The client cores without their engines: compiled once, run as programs.

Each prints what it decoded or showed, one line each; `Probe` reads that back.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.support import require
from tests.web_modules import build_package, tool
from tests.web_modules import run as run_web

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UNITY = ROOT / "clients" / "unity"
WEB = ROOT / "clients" / "web"
UNREAL = ROOT / "clients" / "unreal" / "Source" / "GestureStreamer"
BUILT = ROOT / "tests" / "artifacts" / "clients"
GOLDEN = ROOT / "clients" / "golden"

CXX = ["g++", "-std=c++17", "-fno-exceptions", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
STRICT = ["-O1", "-Wshadow", "-Wconversion"]
# C# 7.2 is older than what any Unity of the last years compiles.
CSC = ["mcs", "-langversion:7.2", "-warnaserror"]

CLIENTS = ("python", "unity", "unreal")
ALL = (*CLIENTS, "web")
"""Those that hold the beat alike to 1e-5, and the npm package, which plays back its own way."""
GOLDEN_STREAMS = ("gesture.v1.json.jsonl", "gesture.v1.bin.golden")


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame as a probe prints it; `connection` counts hellos."""

    seq: int
    index: int
    sample: int
    state: str
    reset: bool
    connection: int
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Report:
    """What a probe printed: frames, other lines, and the summary of a live run."""

    frames: list[Frame]
    lines: list[str]
    summary: dict[str, Any]


def parse(output: str) -> Report:
    """Read a probe's output."""
    frames, lines, summary, connection = list[Frame](), list[str](), dict[str, Any](), 0
    for line in output.splitlines():
        if line.startswith("summary "):
            summary = json.loads(line.removeprefix("summary "))
            continue
        connection += line.startswith("hello ")
        if not line.startswith("frame "):
            lines.append(line)
            continue
        _, seq, index, sample, state, reset, *rest = line.split(" ")
        starts = [i for i, word in enumerate(rest) if word[0].isalpha()]
        arrays = {
            rest[a]: np.array(rest[a + 1 : b], np.float64).astype(np.float32)
            for a, b in zip(starts, [*starts[1:], len(rest)], strict=True)
        }
        frames.append(
            Frame(int(seq), int(index), int(sample), state, reset == "1", connection, arrays)
        )
    return Report(frames, lines, summary)


def command(client: str) -> list[str]:
    """Return how to start a client's probe; skips where it cannot be built."""
    match client:
        case "python":
            return [sys.executable, str(HERE / "python_probe.py")]
        case "unity":
            return ["mono", str(unity_probe())]
        case "unreal":
            return [str(unreal_probe())]
        case "web":
            return [node(), str(HERE / "web_probe.mjs"), str(web_package())]
        case _:
            raise AssertionError(client)


def run(client: str, *args: str | Path, given: str | None = None) -> str:
    """Run a probe to its end and return what it printed."""
    return execute([*command(client), *map(str, args)], given)


def execute(line: Sequence[str], given: str | None = None) -> str:
    """Run a program that must succeed."""
    done = subprocess.run(line, input=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    return done.stdout


async def watch(
    client: str, url: str, subprotocol: str, seconds: float
) -> asyncio.subprocess.Process:
    """Start a probe that watches a server."""
    return await asyncio.create_subprocess_exec(
        *command(client), "live", url, subprotocol, str(seconds),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip


def need_mono() -> None:
    """Skip without Mono."""
    found = all(map(shutil.which, ("mcs", "mono")))
    require(found, "needs Mono for the Unity client: apt-get install mono-mcs mono-runtime")


@cache
def unity_probe() -> Path:
    """Compile the engine-independent C# and its probe."""
    need_mono()
    sources = [*UNITY.glob("Runtime/Core/*.cs"), *UNITY.glob("Runtime/Net/*.cs")]
    return _build("unity.exe", CSC, [*sources, HERE / "unity" / "Probe.cs"], prefix="-out:")


@cache
def unity_thin() -> Path:
    """Compile everything of the package against the stand-ins."""
    need_mono()
    sources = [
        *UNITY.glob("Runtime/*/*.cs"),
        *UNITY.glob("Editor/*.cs"),
        *UNITY.glob("Samples~/*/*.cs"),
    ]
    ours = [HERE / "unity" / "UnityStandIns.cs", HERE / "unity" / "Thin.cs"]
    # Unity's own fields are set by its editor, which the compiler cannot know.
    return _build("thin.exe", [*CSC, "-nowarn:649"], [*sources, *ours], prefix="-out:")


def need_compiler() -> None:
    """Skip without a C++ compiler."""
    require(shutil.which("g++") is not None, "needs g++ for the Unreal client: apt-get install g++")


@cache
def unreal_probe() -> Path:
    """Compile the header-only core and its probe."""
    need_compiler()
    require(sys.platform != "win32", "the Unreal probe's WebSocket needs POSIX sockets")
    line = [*CXX, *STRICT, f"-I{UNREAL / 'Public'}"]
    headers = [*UNREAL.glob("Public/gesture/*.hpp"), HERE / "unreal" / "websocket.hpp"]
    return _build("unreal", line, [HERE / "unreal" / "probe.cpp"], also=headers)


@cache
def unreal_live_link() -> Path:
    """Compile the Live Link source against the stand-ins."""
    need_compiler()
    stand_ins = HERE / "unreal" / "stand_ins"
    # Unreal's own macros and interfaces leave parameters unused.
    line = [*CXX, "-Wno-unused-parameter", f"-I{UNREAL / 'Public'}", f"-I{UNREAL / 'Private'}"]
    also = [*UNREAL.rglob("*.h"), *UNREAL.rglob("*.hpp"), *stand_ins.rglob("*.h")]
    sources = [HERE / "unreal" / "live_link.cpp", *UNREAL.glob("Private/*.cpp")]
    return _build("live_link", [*line, f"-I{stand_ins}"], sources, also=also)


@cache
def node() -> str:
    """Return Node itself: what is in the path may be a program that starts it."""
    version, path = run_web(
        [tool("node"), "-p", "process.versions.node + ' ' + process.execPath"]
    ).stdout.split(maxsplit=1)
    require(int(version.split(".")[0]) >= 22, f"needs Node.js >= 22, here is {version}")
    return path.strip()


@cache
def web_package() -> Path:
    """Build the npm package; its probe runs on Node's own WebSocket."""
    sources = [*WEB.glob("src/*.ts"), *WEB.glob("src/engine/*.ts"), *WEB.glob("src/package/*.ts")]
    digest = hashlib.sha256()
    for path in sorted([*sources, *WEB.glob("package/*")]):
        digest.update(path.name.encode() + path.read_bytes())
    folder = BUILT / digest.hexdigest()[:16] / "package"
    if not folder.exists():
        fresh = folder.with_name(f"new-{os.getpid()}")
        build_package(fresh)
        fresh.replace(folder)
    return folder


def golden_json() -> list[dict]:
    """Return what the golden JSON stream holds, by the standard library's reader."""
    return [
        json.loads(line) for line in (GOLDEN / GOLDEN_STREAMS[0]).read_text("utf-8").splitlines()
    ]


def quaternions(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return random rotations [count, 4]."""
    q = rng.normal(size=(count, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def _build(
    name: str,
    line: list[str],
    sources: Sequence[Path],
    *,
    also: Sequence[Path] = (),
    prefix: str = "",
) -> Path:
    """Compile unless the same sources were compiled before."""
    digest = hashlib.sha256(repr(line).encode())
    for path in sorted({*sources, *also}):
        digest.update(path.name.encode() + path.read_bytes())
    program = BUILT / digest.hexdigest()[:16] / name
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        fresh = program.with_name("new-" + name)
        output = [f"{prefix}{fresh}"] if prefix else ["-o", str(fresh)]
        execute([*line, *map(str, sorted(sources)), *output])
        fresh.replace(program)
    return program
