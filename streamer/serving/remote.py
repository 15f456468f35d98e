"""A remote session: a client pushes audio and words, and gets frames."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from websockets.asyncio.server import ServerConnection

from streamer.clock import SAMPLE_RATE, Clock
from streamer.errors import GestureError, ProtocolError
from streamer.serving.gate import Flood
from streamer.serving.viewer import Viewer
from streamer.session import SessionOptions
from streamer.sinks.websocket import WebSocketSink
from streamer.types import AudioChunk, Event, Hello, SkeletonFrame, WordEvent
from streamer.wire import event_json
from streamer.wire_requests import End, Interrupt, Request, decode_audio, decode_request

AHEAD_S: Final = 10.0
"""How far a gap may put a client's sample index ahead of the time since it opened."""


class RemoteSession(Protocol):
    """What the server needs of `streamer.session.Session`."""

    def hello(self) -> Hello:
        """Return the header of this stream."""
        ...

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take audio."""
        ...

    def push_word(self, word: WordEvent) -> bool:
        """Take a word; False for one of no use."""
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


OpenSession = Callable[[SessionOptions], RemoteSession]


async def run(
    ws: ServerConnection,
    session: RemoteSession,
    *,
    viewer: Viewer,
    sink: WebSocketSink,
    flood: Flood,
    clock: Clock,
) -> None:
    """Serve one open session until the client ends it or leaves.

    Raises `ProtocolError` for a client that breaks the protocol, and whatever
    the session raises.
    """
    sink.add(viewer)
    reader = asyncio.create_task(_read(ws, session, viewer, flood, clock))
    writer = asyncio.create_task(_write(session, sink))
    try:
        await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
        if reader.done() and not reader.result():
            return  # the client has left
        await writer
        viewer.tell(event_json(Event(kind="end", sample=viewer.last_sample)))
        await viewer.aclose(1000, "the session has ended")
    finally:
        sink.remove(viewer)
        reader.cancel()
        writer.cancel()
        await asyncio.gather(reader, writer, return_exceptions=True)
        await session.aclose()


class Timeline:
    """Checks that a client's audio goes forward, and not into the far future."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened = clock()
        self._end = 0

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


async def _read(
    ws: ServerConnection, session: RemoteSession, viewer: Viewer, flood: Flood, clock: Clock
) -> bool:
    """Take what the client sends; True when it said `end`, False when it left."""
    timeline = Timeline(clock)
    async for message in ws:
        flood.check(message)
        try:
            if isinstance(message, bytes):
                chunk = decode_audio(message, clock())
                timeline.check(chunk)
                session.push_audio(chunk)
            elif await _ended(decode_request(message), session, viewer):
                return True
        except ProtocolError:
            raise
        except GestureError as error:
            raise ProtocolError(str(error)) from error
    return False


async def _ended(request: Request, session: RemoteSession, viewer: Viewer) -> bool:
    if viewer.handle(request):
        return False
    match request:
        case WordEvent():
            session.push_word(request)
        case Interrupt():
            session.interrupt()
        case End():
            await session.finish()
            return True
        case _:
            raise ProtocolError(f"{type(request).__name__} is no message for a running session")
    return False


async def _write(session: RemoteSession, sink: WebSocketSink) -> None:
    async for item in session.items():
        if isinstance(item, Event):
            await sink.event(item)
        else:
            await sink.send(item)
