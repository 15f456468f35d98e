"""Bounds on connections, before they say anything and while they say too much."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from streamer.clock import Clock
from streamer.errors import ProtocolError
from streamer.security import RateLimit
from streamer.wire import CloseCode

LARGE_BODY: Final = 1024 * 1024


class Gate:
    """Counts connections of one server; the event loop's alone.

    limit: connections at once, pages included. transfers: responses over
    `LARGE_BODY` at once, since each holds a copy of its body while it is sent.
    request_timeout_s: for a connection to make its request.
    """

    def __init__(self, *, limit: int, transfers: int, request_timeout_s: float) -> None:
        self.limit: Final = limit
        self.transfers: Final = transfers
        self.request_timeout_s: Final = request_timeout_s
        self.open: Final[set[ServerConnection]] = set()
        self.sending: Final[set[ServerConnection]] = set()

    def may_send(self, connection: ServerConnection, size: int) -> bool:
        """Tell whether a body of this size may go out now, and count it."""
        if size <= LARGE_BODY:
            return True
        if len(self.sending) >= self.transfers:
            return False
        self.sending.add(connection)
        return True


class GatedConnection(ServerConnection):
    """A connection that is cut when there are too many or it stays silent.

    shortcut: is shown each text message that came whole, before it is queued;
    True takes it.
    """

    def __init__(self, *args: Any, gate: Gate, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate = gate
        self.shortcut: Callable[[bytes], bool] | None = None

    def process_event(self, event: Frame | Request) -> None:  # type: ignore[override]
        """Take what the shortcut takes, and leave the rest to the library."""
        if (
            self.shortcut is not None
            and isinstance(event, Frame)
            and event.opcode is Opcode.TEXT
            and event.fin
            and self.shortcut(bytes(event.data))
        ):
            return
        super().process_event(event)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register, or cut the connection when the server is full."""
        super().connection_made(transport)
        self._gate.open.add(self)
        if len(self._gate.open) > self._gate.limit:
            self.transport.abort()
        else:
            self.loop.call_later(self._gate.request_timeout_s, self._expect_request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self._gate.open.discard(self)
        self._gate.sending.discard(self)
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        if self.request is None:
            self.transport.abort()


class Flood:
    """Bounds what one client may send: messages and bytes a second."""

    def __init__(self, clock: Clock) -> None:
        # Audio in real time is 32 kB/s; the bursts hold a minute of it in 20 ms
        # messages, which a client with a bad network may send at once.
        self._messages = RateLimit(rate=200, burst=3000, clock=clock)
        self._bytes = RateLimit(rate=128 * 1024, burst=2 * 1024 * 1024, clock=clock)

    def check(self, message: str | bytes) -> None:
        """Raise `ProtocolError` when this message is one too many."""
        if not (self._messages.take() and self._bytes.take(len(message))):
            raise ProtocolError("too many messages; send audio in real time", code=CloseCode.FLOOD)
