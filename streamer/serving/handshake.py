"""From a connection's first bytes to a page, a refusal, or an open WebSocket."""

from collections.abc import Sequence
from typing import cast
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from streamer.security import AccessPolicy
from streamer.serving.gate import Gate
from streamer.serving.pages import Pages, text_response
from streamer.wire import SUBPROTOCOLS

TRANSFER_S = 120.0
"""For a client to take a page or an avatar."""


class Handshake:
    """Decides about one request; the event loop's alone.

    policy: set once the server listens and knows its port, before it accepts.
    draining: set when no WebSocket is to be opened any more.
    """

    def __init__(self, *, pages: Pages, gate: Gate) -> None:
        self.policy: AccessPolicy | None = None
        self.draining = False
        self._pages = pages
        self._gate = gate

    async def process_request(self, ws: ServerConnection, request: Request) -> Response | None:
        """Return the HTTP response, or None to open the WebSocket."""
        assert self.policy is not None, "the server accepts only after it has set this"
        refusal = self.policy.refusal(
            host=request.headers.get_all("Host"),
            origin=request.headers.get_all("Origin"),
            local=cast(str, ws.local_address[0]),
        )
        if refusal is not None:
            return text_response(403, refusal)
        if urlsplit(request.path).path in ("/v1/watch", "/v1/session"):
            return self._refusal(request)
        answer = await self._pages.respond(request, request.headers["Host"])
        if not self._gate.may_send(ws, len(answer.body)):
            return text_response(503, "too many downloads; try again in a moment")
        ws.close_timeout = TRANSFER_S
        return answer

    def select_subprotocol(
        self, ws: ServerConnection, offered: Sequence[Subprotocol]
    ) -> Subprotocol | None:
        """Return the client's first choice that we speak; none offered means JSON."""
        return next((name for name in offered if name in SUBPROTOCOLS), None)

    def _refusal(self, request: Request) -> Response | None:
        offered = [
            name.strip()
            for value in request.headers.get_all("Sec-WebSocket-Protocol")
            for name in value.split(",")
        ]
        if offered and not set(offered) & set(SUBPROTOCOLS):
            return text_response(
                400,
                f"subprotocol {', '.join(offered)[:80]!r} is not spoken here; "
                f"offer {' or '.join(SUBPROTOCOLS)}",
            )
        if self.draining:
            return text_response(503, "the server is stopping")
        return None
