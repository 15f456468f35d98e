"""What every sink shares that sends poses by UDP: playing between two, counting what is lost."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from streamer.clock import SAMPLE_RATE, Clock
from streamer.errors import UsageError
from streamer.interpolation import FaceInterpolator, PlayoutClock, PoseInterpolator
from streamer.retarget import Pose
from streamer.sinks.base import Policy
from streamer.types import Event, Float32, SkeletonFrame
from streamer.udp import connect

_log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 0.25


class Encode(Protocol):
    """Turns what shall be seen now into datagrams."""

    def __call__(self, pose: Pose, face: Float32 | None, seconds: float, /) -> Iterable[bytes]:
        """Return a frame's datagrams. face: [6], or None; seconds: since the sink began."""
        ...


class PosePlayer:
    """Sends poses to one receiver, `output_fps` times a second; implements `Sink`.

    Belongs to the event loop. From the first frame on a task of its own sends until
    `aclose`, also when no frames come: the last pose holds. It plays one frame behind
    (`PlayoutClock`). A receiver that is away is counted, never an error: it may be
    started later. kind: what it speaks, for its name. option: that asked for it, for
    messages. encode: what it says. farewell: said at the end.
    """

    def __init__(
        self,
        kind: str,
        host: str,
        port: int,
        *,
        option: str,
        encode: Encode,
        farewell: bytes = b"",
        output_fps: float,
        frame_s: float,
        clock: Clock,
    ) -> None:
        if not 1 <= output_fps <= 200:
            raise UsageError(f"{option} {output_fps} Hz: receivers take 1 to 200, usually 60")
        self._name = f"{kind} {host}:{port}"
        self._encode = encode
        self._farewell = farewell
        self._period = 1 / output_fps
        self._clock = clock
        self._socket = connect(option, host, port)
        self._poses = PoseInterpolator()
        self._faces = FaceInterpolator()
        self._playout = PlayoutClock(delay_s=frame_s)
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
        """`KIND HOST:PORT`."""
        return self._name

    @property
    def policy(self) -> Policy:
        """Only the newest pose is of use."""
        return "latest"

    @property
    def added_delay_s(self) -> float:
        """What playing between two poses adds: one frame."""
        return self._playout.delay_s

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
            if frame.face is not None:
                self._faces.push(frame.face, stamp)
        else:
            self.rejected += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self.name)

    async def event(self, event: Event) -> None:
        """Poses only."""

    async def aclose(self) -> None:
        """Stop sending. Frames that still come are left alone."""
        if self._closed:
            return
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            if self._farewell:
                self._deliver(self._farewell)
        self._socket.close()

    def tick(self) -> None:
        """Send the pose of this moment; nothing before the first frame."""
        now = self._clock()
        showing = self._playout.showing(now)
        pose = self._poses.sample(showing)
        if pose is None:
            return
        for datagram in self._encode(pose, self._faces.sample(showing), now - self._began):
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
