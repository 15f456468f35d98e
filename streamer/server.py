"""One port: the overlay page, viewers of the local session, remote sessions.

`Server` ties together what `streamer.serving` holds: `pages` (HTTP), `viewer`
and `flow` (who is sent what, and when), `watch` and `remote` (what clients may
say), `avatars`, `gate`. The wire is `streamer.wire`, who comes in is decided by
`streamer.security`.
"""

import asyncio
import errno
import functools
import logging
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from platformdirs import user_data_path
from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.typing import Subprotocol

from streamer.avatar import read_avatar
from streamer.clock import Clock
from streamer.errors import GestureError, InputError, ProtocolError, UsageError
from streamer.metrics import Metrics, open_metrics
from streamer.security import AccessPolicy, check_exposure, is_loopback, same_token, tls_context
from streamer.serving import remote
from streamer.serving.avatars import AvatarStore
from streamer.serving.gate import Flood, Gate, GatedConnection
from streamer.serving.handshake import TRANSFER_S, Handshake
from streamer.serving.pages import Pages
from streamer.serving.remote import OpenSession
from streamer.serving.uploads import Uploads
from streamer.serving.viewer import Viewer, close
from streamer.serving.watch import LocalInputs, Watch
from streamer.session import SessionOptions
from streamer.sinks.websocket import WebSocketSink
from streamer.types import Event, Hello
from streamer.wire import SUBPROTOCOLS, CloseCode, hello_json
from streamer.wire_requests import MAX_CHUNK_BYTES, ClientHello, decode_request

_log = logging.getLogger(__name__)

