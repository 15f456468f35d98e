"""A remote session: a client pushes audio and words, and gets frames."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from streamer.clock import SAMPLE_RATE, Clock
from streamer.errors import GestureError, ProtocolError
from streamer.serving.viewer import Viewer
from streamer.session import SessionOptions
from streamer.sinks.websocket import WebSocketSink
from streamer.types import AudioChunk, Event, Hello, SkeletonFrame, WordEvent
from streamer.wire import CloseCode, event_json
from streamer.wire_requests import Control, End, Interrupt, decode_audio, decode_request

AHEAD_S: Final = 10.0
"""How far a gap may put a client's sample index ahead of the time since it opened."""


LATE_S: Final = 1.0
"""Audio later than this is replaced by silence, so that the motion goes on."""

_LOOK_S: Final = 0.1
_MOST_SILENCE: Final = SAMPLE_RATE


class RemoteSession(Protocol):
    """What the server needs of `streamer.session.Session`."""

    def hello(self) -> Hello:
        """Return the header of this stream."""
        ...

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take audio."""
        ...

    def push_word(self, word: WordEvent) -> object:
        """Take a word; one of no use is counted."""
        ...

    def interrupt(self) -> None:
        """Stop the gesture at hand."""
        ...

    async def finish(self) -> None:
        """Say that the audio has ended; `items` ends after the last frame."""
        ...

    def items(self) -> AsyncIterator[SkeletonFrame | Event]:
        """Yield frames and events until the session ends."""
        ...

    async def aclose(self) -> None:
        """End now; may be called again."""
        ...


@runtime_checkable
class Steerable(Protocol):
    """A session whose motion its client may set."""

    def control(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change settings by name; return all that are in effect. Raises `UsageError`."""
        ...


OpenSession = Callable[[SessionOptions], RemoteSession]


async def run(
    ws: ServerConnection,
    session: RemoteSession,
    *,
    viewer: Viewer,
    sink: WebSocketSink,
    clock: Clock,
    idle_s: float,
) -> None:
    """Serve one open session until the client ends it, leaves, or is silent for `idle_s`.

    Raises `ProtocolError` for a client that breaks the protocol, and whatever
    the session raises.
    """
    sink.add(viewer)
    timeline = Timeline(clock)
    reader = asyncio.create_task(_read(ws, session, viewer, timeline, clock, idle_s))
    filler = asyncio.create_task(_fill(session, timeline))
    writer = asyncio.create_task(_write(session, sink))
    try:
        await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
        filler.cancel()
        if reader.done():
            if not reader.result():
                return  # the client has left
            await session.finish()
        await writer
        viewer.tell(event_json(Event(kind="end", sample=viewer.last_sample)))
        await viewer.aclose(1000, "the session has ended")
    finally:
        sink.remove(viewer)
        tasks = (reader, filler, writer)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await session.aclose()


class Timeline:
    """Holds a client's audio to the clock: forward, not ahead of time, never stopping.

    Sample 0 is as old as it was when the first audio came; from then on audio
    that is more than `LATE_S` late counts as silence (DESIGN 3).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened = clock()
        self._zero: float | None = None
        self._end = 0  # of the client's own audio
        self._covered = 0  # by it or by silence

    def check(self, chunk: AudioChunk) -> None:
        """Raise `ProtocolError` for audio that overlaps or jumps too far."""
        if chunk.start < self._end:
            raise ProtocolError(
                f"audio at sample {chunk.start} was sent before; the next is {self._end}"
            )
        elapsed = self._clock() - self._opened
        if chunk.start > self._end and chunk.start > (elapsed + AHEAD_S) * SAMPLE_RATE:
            raise ProtocolError(
                f"audio jumps from sample {self._end} to {chunk.start}, "
                f"{chunk.start / SAMPLE_RATE - elapsed:.0f} s ahead of time"
            )
        self._end = chunk.end
        self._covered = max(self._covered, chunk.end)
        if self._zero is None:
            self._zero = self._clock() - chunk.end / SAMPLE_RATE

    def silence(self) -> AudioChunk | None:
        """Return what to push in place of audio that is late, if any is."""
        if self._zero is None:
            return None
        now = self._clock()
        missing = round((now - LATE_S - self._zero) * SAMPLE_RATE) - self._covered
        if missing <= 0:
            return None
        # A sleeping machine may wake hours later: the gap beyond is the session's.
        start = self._covered + max(0, missing - _MOST_SILENCE)
        samples = np.zeros(min(missing, _MOST_SILENCE), np.float32)
        self._covered += missing
        return AudioChunk(samples=samples, start=start, captured_at=now, filled=len(samples))


async def _fill(session: RemoteSession, timeline: Timeline) -> None:
    """Push silence for as long as the client sends nothing."""
    while True:
        await asyncio.sleep(_LOOK_S)
        if (silence := timeline.silence()) is not None:
            session.push_audio(silence)


async def _read(
    ws: ServerConnection,
    session: RemoteSession,
    viewer: Viewer,
    timeline: Timeline,
    clock: Clock,
    idle_s: float,
) -> bool:
    """Take what the client sends; True when it said `end`, False when it left."""
    while True:
        try:
            async with asyncio.timeout(idle_s):
                message = await ws.recv()
        except ConnectionClosed:
            return False
        except TimeoutError as error:
            reason = f"no message for {idle_s:.0f} s; send a ping to keep the session"
            raise ProtocolError(reason, code=CloseCode.SILENT) from error
        viewer.flood.check(message)
        if isinstance(message, bytes):
            chunk = decode_audio(message, clock())
            timeline.check(chunk)
            session.push_audio(chunk)
            continue
        match decode_request(message):
            case WordEvent() as word:
                session.push_word(word)
            case Interrupt():
                session.interrupt()
            case End():
                return True
            case Control(settings=wanted) if isinstance(session, Steerable):
                viewer.tell(event_json(_controlled(session, wanted, viewer.last_sample)))
            case request if viewer.handle(request):
                pass
            case request:
                kind = type(request).__name__
                raise ProtocolError(f"{kind} is no message for a running session")


def _controlled(session: Steerable, wanted: Mapping[str, Any], sample: int) -> Event:
    try:
        return Event(kind="settings", sample=sample, data=session.control(wanted))
    except GestureError as error:
        data = {"code": "refused", "message": str(error)}
        return Event(kind="warning", sample=sample, data=data)


async def _write(session: RemoteSession, sink: WebSocketSink) -> None:
    async for item in session.items():
        if isinstance(item, Event):
            await sink.event(item)
        else:
            await sink.send(item)
