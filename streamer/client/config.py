"""What a client connects to, and how."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from streamer.client.clock import MOST_JITTER_S
from streamer.errors import UsageError
from streamer.wire import INCLUDES, NOTHING
from streamer.wire_requests import ClientHello

DEFAULT_URL = "ws://127.0.0.1:8765/v1/watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """One stream: `/v1/watch` to see the local session, `/v1/session` for one's own.

    hello: token and options; sent first where the engine needs one. include: what
    frames carry beyond rotations, a subset of `streamer.wire.INCLUDES`.
    most_jitter_s: the most that frames wait so that late ones keep the beat; 0
    hands every frame over as it comes. reconnect: come back when the engine is
    away or restarts. record: `.jsonl` or `.npz` files to write every frame to;
    a new session of the engine makes new files, `talk-2.jsonl`. trust: for an
    engine with a certificate of its own. Raises `UsageError` for an address or
    an `include` that does not exist.
    """

    url: str = DEFAULT_URL
    form: Literal["bin", "json"] = "bin"
    hello: ClientHello | None = None
    include: frozenset[str] = NOTHING
    most_jitter_s: float = MOST_JITTER_S
    reconnect: bool = True
    record: tuple[Path, ...] = ()
    trust: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise UsageError(f"{self.url!r} is no address of an engine; like {DEFAULT_URL}")
        if parts.path not in ("/v1/watch", "/v1/session"):
            raise UsageError(f"{self.url!r}: the path must be /v1/watch or /v1/session")
        if unknown := sorted(self.include - INCLUDES):
            raise UsageError(
                f"frames cannot include {unknown[0]!r}, only {', '.join(sorted(INCLUDES))}"
            )
        if not 0 <= self.most_jitter_s <= 1:
            raise UsageError(f"most_jitter_s is {self.most_jitter_s}, expected 0 to 1 second")

    @property
    def host(self) -> str:
        """The engine's machine."""
        return urlsplit(self.url).hostname or ""

    @property
    def own_session(self) -> bool:
        """Whether the engine opens a session for us, which takes our audio."""
        return urlsplit(self.url).path == "/v1/session"

    @property
    def greeting(self) -> ClientHello | None:
        """The hello to send first, if any."""
        return self.hello or (ClientHello() if self.own_session else None)

    @property
    def subscription(self) -> frozenset[str]:
        """What to ask for: a recording holds everything."""
        return INCLUDES if self.record else self.include