_DATA: Final = Path(str(files("streamer") / "data"))
_CLOSE_S: Final = 2.0
_PING_EVERY_S: Final = 20.0
_PING_TIMEOUT_S: Final = 60.0
"""A viewer may stand still for 20 s and more (a debugger, a sleeping tab)."""
_HIGH_WATER: Final = 256 * 1024
_IN_USE: Final = frozenset({errno.EADDRINUSE, errno.EACCES, 10013, 10048})  # the last two: Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where and for whom the server listens.

    port: 0 takes a free one. hosts: further names under which a proxy or a
    certificate makes us known. avatars: folder of the remembered avatar, None
    for the user's data folder. web, mannequin: the built page and its avatar.
    """

    bind: str = "127.0.0.1"
    port: int = 8765
    hosts: tuple[str, ...] = ()
    cert: Path | None = None
    key: Path | None = None
    token: str | None = None
    max_viewers: int = 1024
    max_sessions: int = 64
    handshake_timeout_s: float = 10.0
    idle_timeout_s: float = 120.0
    avatars: Path | None = None
    web: Path = _DATA / "web"
    mannequin: Path = _DATA / "avatars" / "mannequin.vrm"


class Server:
    """Serves one local stream and, with `open_session`, many remote ones.

    Everything here belongs to the event loop. hello: the header of the local
    stream, asked for each viewer, so that its latencies are current; its avatar
    is filled in here. inputs: ways into the local session, if there are any.
    check_avatar: raises `InputError` for a file that cannot be shown.
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        hello: Callable[[], Hello],
        open_session: OpenSession | None = None,
        inputs: LocalInputs | None = None,
        check_avatar: Callable[[Path], object] = read_avatar,
        metrics: Metrics | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.metrics: Final = metrics or open_metrics()
        self.sink: Final = WebSocketSink(clock=clock, metrics=self.metrics)
        self._config = config
        self._hello = hello
        self._open_session = open_session
        self._inputs = inputs
        self._clock = clock
        self._gate = Gate(
            limit=2 * (config.max_viewers + config.max_sessions) + 64,
            transfers=16,
            request_timeout_s=config.handshake_timeout_s,
        )
        self._sessions = 0
        self._clients = 0
        self._store = AvatarStore(
            folder=config.avatars or user_data_path("gesture-streamer", appauthor=False) / "avatar",
            default=config.mannequin,
            check=check_avatar,
        )
        self._uploads = Uploads(self._store)
        pages = Pages(
            web=config.web,
            avatars=self._store,
            metrics=self.metrics,
            token=config.token,
            readiness=self._readiness,
        )
        self._handshake = Handshake(pages=pages, gate=self._gate)
        self._listening: WebSocketServer | None = None

    async def start(self) -> str:
        """Listen and return the address of the page.

        Raises `UsageError` for a port in use, an address that is not ours, and
        an exposed address without TLS and token.
        """
        config = self._config
        check_exposure(
            bind=config.bind,
            hosts=config.hosts,
            cert=config.cert,
            key=config.key,
            token=config.token,
        )
        if not 0 <= config.port <= 65535:
            raise UsageError(f"port {config.port} does not exist; give 0 to 65535")
        tls = tls_context(config.cert, config.key) if config.cert and config.key else None
        bind = "127.0.0.1" if config.bind == "localhost" else config.bind.strip("[]")
        try:
            listening = await self._listen(bind, tls)
            port = cast(int, listening.sockets[0].getsockname()[1])
            self._handshake.policy = AccessPolicy.of(
                bind=bind, port=port, tls=tls is not None, hosts=config.hosts
            )
            await listening.start_serving()
        except OSError as error:
            raise _bind_error(config, error) from error
        self._listening = listening
        name = config.hosts[0] if config.hosts else "127.0.0.1" if is_loopback(bind) else bind
        shown = f"[{bind}]" if name == bind and ":" in bind else name
        authority = shown if config.hosts and ":" in shown else f"{shown}:{port}"
        return f"{'https' if tls else 'http'}://{authority}/"

    async def set_avatar(self, path: Path) -> None:
        """Show a file of the user's on every page; raises `InputError` with the reason."""
        avatar = await self._uploads.adopt(path)
        await self.sink.event(Event(kind="avatar", sample=0, data=avatar.info()))

    @property
    def custom_avatar(self) -> Path | None:
        """The user's avatar that pages show, remembered ones included; None for the mannequin."""
        avatar = self._store.current
        return avatar.path if avatar is not None and avatar.custom else None

    async def aclose(self) -> None:
        """Take no more, tell every client that the stream has ended, and stop."""
        self._handshake.draining = True
        if self._listening is None:
            return
        self._listening.close(close_connections=False)
        await self.sink.event(Event(kind="end", sample=self.sink.last_sample))
        await self.sink.aclose()
        await asyncio.gather(
            *(close(ws, 1001, "the server stops") for ws in tuple(self._gate.open) if _is_open(ws))
        )
        for ws in tuple(self._gate.open):
            ws.transport.abort()
        await self._listening.wait_closed()

    async def _listen(self, bind: str, tls: ssl.SSLContext | None) -> WebSocketServer:
        tls_options: dict[str, Any] = (
            {"ssl": tls, "ssl_handshake_timeout": self._config.handshake_timeout_s} if tls else {}
        )
        connection = functools.partial(GatedConnection, gate=self._gate)
        return await serve(
            self._serve,
            bind,
            self._config.port,
            create_connection=cast(type[ServerConnection], connection),
            process_request=self._handshake.process_request,
            select_subprotocol=self._handshake.select_subprotocol,
            subprotocols=[Subprotocol(name) for name in SUBPROTOCOLS],
            compression=None,  # costs more than it saves (protocols.md 4.1)
            max_size=MAX_CHUNK_BYTES,
            write_limit=_HIGH_WATER,
            open_timeout=TRANSFER_S,  # includes sending a page; `Gate` bounds the request
            close_timeout=_CLOSE_S,
            ping_interval=_PING_EVERY_S,
            ping_timeout=_PING_TIMEOUT_S,
            server_header=None,
            logger=_log.getChild("connections"),
            start_serving=False,  # until the policy knows the port
            **tls_options,
        )

    def _readiness(self) -> tuple[bool, Mapping[str, Any]]:
        ready = not self._handshake.draining and self._sessions < self._config.max_sessions
        return ready, {
            "draining": self._handshake.draining,
            "sessions": self._sessions,
            "max_sessions": self._config.max_sessions,
            "viewers": self.sink.viewers,
        }

    async def _serve(self, ws: ServerConnection) -> None:
        assert ws.request is not None
        path = urlsplit(ws.request.path).path
        name = self.sink.name if path == "/v1/watch" else "session"
        viewer = Viewer(
            ws, sink=name, clock=self._clock, metrics=self.metrics, flood=Flood(self._clock)
        )
        self._count_client(+1)
        try:
            if path == "/v1/watch":
                await self._watch(ws, viewer)
            else:
                await self._session(ws, viewer)
        except ConnectionClosed:
            pass
        except ProtocolError as error:
            await viewer.refuse(error)
        except (InputError, UsageError) as error:
            await viewer.refuse(ProtocolError(str(error)))
        except GestureError as error:  # ours, not the client's
            await viewer.refuse(ProtocolError(str(error), code=CloseCode.FAILED))
        finally:
            self._count_client(-1)

    async def _watch(self, ws: ServerConnection, viewer: Viewer) -> None:
        if self._config.token is not None:
            await self._greeting(ws)
        if self.sink.viewers >= self._config.max_viewers:
            raise ProtocolError(
                f"{self.sink.viewers} viewers are all it takes", code=CloseCode.FULL
            )
        viewer.tell(hello_json(self._with_avatar(self._hello())))
        watch = Watch(
            viewer,
            uploads=self._uploads,
            inputs=self._inputs,
            tell_all=self.sink.event,
        )
        self.sink.add(viewer)
        if isinstance(ws, GatedConnection):
            ws.shortcut = viewer.acknowledge
        try:
            await watch.run(ws)
        finally:
            self.sink.remove(viewer)

    async def _session(self, ws: ServerConnection, viewer: Viewer) -> None:
        greeting = await self._greeting(ws)
        if self._open_session is None:
            raise ProtocolError(
                "no remote sessions here; start `gesture serve`", code=CloseCode.FULL
            )
        if self._sessions >= self._config.max_sessions:
            raise ProtocolError(f"{self._sessions} sessions are all it takes", code=CloseCode.FULL)
        options = SessionOptions(
            name=uuid.uuid4().hex,
            lookahead=greeting.lookahead,
            seed=greeting.seed,
            style=greeting.style,
        )
        self._count_session(+1)
        try:
            session = self._open_session(options)
            viewer.tell(hello_json(self._with_avatar(session.hello())))
            sink = WebSocketSink(clock=self._clock, metrics=self.metrics, name="session")
            await remote.run(
                ws,
                session,
                viewer=viewer,
                sink=sink,
                clock=self._clock,
                idle_s=self._config.idle_timeout_s,
            )
        finally:
            self._count_session(-1)

    async def _greeting(self, ws: ServerConnection) -> ClientHello:
        """Return the client's hello; raises `ProtocolError` without one or its token."""
        timeout = self._config.handshake_timeout_s
        try:
            async with asyncio.timeout(timeout):
                first = await ws.recv()
        except TimeoutError as error:
            raise ProtocolError(
                f"no hello within {timeout:.0f} s", code=CloseCode.SILENT
            ) from error
        greeting = decode_request(first) if isinstance(first, str) else None
        if not isinstance(greeting, ClientHello):
            raise ProtocolError("the first message must be a hello", code=CloseCode.UNAUTHORISED)
        if self._config.token is not None and not same_token(greeting.token, self._config.token):
            raise ProtocolError("wrong token", code=CloseCode.UNAUTHORISED)
        return greeting

    def _with_avatar(self, hello: Hello) -> Hello:
        avatar = self._store.current
        return replace(hello, avatar=avatar.info() if avatar else {})

    def _count_session(self, change: int) -> None:
        self._sessions += change
        self.metrics.sessions(self._sessions)

    def _count_client(self, change: int) -> None:
        self._clients += change
        self.metrics.clients(self._clients)


def _is_open(ws: ServerConnection) -> bool:
    return ws.state in (State.OPEN, State.CLOSING)


def _bind_error(config: ServerConfig, error: OSError) -> UsageError:
    if error.errno in _IN_USE:
        return UsageError(
            f"port {config.port} on {config.bind} is in use or not allowed; "
            "stop the other program, or take a free port with --port 0"
        )
    return UsageError(
        f"cannot listen on {config.bind} port {config.port}: {error.strerror or error}; "
        "bind to an address of this machine, such as 127.0.0.1"
    )
