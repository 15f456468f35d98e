"""`gesture serve`: remote sessions, until Ctrl-C."""

import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TextIO

from streamer import __version__
from streamer.asr.opening import open_remote_words
from streamer.asr.remote import HeardSession, check
from streamer.config import ServeConfig
from streamer.errors import UsageError
from streamer.face import Face
from streamer.interrupt import interruptible
from streamer.metrics import open_metrics
from streamer.outlets import listen_for_settings
from streamer.playing import load_engine
from streamer.progress import StatusLine
from streamer.server import Server, ServerConfig
from streamer.session import SessionOptions
from streamer.steered import House, SteeredSession
from streamer.types import Event, Hello

_clock = time.perf_counter


async def serve(config: ServeConfig, *, status: TextIO | None = None) -> None:
    """Serve until Ctrl-C; raises `GestureError` for anything that cannot be had."""
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(interruptible())
        words = open_remote_words(config.asr)
        await check(words, clock=_clock)
        metrics = open_metrics()
        loaded = load_engine(config.model, clock=_clock, slots=config.sessions, metrics=metrics)
        engine = loaded.engine
        stack.push_async_callback(engine.aclose)

        house = House()

        def open_session(asked: SessionOptions) -> SteeredSession:
            """Open a session; what the client leaves open is as the command line says."""
            own = config.model
            lookahead = own.lookahead if asked.lookahead is None else asked.lookahead
            style = own.style if asked.style is None else asked.style
            session = engine.open_session(replace(asked, lookahead=lookahead, style=style))
            heard = HeardSession(session, words, policy=config.words, clock=_clock)
            face = Face(seed=asked.seed) if config.mouth else None
            return SteeredSession(heard, house=house, face=face)

        server = Server(
            ServerConfig(
                bind=config.server.bind,
                port=config.server.port,
                hosts=config.server.hosts,
                cert=config.server.cert,
                key=config.server.key,
                token=config.server.token,
                max_sessions=config.sessions,
            ),
            hello=_no_stream,
            open_session=open_session,
            metrics=metrics,
            clock=_clock,
        )
        url = await server.start()
        stack.push_async_callback(server.aclose)
        if config.avatar is not None:
            await server.set_avatar(config.avatar)
        if config.osc_in is not None:
            await listen_for_settings(stack, config.osc_in, house, _told)
        line = StatusLine(status or sys.stderr, _clock)
        line.say(
            f"Gesture Streamer {__version__}: {engine.spec.name} on {loaded.backend.name} "
            f"({loaded.backend.reason})"
        )
        line.say(f"  sessions  {url}v1/session, at most {config.sessions}")
        line.say(f"  words     {'sent by clients' if config.asr == 'external' else config.asr}")
        line.say("  Ctrl-C ends")
        await stop.wait()


def _told(event: Event) -> None:
    """Sessions tell their clients themselves."""


def _no_stream() -> Hello:
    raise UsageError("this server has no stream of its own; connect to /v1/session")
