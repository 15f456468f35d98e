"""The real server with made-up motion, in a thread: what the page is tested against."""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from streamer.clock import FrameClock
from streamer.humanoid import BONE_INDEX, BONES, PARENTS, REST_OFFSETS
from streamer.server import Server, ServerConfig
from streamer.types import Event, Hello, Latency, SkeletonFrame, VoiceState

FPS = 15
_CLOCK = FrameClock(fps=FPS)
_LATENCY = Latency(algorithmic_ms=200.0, compute_ms=1.5, mic_to_wire_ms=8.0, visible_ms=340.0)


def hello() -> Hello:
    """Return the header of the made-up stream."""
    return Hello(
        session="overlay-test",
        version="0",
        model="synthetic",
        backend="none",
        fps=FPS,
        lookahead=2,
        bones=BONES,
        parents=PARENTS,
        rest=REST_OFFSETS,
        joints=(),
        directions=(),
        latency=_LATENCY,
        avatar={},
    )


def euler(x: float, y: float, z: float) -> tuple[float, float, float, float]:
    """Return the xyzw quaternion of rotations about x, then y, then z of the moving axes."""
    cx, cy, cz = (math.cos(a / 2) for a in (x, y, z))
    sx, sy, sz = (math.sin(a / 2) for a in (x, y, z))
    return (
        sx * cy * cz + cx * sy * sz,
        cx * sy * cz - sx * cy * sz,
        cx * cy * sz + sx * sy * cz,
        cx * cy * cz - sx * sy * sz,
    )


def gesturing(t: float) -> dict[str, tuple[float, float, float, float]]:
    """Return the rotations of a person who waves both forearms, at t seconds."""
    left, right = math.sin(2.1 * t), math.sin(1.7 * t + 1)
    pose = {
        "leftUpperArm": euler(0.25, -0.35, -1.05 + 0.15 * left),
        "rightUpperArm": euler(0.25, 0.35, 1.05 - 0.15 * right),
        "leftLowerArm": euler(-0.9, -1.25 - 0.35 * left, 0.1),
        "rightLowerArm": euler(-0.9, 1.25 + 0.35 * right, -0.1),
        "leftHand": euler(0.1 * left, 0.0, 0.2 * left),
        "rightHand": euler(0.1 * right, 0.0, -0.2 * right),
        "head": euler(0.06 * right, 0.12 * left, 0.0),
    }
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for finger, curl in (("Index", 0.2), ("Middle", 0.35), ("Ring", 0.45), ("Little", 0.5)):
            for part in ("Proximal", "Intermediate", "Distal"):
                pose[f"{side}{finger}{part}"] = euler(0.0, 0.0, -sign * curl)
    return pose


def directions(t: float, bones: list[str]) -> dict[str, np.ndarray]:
    """Return the world direction in which each bone's own rotation points its rest, at t.

    Independent of the page: quaternions as matrices, multiplied down from the hips.
    """
    pose = gesturing(t)
    world: dict[str, np.ndarray] = {}
    for i, bone in enumerate(BONES):
        parent = world[BONES[PARENTS[i]]] if PARENTS[i] >= 0 else np.eye(3)
        world[bone] = parent @ _matrix(pose.get(bone, (0.0, 0.0, 0.0, 1.0)))
    sides = {"left": np.array([1.0, 0, 0]), "right": np.array([-1.0, 0, 0])}
    return {b: world[b] @ sides["left" if b.startswith("left") else "right"] for b in bones}


def _matrix(q: tuple[float, float, float, float]) -> np.ndarray:
    x, y, z, w = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def frame(index: int, *, reset: bool = False, state: VoiceState = "speaking") -> SkeletonFrame:
    """Return frame `index` of the made-up motion."""
    rotations = np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1))
    for bone, rotation in gesturing(index / FPS).items():
        rotations[BONE_INDEX[bone]] = rotation
    return SkeletonFrame(
        index=index,
        sample=_CLOCK.start(index),
        rotations=rotations,
        root=np.zeros(3, np.float32),
        positions=np.zeros((0, 3), np.float32),
        directions=np.zeros((0, 3), np.float32),
        state=state,
        reset=reset,
        captured_at=0.0,
        emitted_at=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the page is."""

    url: str
    port: int


class OverlayServer:
    """A context: the server on a port of its own, streaming in real time.

    `play` may be cleared to stall the stream. pose: makes frame n; `sent` holds
    when each went out, `time.time()`. Belongs to the test's thread; the server
    has its own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        token: str | None = None,
        pose: Callable[[int], SkeletonFrame] | None = None,
    ) -> None:
        self._pose = pose or frame
        self.sent: dict[int, float] = {}
        self.play = threading.Event()
        self.play.set()
        self._config = ServerConfig(port=port, avatars=folder, token=token)
        self._ready = threading.Event()
        self._address: Address | None = None
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self._server: Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: BaseException | None = None

    def __enter__(self) -> "OverlayServer":
        self._thread.start()
        assert self._ready.wait(20)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def address(self) -> Address:
        """Where the page is."""
        assert self._address is not None
        return self._address

    def close(self) -> None:
        """Stop the server; again is nothing."""
        if self._thread.is_alive() and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)
        if self._failure is not None:
            raise self._failure

    def tell(self, event: Event) -> None:
        """Send an event to every page."""
        assert self._server is not None
        future = asyncio.run_coroutine_threadsafe(self._server.sink.event(event), self._loop)
        future.result(10)

    def show(self, avatar: Path) -> None:
        """Put an avatar in use, as `--avatar` does."""
        assert self._server is not None
        asyncio.run_coroutine_threadsafe(self._server.set_avatar(avatar), self._loop).result(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
            self._ready.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._server = Server(self._config, hello=hello)
        url = await self._server.start()
        self._address = Address(url=url, port=int(url.rstrip("/").rsplit(":", 1)[1]))
        self._ready.set()
        begin, index = self._loop.time(), 0
        while not self._stop.is_set():
            index = max(index, math.floor((self._loop.time() - begin) * FPS))
            if self.play.is_set():
                self.sent[index] = time.time()
                await self._server.sink.send(self._pose(index))
            index += 1
            due = begin + index / FPS - self._loop.time()
            try:
                await asyncio.wait_for(self._stop.wait(), max(due, 0.0))
            except TimeoutError:
                continue
        await self._server.aclose()
