"""VRChat by OSC: gestures as avatar parameters, captions in the chatbox."""

import asyncio
import logging
import time
from typing import Final

from streamer.clock import Clock
from streamer.sinks.base import Policy
from streamer.sinks.chatbox import Captions
from streamer.sinks.vrchat_encoding import (
    ParameterEncoder,
    active,
    chatbox,
    face_parameters,
    parameters,
    trackers,
)
from streamer.types import Event, SkeletonFrame
from streamer.udp import connect

_log = logging.getLogger(__name__)

HZ: Final = 15.0
"""Most parameter bundles a second; others see 1 to 10 poses of them."""

_AGAIN_S: Final = 5.0  # after which everything is told anew: the avatar may have been changed


class VrchatSink:
    """Sends one session to VRChat; implements `Sink`. The event loop's alone.

    captions: show `caption` events in the chatbox. height: the user's in metres,
    for body trackers (experimental); None for none. face: send mouth and lids
    too, 48 bits more. VRChat being away is
    counted, never an error: it may be started later.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        captions: bool = False,
        height: float | None = None,
        face: bool = False,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._address = f"{host}:{port}"
        self._clock = clock
        self._encode = ParameterEncoder()
        self._captions = Captions() if captions else None
        self._height = height
        self._face = face
        self._last = self._all = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._socket = connect("--vrchat", host, port)
        self.unsent = 0
        """Datagrams that the system did not take, or that found nobody listening."""

    @property
    def name(self) -> str:
        """`vrchat HOST:PORT`."""
        return f"vrchat {self._address}"

    @property
    def policy(self) -> Policy:
        """VRChat gets the newest frame."""
        return "latest"

    async def send(self, frame: SkeletonFrame) -> None:
        """Send what of a pose has changed, at most 15 times a second."""
        now = self._clock()
        if self._closed or now - self._last < 1 / HZ - 0.01:
            return
        self._last = now
        if now - self._all >= _AGAIN_S:
            self._all = now
            self._encode.forget()
        values = parameters(frame.rotations)
        if self._face and frame.face is not None:
            values |= face_parameters(frame.face)
        if bundle := self._encode(values):
            self._deliver(bundle)
        if self._height is not None:
            self._deliver(trackers(frame.rotations, frame.root, self._height))

    async def event(self, event: Event) -> None:
        """Show a caption, now or as soon as the chatbox takes more."""
        if self._captions is None or self._closed or event.kind != "caption":
            return
        self._captions.add(str(event.data.get("text", "")), final=event.data.get("final") is True)
        self._show()

    async def aclose(self) -> None:
        """Let the avatar have its arms back, and close."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._deliver(active(False))
        self._socket.close()

    def _show(self) -> None:
        if self._captions is None or self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while text := self._captions.next(self._clock()):
            self._deliver(chatbox(text))
        wait = self._captions.due(self._clock())
        if wait is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(wait, 0.05), self._show)

    def _deliver(self, datagram: bytes) -> None:
        for _ in range(2):
            try:
                self._socket.send(datagram)
                return
            except ConnectionRefusedError as error:
                self._count(error)  # of an earlier datagram; this one was not sent yet
            except OSError as error:
                self._count(error)
                return

    def _count(self, error: OSError) -> None:
        if self.unsent == 0:
            _log.warning("%s: nobody receives (%s); sending goes on", self.name, error)
        self.unsent += 1
