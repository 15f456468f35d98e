"""The frames of one stream, to every WebSocket client that watches it."""

import asyncio
import logging
from typing import Final

import numpy as np

from streamer.clock import Clock
from streamer.metrics import Metrics
from streamer.serving.flow import SharedFrame
from streamer.serving.viewer import Viewer
from streamer.sinks.base import Policy
from streamer.types import Event, SkeletonFrame
from streamer.wire import event_json

_log = logging.getLogger(__name__)

_BREATH: Final = 64
"""Viewers written to before the event loop gets a turn (about 2 ms)."""


class WebSocketSink:
    """Broadcasts frames and events; encodes each once per form.

    The event loop's alone. A slow viewer is its own problem: nothing here
    waits for one.
    """

    def __init__(self, *, clock: Clock, metrics: Metrics, name: str = "websocket") -> None:
        self._name = name
        self._clock = clock
        self._metrics = metrics
        self._viewers: set[Viewer] = set()
        self._seq = 0
        self._last_sample = 0

    @property
    def name(self) -> str:
        """`websocket`, also the label in the metrics."""
        return self._name

    @property
    def policy(self) -> Policy:
        """Viewers get the newest frame."""
        return "latest"

    @property
    def last_sample(self) -> int:
        """The sample of the last frame."""
        return self._last_sample

    @property
    def viewers(self) -> int:
        """How many watch."""
        return len(self._viewers)

    def add(self, viewer: Viewer) -> None:
        """Let a client watch from the next frame on."""
        self._viewers.add(viewer)

    def remove(self, viewer: Viewer) -> None:
        """Forget a client."""
        self._viewers.discard(viewer)

    def renew(self) -> None:
        """Let every viewer come again: the stream's header has changed."""
        viewers, self._viewers = tuple(self._viewers), set()
        for viewer in viewers:
            viewer.leave(1012, "the stream has a new header; connect again")

    async def send(self, frame: SkeletonFrame) -> None:
        """Hand a frame to every viewer; one that is not finite is dropped and logged."""
        poses = (frame.root, frame.rotations, frame.positions, frame.directions)
        if frame.face is not None:
            poses = (*poses, frame.face)
        if not all(np.isfinite(pose).all() for pose in poses):
            _log.error("frame %d is not finite and was not sent", frame.index)
            self._metrics.frames_dropped(self._name)
            return
        shared = SharedFrame(frame, self._seq)
        self._seq += 1
        self._last_sample = frame.sample
        if frame.reset:
            self._metrics.reset()
        for i, viewer in enumerate(tuple(self._viewers)):
            if i and i % _BREATH == 0:
                await asyncio.sleep(0)
            viewer.offer(shared)
        if self._viewers:
            self._metrics.mic_to_wire(self._clock() - frame.captured_at)

    async def event(self, event: Event) -> None:
        """Hand an event to every viewer."""
        text = event_json(event)
        for viewer in tuple(self._viewers):
            viewer.tell(text)

    async def aclose(self) -> None:
        """Close every viewer's connection; the stream has ended."""
        viewers, self._viewers = tuple(self._viewers), set()
        await asyncio.gather(*(viewer.aclose(1001, "the stream has ended") for viewer in viewers))
