"""Where a stream goes, for `live` and `replay` alike: the page, other programs; and settings."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from streamer.avatar import Avatar, read_avatar
from streamer.body_size import body_radius
from streamer.clock import Clock
from streamer.config import (
    LiveConfig,
    Mouth,
    ReplayConfig,
    ServerOptions,
    VmcOptions,
    VrchatOptions,
    read_toml,
)
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


async def open_outlets(
    stack: AsyncExitStack,
    config: LiveConfig | ReplayConfig,
    *,
    rig: Avatar | None,
    fps: float,
    clock: Clock,
) -> list[Sink]:
    """Return the senders that were asked for.

    rig: whose bones are meant, None for a model that is not known. fps: of frames.
    """
    sinks = list[Sink]()
    timing: _Timing = {"output_fps": config.output_fps, "frame_s": 1 / fps, "clock": clock}
    face = config.mouth == "on"
    if config.vmc is not None:
        sinks.append(await _vmc_sink(stack, config.vmc, config.vmc_options, rig, face, timing))
    if config.vrchat is not None:
        sinks.append(await _vrchat_sink(config.vrchat, face=face, clock=clock))
    if config.rokoko is not None:
        from streamer.sinks.rokoko import RokokoSink

        sinks.append(RokokoSink(*config.rokoko, face=face, **timing))
    if config.livelink_face is not None:
        from streamer.sinks.livelink_face import LiveLinkFaceSink

        sinks.append(LiveLinkFaceSink(*config.livelink_face, **timing))
    return sinks


class _Timing(TypedDict):
    output_fps: float
    frame_s: float
    clock: Clock


async def _vmc_sink(
    stack: AsyncExitStack,
    target: tuple[str, int],
    options: VmcOptions,
    rig: Avatar | None,
    face: bool,
    timing: _Timing,
) -> Sink:
    """Return the VMC sender, listening to a tracker if it shall."""
    from streamer.sinks.vmc import VmcSink
    from streamer.vmc_input import DEFAULT_WEIGHTS, VmcInput, parse_weights

    weights = DEFAULT_WEIGHTS if options.mix is None else parse_weights(read_toml(options.mix))
    upstream = None
    if options.listen is not None:
        upstream = VmcInput(
            clock=timing["clock"], sender=options.sender, delay_s=options.delay_ms / 1000
        )
        await upstream.listen(options.listen)
        stack.push_async_callback(upstream.aclose)
    return VmcSink(
        *target,
        avatar=rig,
        role=options.role,
        bundle=options.bundle,
        upstream=upstream,
        weights=weights,
        face=face,
        **timing,
    )


async def _vrchat_sink(options: VrchatOptions, *, face: bool, clock: Clock) -> Sink:
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
    shown: Callable[[Avatar | None], None] | None = None,
    choose: Choosing | None = None,
) -> tuple[str, "WebSocketSink"]:
    """Start the server; return the page's address and the viewers' sink.

    shown: told of the avatar that a page has put on, None for the mannequin.
    """
    from streamer.server import Server, ServerConfig
    from streamer.serving.watch import LocalInputs

    def show(path: Path | None) -> Mapping[str, Any]:
        worn = None if path is None else read_avatar(path)
        if shown is not None:
            shown(worn)
        return steering.set_avatar(worn, radius=None if path is None else body_radius(path))

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


def retarget(sinks: Sequence[Sink], avatar: Avatar | None) -> None:
    """Let senders that know bones go on for another avatar."""
    from streamer.sinks.vmc import VmcSink

    for sink in sinks:
        if isinstance(sink, VmcSink):
            sink.set_avatar(avatar)


class Controlled(Protocol):
    """What takes settings: one stream's `Steering`, or a server's `House`."""

    def control(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change settings by name; return all that are in effect."""
        ...


async def listen_for_settings(
    stack: AsyncExitStack, port: int, steering: Controlled, tell: Callable[[Event], None]
) -> int:
    """Take settings by OSC on a port, and tell viewers of them; return the port."""
    from streamer.osc_control import OscControl

    def told(settings: Mapping[str, Any]) -> None:
        tell(Event(kind="settings", sample=0, data=settings))

    osc = OscControl(steering.control, told)
    found = await osc.listen(port)
    stack.push_async_callback(osc.aclose)
    return found
