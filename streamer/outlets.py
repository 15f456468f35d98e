"""Where a stream goes, for `live` and `replay` alike: the page, VMC, settings from outside."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from streamer.avatar import Avatar, read_avatar
from streamer.clock import Clock
from streamer.config import ServerOptions
from streamer.metrics import Metrics
from streamer.sinks.base import Sink
from streamer.steering import Steering
from streamer.types import Event, Hello, WordEvent


def vmc_sink(
    target: tuple[str, int],
    *,
    output_fps: float,
    avatar: Avatar | None,
    fps: float,
    clock: Clock,
) -> Sink:
    """Return the VMC sender; fps: of the frames it will get."""
    from streamer.sinks.vmc import VmcSink

    host, port = target
    return VmcSink(host, port, output_fps=output_fps, avatar=avatar, frame_s=1 / fps, clock=clock)


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
) -> tuple[str, Sink]:
    """Start the server; return the page's address and the viewers' sink."""
    from streamer.server import Server, ServerConfig
    from streamer.serving.watch import LocalInputs

    def show(path: Path | None) -> Mapping[str, Any]:
        return steering.set_avatar(None if path is None else read_avatar(path))

    server = Server(
        ServerConfig(bind=options.bind, port=options.port),
        hello=hello,
        inputs=LocalInputs(word=word, interrupt=interrupt, control=steering.control, avatar=show),
        metrics=metrics,
        clock=clock,
    )
    url = await server.start()
    stack.push_async_callback(server.aclose)
    if avatar is not None:
        await server.set_avatar(avatar)
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
