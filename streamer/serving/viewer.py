"""One WebSocket client that is sent frames and events."""

import asyncio
import re
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from streamer.clock import Clock
from streamer.errors import ProtocolError
from streamer.metrics import Metrics
from streamer.serving.flow import Form, Mailbox, SharedFrame, framed
from streamer.serving.gate import Flood
from streamer.wire import BINARY_SUBPROTOCOL, NOTHING
from streamer.wire_requests import Ack, Ping, Request, Subscribe, error_json, pong_json

WRITE_LIMIT: Final = 64 * 1024
"""Bytes in the socket's own buffer beyond which nothing is written; below the
library's high-water mark, so that its pings and closes never wait behind ours."""

_RETRY_S: Final = 0.05
_CLOSE_S: Final = 5.0
_MAX_REASON_BYTES: Final = 120  # a close frame holds 125, two of them the code
_ACK: Final = re.compile(rb'\{"type": ?"ack", ?"seq": ?(0|[1-9][0-9]{0,9})\}')
"""An acknowledgement as nearly every client writes it."""


class Viewer:
    """Writes to one client without ever waiting for it; the event loop's alone.

    Whole WebSocket frames go to the transport, which does not wait, as
    `websockets.broadcast` does; here a frame is made once for all viewers. The
    mailbox's window and `WRITE_LIMIT` bound what piles up.
    """

    def __init__(
        self, ws: ServerConnection, *, sink: str, clock: Clock, metrics: Metrics, flood: Flood
    ) -> None:
        self.ws: Final = ws
        self.flood: Final = flood
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

    def acknowledge(self, data: bytes) -> bool:
        """Serve an acknowledgement in its usual form; False for any other message.

        A thousand viewers send 15 000 of them a second: they take no queue, no
        task and no JSON.
        """
        if (found := _ACK.fullmatch(data)) is None:
            return False
        try:
            self.flood.check(data)
            self.mailbox.ack(int(found[1]))
        except ProtocolError as error:
            self.close(error)
        self._pump()
        return True

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
            self._write([framed(error_json(error))])
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
        if messages := self.mailbox.take(writable=writable):
            self._write(messages)
        if self.mailbox.sent > sent:
            self._metrics.frames_sent(self._sink)
        if self.mailbox.blocked and self._retry is None:
            # No frame or acknowledgement may ever come to try again.
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(_RETRY_S, self._try_again)

    def _write(self, messages: list[bytes]) -> None:
        if self.ws.state is State.OPEN:  # nothing may follow a close
            self.ws.transport.write(messages[0] if len(messages) == 1 else b"".join(messages))

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
