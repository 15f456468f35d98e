"""Where a stream goes, for `live` and `replay` alike: the page, VMC, settings from outside."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer.avatar import Avatar, read_avatar
from streamer.clock import Clock
from streamer.config import Mouth, ServerOptions, VmcOptions, VrchatOptions, read_toml
from streamer.metrics import Metrics
from streamer.sinks.base import Sink
from streamer.steering import Steering
from streamer.types import Event, Hello, WordEvent
from streamer.wire_requests import Choose

if TYPE_CHECKING:  # the server is loaded where it is started
    from streamer.sinks.websocket import WebSocketSink

Choosing = Callable[[Choose], Awaitable[Mapping[str, Any]]]
"""See `streamer.serving.watch.LocalInputs`."""


def makes_face(mouth: Mouth, vmc: VmcOptions) -> bool:
    """Whether frames shall have a face: not where a tracker has a better one."""
    return mouth == "on" or (mouth == "auto" and vmc.listen is None)


async def vmc_sink(
    stack: AsyncExitStack,
    target: tuple[str, int],
    options: VmcOptions,
    *,
    output_fps: float,
    avatar: Avatar | None,
    face: bool,
    fps: float,
    clock: Clock,
) -> Sink:
    """Return the VMC sender, listening to a tracker if it shall.

    face: send our mouth and lids. fps: of its frames.
    """
    from streamer.sinks.vmc import VmcSink
    from streamer.vmc_input import DEFAULT_WEIGHTS, VmcInput, parse_weights

    weights = DEFAULT_WEIGHTS if options.mix is None else parse_weights(read_toml(options.mix))
    upstream = None
    if options.listen is not None:
        upstream = VmcInput(clock=clock, sender=options.sender, delay_s=options.delay_ms / 1000)
        await upstream.listen(options.listen)
        stack.push_async_callback(upstream.aclose)
    host, port = target
    return VmcSink(
        host,
        port,
        output_fps=output_fps,
        avatar=avatar,
        role=options.role,
        upstream=upstream,
        weights=weights,
        face=face,
        frame_s=1 / fps,
        clock=clock,
    )


async def vrchat_sink(options: VrchatOptions, *, face: bool, clock: Clock) -> Sink:
    """Return the sender to VRChat, which is looked for if it shall be."""
    from streamer.sinks.vrchat import VrchatSink
    from streamer.vrchat_discovery import find_vrchat

    host, port = options.host, options.port
    if host == "auto":
        host, port = await asyncio.to_thread(find_vrchat)
    return VrchatSink(
        host, port, captions=options.captions, height=options.height, face=face, clock=clock
    )


async def start_server(
    stack: AsyncExitStack,
    options: ServerOptions,
    *,
    avatar: Path | None,
    hello: Callable[[], Hello],
    word: Callable[[WordEvent], None],
    interrupt: Callable[[], None],
    steering: Steering,
    metrics: Metrics,
    clock: Clock,
    choose: Choosing | None = None,
) -> tuple[str, "WebSocketSink"]:
    """Start the server; return the page's address and the viewers' sink."""
    from streamer.server import Server, ServerConfig
    from streamer.serving.watch import LocalInputs

    def show(path: Path | None) -> Mapping[str, Any]:
        return steering.set_avatar(None if path is None else read_avatar(path))

    server = Server(
        ServerConfig(
            bind=options.bind,
            port=options.port,
            hosts=options.hosts,
            cert=options.cert,
            key=options.key,
            token=options.token,
        ),
        hello=hello,
        inputs=LocalInputs(
            word=word,
            interrupt=interrupt,
            control=steering.control,
            avatar=show,
            choose=choose,
        ),
        metrics=metrics,
        clock=clock,
    )
    url = await server.start()
    stack.push_async_callback(server.aclose)
    if avatar is not None:
        await server.set_avatar(avatar)
    elif (remembered := server.custom_avatar) is not None:
        show(remembered)
    return url, server.sink


async def listen_for_settings(
    stack: AsyncExitStack, port: int, steering: Steering, tell: Callable[[Event], None]
) -> int:
    """Take settings by OSC on a port, and tell viewers of them; return the port."""
    from streamer.osc_control import OscControl

    def told(settings: Mapping[str, Any]) -> None:
        tell(Event(kind="settings", sample=0, data=settings))

    osc = OscControl(steering.control, told)
    found = await osc.listen(port)
    stack.push_async_callback(osc.aclose)
    return found
