"""One WebSocket client that is sent frames and events."""

import asyncio
from typing import Final

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed

from streamer.clock import Clock
from streamer.errors import ProtocolError
from streamer.metrics import Metrics
from streamer.serving.flow import Form, Mailbox, SharedFrame
from streamer.wire import BINARY_SUBPROTOCOL, NOTHING
from streamer.wire_requests import Ack, Ping, Request, Subscribe, error_json, pong_json

WRITE_LIMIT: Final = 64 * 1024
"""Bytes in the socket's own buffer beyond which nothing is written; below the
library's high-water mark, so that its pings and closes never wait behind ours."""

_RETRY_S: Final = 0.05
_CLOSE_S: Final = 5.0
_MAX_REASON_BYTES: Final = 120  # a close frame holds 125, two of them the code


class Viewer:
    """Writes to one client without ever waiting for it; the event loop's alone.

    Writing goes through `websockets.broadcast`, which does not wait: the
    mailbox's window and `WRITE_LIMIT` bound what piles up instead.
    """

    def __init__(self, ws: ServerConnection, *, sink: str, clock: Clock, metrics: Metrics) -> None:
        self.ws: Final = ws
        form: Form = "bin" if ws.subprotocol == BINARY_SUBPROTOCOL else "json"
        self.mailbox: Final = Mailbox(form, clock)
        self._sink = sink
        self._metrics = metrics
        self.last_sample = 0
        self._retry: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    def offer(self, shared: SharedFrame) -> None:
        """Send a frame now, or let it wait for the client's next acknowledgement."""
        if self._closing is not None:
            return
        self.last_sample = shared.frame.sample
        try:
            if self.mailbox.offer(shared):
                self._metrics.frames_dropped(self._sink)
        except ProtocolError as error:
            self.close(error)
        self._pump()

    def tell(self, text: str) -> None:
        """Send an encoded event or answer; a client for which too many wait is closed."""
        if self._closing is not None:
            return
        try:
            self.mailbox.push(text)
        except ProtocolError as error:
            self.close(error)
        self._pump()

    def handle(self, request: Request) -> bool:
        """Serve what concerns the viewing itself; False for any other request."""
        match request:
            case Ack():
                self.mailbox.ack(request.seq)
                self._pump()
            case Subscribe():
                self.mailbox.include = request.include or NOTHING
            case Ping():
                mailbox = self.mailbox
                self.tell(
                    pong_json(
                        request,
                        sample=self.last_sample,
                        sent=mailbox.sent,
                        dropped=mailbox.dropped,
                    )
                )
            case _:
                return False
        return True

    def close(self, error: ProtocolError) -> None:
        """Say why, and close; does not wait for a client that does not listen."""
        if self._closing is None:
            broadcast((self.ws,), error_json(error))
            self._closing = asyncio.ensure_future(close(self.ws, error.code, str(error)))

    async def refuse(self, error: ProtocolError) -> None:
        """Say why, close, and wait for it."""
        self.close(error)
        assert self._closing is not None
        await self._closing

    def leave(self, code: int, reason: str) -> None:
        """Close, and do not wait for it."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(close(self.ws, code, reason))

    async def aclose(self, code: int, reason: str) -> None:
        """Close and wait for it, at most for the connection's close timeout."""
        if self._retry is not None:
            self._retry.cancel()
        if self._closing is None:
            self._closing = asyncio.ensure_future(close(self.ws, code, reason))
        await self._closing

    def _pump(self) -> None:
        if self._closing is not None:
            return
        writable = self.ws.transport.get_write_buffer_size() < WRITE_LIMIT
        sent = self.mailbox.sent
        for message in self.mailbox.take(writable=writable):
            broadcast((self.ws,), message)
        if self.mailbox.sent > sent:
            self._metrics.frames_sent(self._sink)
        if self.mailbox.blocked and self._retry is None:
            # No frame or acknowledgement may ever come to try again.
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(_RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._pump()


async def close(ws: ServerConnection, code: int, reason: str) -> None:
    """Close a connection with a reason of any length; a dead one counts as closed."""
    short = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
    try:
        async with asyncio.timeout(_CLOSE_S):
            await ws.close(code, short)
    except ConnectionClosed:
        pass
    except TimeoutError:
        # `close_timeout` does not cover a socket that takes no bytes at all.
        ws.transport.abort()
