"""VMC protocol output: the pose over UDP, 60 times a second (protocols.md 1)."""

import asyncio
import logging
import time

from streamer.avatar import Avatar
from streamer.clock import SAMPLE_RATE, Clock
from streamer.errors import UsageError
from streamer.interpolation import FaceInterpolator, PlayoutClock, PoseInterpolator
from streamer.retarget import Pose
from streamer.rotation import aligned_all
from streamer.sinks.base import Policy
from streamer.sinks.vmc_encoding import (
    NO_BLENDS,
    Bundling,
    Role,
    VmcEncoder,
    VmcRig,
    blend_datagrams,
    encode_vmc,
    expressions,
)
from streamer.types import Event, Float32, SkeletonFrame
from streamer.udp import connect
from streamer.vmc_input import DEFAULT_WEIGHTS, VmcInput, Weights, mixed

__all__ = ["VmcSink", "encode_vmc", "parse_target"]

_log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 0.25


def parse_target(text: str, *, option: str = "--vmc", usual: int = 39_539) -> tuple[str, int]:
    """Return host and port of `HOST:PORT` or `[IPV6]:PORT`; raises `UsageError`."""
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"{option} {text}: write an IPv6 address in brackets, [::1]:{usual}")
    if not colon or not host:
        raise UsageError(f"{option} {text}: expected HOST:PORT, for example 127.0.0.1:{usual}")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65_535):
        raise UsageError(f"{option} {text}: port {port!r} is not a number from 1 to 65535")
    return host, int(port)


class VmcSink:
    """Sends a session's pose to one VMC receiver; implements `Sink`.

    Belongs to the event loop. From the first frame on a task of its own sends
    `output_fps` times a second until `aclose`, also when no frames come: the last
    pose holds. It plays one frame behind (`PlayoutClock`). A receiver that is away
    is counted, never an error: it may be started later. upstream: a tracker whose
    share of each bone (`weights`), root and expressions are sent with our motion.
    face: send our frames' mouth and lids too, while no tracker sends expressions.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        output_fps: float = 60.0,
        avatar: Avatar | None = None,
        normalised: bool = False,
        bundle: Bundling = "mtu",
        role: Role = "performer",
        upstream: VmcInput | None = None,
        weights: Weights = DEFAULT_WEIGHTS,
        face: bool = False,
        frame_s: float = 1 / 15,
        clock: Clock = time.perf_counter,
    ) -> None:
        if not 1 <= output_fps <= 200:
            raise UsageError(f"VMC rate {output_fps} Hz: receivers take 1 to 200, usually 60")
        self._host, self._port = host, port
        self._period = 1 / output_fps
        self._clock = clock
        self._normalised = normalised
        self._bundle: Bundling = bundle
        self._role: Role = role
        self._upstream = upstream
        self._weights = weights
        self.set_avatar(avatar)
        self._socket = connect("--vmc", host, port)
        self._poses = PoseInterpolator()
        self._faces = FaceInterpolator() if face else None
        self._playout = PlayoutClock(delay_s=frame_s)
        self._shown: Float32 | None = None
        self._began = clock()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.frames = 0
        """Frames sent."""
        self.unsent = 0
        """Datagrams that the system did not take, or that found nobody listening."""
        self.rejected = 0
        """Poses left out: not finite, or older than one before."""

    @property
    def name(self) -> str:
        """`vmc HOST:PORT`."""
        return f"vmc {self._host}:{self._port}"

    @property
    def policy(self) -> Policy:
        """Only the newest pose is of use."""
        return "latest"

    @property
    def added_delay_s(self) -> float:
        """What playing between two poses adds: one frame."""
        return self._playout.delay_s

    def set_avatar(self, avatar: Avatar | None) -> None:
        """Send for another model from the next frame on."""
        rig = VmcRig.for_model(avatar, normalised=self._normalised)
        self._encode = VmcEncoder(rig, bundle=self._bundle, role=self._role)

    async def send(self, frame: SkeletonFrame) -> None:
        """Take a pose; the first one starts the stream.

        A pose that is not finite is counted in `rejected`, and the last one holds.
        """
        if self._closed:
            return
        if self._task is not None and self._task.done():
            self._task.result()  # raises what ended it
        now, stamp = self._clock(), frame.sample / SAMPLE_RATE
        if self._poses.push(Pose(rotations=frame.rotations, root=frame.root), stamp):
            self._playout.arrived(stamp, now)
            if self._faces is not None and frame.face is not None:
                self._faces.push(frame.face, stamp)
        else:
            self.rejected += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self.name)

    async def event(self, event: Event) -> None:
        """VMC carries poses only."""

    async def aclose(self) -> None:
        """Stop sending. Frames that still come are left alone."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._faces is not None and (face := self._faces.sample(0.0)) is not None:
            # Many receivers keep the last value for ever: leave the mouth closed.
            for datagram in blend_datagrams(expressions(face * 0)):
                self._deliver(datagram)
        self._socket.close()

    def tick(self) -> None:
        """Send the pose of this moment; nothing before the first frame."""
        now = self._clock()
        showing = self._playout.showing(now)
        pose = self._poses.sample(showing)
        if pose is None:
            return
        if self._shown is not None:  # over the seam between two streams, too
            pose = Pose(rotations=aligned_all(pose.rotations, self._shown), root=pose.root)
        theirs = None if self._upstream is None else self._upstream.sample()
        if theirs is not None:
            pose = mixed(pose, theirs, self._weights)
            if self._shown is not None:
                pose = Pose(rotations=aligned_all(pose.rotations, self._shown), root=pose.root)
        self._shown = pose.rotations
        root, blends = (None, NO_BLENDS) if theirs is None else (theirs.root, theirs.blends)
        if not blends and self._faces is not None:
            face = self._faces.sample(showing)
            blends = NO_BLENDS if face is None else expressions(face)
        for datagram in self._encode(pose, now - self._began, root=root, blends=blends):
            self._deliver(datagram)
        self.frames += 1

    async def _run(self) -> None:
        due = self._clock()
        while True:
            self.tick()
            due += self._period
            now = self._clock()
            if now - due > _LONGEST_PAUSE_S:  # the machine slept: do not catch up in a burst
                due = now
            await asyncio.sleep(max(0.0, due - now))

    def _deliver(self, datagram: bytes) -> None:
        for _ in range(2):
            try:
                self._socket.send(datagram)
                return
            except ConnectionRefusedError as error:
                # It tells of an earlier datagram and keeps this one from being sent.
                self._count(error)
            except OSError as error:  # no route, no buffer, interface down
                self._count(error)
                return

    def _count(self, error: OSError) -> None:
        if self.unsent == 0:
            _log.warning("%s: nobody receives (%s); sending goes on", self.name, error)
        self.unsent += 1
