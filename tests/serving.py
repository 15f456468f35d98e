"""What the tests of the server share: frames, a header, a server on loopback."""

import asyncio
import hashlib
import json
import shutil
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from streamer.clock import FrameClock
from streamer.errors import InputError
from streamer.humanoid import BONES, PARENTS, REST_OFFSETS
from streamer.server import Server, ServerConfig
from streamer.types import Hello, Latency, SkeletonFrame
from tests.support import require

JOINTS = ("pelvis", "neck", "wrist")
DIRECTIONS = ("pelvis>neck", "neck>wrist")
FPS = 15
TOKEN = "correct-horse-battery"
HELLO = Hello(
    session="local",
    version="0.1.0",
    model="test",
    backend="none",
    fps=float(FPS),
    lookahead=2,
    bones=BONES,
    parents=PARENTS,
    rest=REST_OFFSETS,
    joints=JOINTS,
    directions=DIRECTIONS,
    latency=Latency(algorithmic_ms=200.0, compute_ms=3.5, mic_to_wire_ms=9.25, visible_ms=310.0),
    avatar={},
)
_CLOCK = FrameClock(fps=FPS)


def make_frame(index: int, *, reset: bool = False, captured_at: float = 0.0) -> SkeletonFrame:
    """Return a frame whose numbers depend on its index alone."""
    rng = np.random.default_rng(index)
    rotations = rng.normal(size=(len(BONES), 4)).astype(np.float32)
    rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
    return SkeletonFrame(
        index=index,
        sample=_CLOCK.start(index),
        rotations=rotations,
        root=rng.normal(scale=0.05, size=3).astype(np.float32),
        positions=rng.normal(size=(len(JOINTS), 3)).astype(np.float32),
        directions=rng.normal(size=(len(DIRECTIONS), 3)).astype(np.float32),
        state=("idle", "listening", "speaking")[index % 3],
        reset=reset,
        captured_at=captured_at,
        emitted_at=captured_at,
    )


def make_glb(size: int = 4096, *, generator: str = "test") -> bytes:
    """Return a binary glTF of about this size: header, JSON chunk, binary chunk."""
    text = json.dumps({"asset": {"version": "2.0", "generator": generator}}).encode()
    text += b" " * (-len(text) % 4)
    blob = bytes(max(4, (size - 28 - len(text)) // 4 * 4))
    total = 12 + 8 + len(text) + 8 + len(blob)
    return (
        struct.pack("<4sII", b"glTF", 2, total)
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s", len(blob), b"BIN\0")
        + blob
    )


def check_glb(path: Path) -> None:
    """Stand in for the reader of avatars: the file must be as long as it says."""
    data = path.read_bytes()
    if struct.unpack_from("<I", data, 8)[0] != len(data):
        raise InputError(f"{path}: truncated glTF")


def announce(data: bytes, name: str = "mine.vrm") -> str:
    """Return the message that announces an avatar."""
    digest = hashlib.sha256(data).hexdigest()
    return json.dumps({"type": "avatar", "name": name, "size": len(data), "sha256": digest})


@asynccontextmanager
async def serving(tmp_path: Path, config: ServerConfig | None = None, **options: Any):
    """Run a server on a free port; yields it with its address."""
    config = config or ServerConfig()
    config = replace(
        config,
        port=0,
        avatars=tmp_path / "avatars",
        web=config.web if "web" in options else tmp_path / "web",
        mannequin=tmp_path / "mannequin.vrm",
    )
    options.pop("web", None)
    server = Server(config, **{"hello": lambda: HELLO, "check_avatar": check_glb, **options})
    url = await server.start()
    try:
        yield server, url
    finally:
        await server.aclose()


def ws_url(url: str, path: str = "/v1/watch") -> str:
    """Return the WebSocket address on a server."""
    return "ws" + url.removeprefix("http").rstrip("/") + path


@asynccontextmanager
async def viewer(
    url: str, subprotocol: str | None = None, **options: Any
) -> AsyncIterator[tuple[ClientConnection, dict[str, Any]]]:
    """Connect a viewer and read its hello."""
    subprotocols = [subprotocol] if subprotocol else None
    async with connect(ws_url(url), subprotocols=subprotocols, **options) as ws:
        yield ws, json.loads(await soon(ws.recv()))


@dataclass(frozen=True)
class Answer:
    """An HTTP response, header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


async def fetch(
    url: str, path: str = "", *, method: str = "GET", headers: dict[str, str] | None = None
) -> Answer:
    """Send one HTTP request as it stands: no normalising of paths, no redirects."""
    authority = url.removeprefix("http://").rstrip("/")
    host, port = authority.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    fields = {"Host": authority, **(headers or {})}
    lines = [f"{method} /{path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    head, _, body = (await soon(reader.read())).partition(b"\r\n\r\n")
    writer.close()
    status, *rest = head.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in rest)
    return Answer(int(status.split()[1]), {k.lower(): v for k, v in pairs}, body)


async def soon(awaitable: Any, seconds: float = 5.0) -> Any:
    """Await something that must not take long."""
    async with asyncio.timeout(seconds):
        return await awaitable


async def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait until a condition of the server holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to hold"
        await asyncio.sleep(0.005)


async def read(ws: ClientConnection) -> dict[str, Any]:
    """Return the next text message."""
    return json.loads(await soon(ws.recv()))


async def read_until(
    ws: ClientConnection, wanted: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    while not wanted(message := await read(ws)):
        pass
    return message


async def closed(ws: ClientConnection) -> tuple[int, list[dict[str, Any]]]:
    """Read until the server closes; return its code and what it said before."""
    said = list[dict[str, Any]]()
    try:
        while True:
            said.append(await read(ws))
    except ConnectionClosed as error:
        return (error.rcvd.code if error.rcvd else 1006), said


async def say(ws: ClientConnection, **message: Any) -> None:
    """Send a text message."""
    await ws.send(json.dumps(message))


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Return a certificate for 127.0.0.1 and its key."""
    require(shutil.which("openssl") is not None, "needs the openssl command to make a certificate")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


def schema_of(side: str) -> jsonschema.Draft202012Validator:
    """Return the check of what one side sends, `server` or `client`."""
    path = Path(__file__).parents[1] / "clients" / "protocol.schema.json"
    schema = json.loads(path.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator({**schema, "anyOf": [{"$ref": f"#/$defs/{side}"}]})
