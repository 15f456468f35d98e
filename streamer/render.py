"""`gesture render`: a file's motion, as fast as the machine allows."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import Any, TextIO

from streamer.asr.listening import Listening
from streamer.asr.opening import open_words
from streamer.audio.opening import open_source
from streamer.avatar import read_avatar
from streamer.bone_map import read_bone_map
from streamer.clock import SAMPLE_RATE
from streamer.config import RenderConfig
from streamer.errors import GestureError
from streamer.face import Face, with_face
from streamer.interrupt import interruptible
from streamer.playing import load_engine, pump, report, session_options
from streamer.progress import StatusLine
from streamer.session import Session
from streamer.sinks.base import Hearing
from streamer.sinks.fanout import Fanout
from streamer.sinks.file import open_recording
from streamer.types import AudioChunk, Hello, SkeletonFrame

_clock = time.perf_counter


async def render(config: RenderConfig, *, status: TextIO | None = None) -> dict[str, Any]:
    """Write the whole motion of a file; return the report of DESIGN 7.

    The frames are those of `gesture live` on the same file; where words are
    recognised, those of a recogniser that is never late. In the report a
    deadline miss is a step that takes longer than its frames last. Raises
    `GestureError` for anything that was asked for and cannot be had.
    """
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(interruptible())
        line = StatusLine(status or sys.stderr, _clock)
        stack.callback(line.clear)
        opened = list[Session]()
        face = None if config.mouth == "off" else Face()

        def hello() -> Hello:
            return opened[0].hello() if face is None else with_face(opened[0].hello())

        avatar = None if config.avatar is None else read_avatar(config.avatar)
        rig = avatar if config.bone_map is None else read_bone_map(config.bone_map)
        sinks = [
            open_recording(path, hello, avatar=rig, worn=config.avatar) for path in config.output
        ]
        source = open_source(config.source, clock=_clock, realtime=False)
        stack.push_async_callback(source.aclose)
        words = open_words(config.asr, source, recognise=False)
        engine = load_engine(config.model, clock=_clock).engine
        stack.push_async_callback(engine.aclose)
        session = engine.open_session(session_options(config.model))
        opened.append(session)
        fanout = Fanout(sinks, clock=_clock)
        stack.push_async_callback(fanout.aclose)
        listening = Listening(
            words, session, policy=config.words, tell=fanout.put, clock=_clock, live=False
        )
        stack.push_async_callback(listening.aclose)
        listening.start()
        await listening.ready()
        began = _clock()

        async def consume() -> None:
            async for item in session.items():
                if face is not None and isinstance(item, SkeletonFrame):
                    item = face.apply(item)
                fanout.put(item)
                await fanout.room()
                seconds = session.position / SAMPLE_RATE
                line.show(
                    f"{seconds:.0f} s rendered, {seconds / (_clock() - began):.0f} x real time"
                )

        ears = [ear for ear in (face, *sinks) if isinstance(ear, Hearing)]

        async def push(chunk: AudioChunk) -> None:
            for ear in ears:
                ear.hear(chunk)
            await session.feed_audio(chunk)

        async def stop_source() -> None:
            await stop.wait()
            await source.aclose()

        consuming, stopping = asyncio.create_task(consume()), asyncio.create_task(stop_source())
        try:
            limit = None if config.duration is None else round(config.duration * SAMPLE_RATE)
            await pump(source, push, listening=listening, limit=limit)
            await session.finish()
            await consuming
        finally:
            for task in (consuming, stopping):
                task.cancel()
            await asyncio.gather(consuming, stopping, return_exceptions=True)
        wall_s = _clock() - began
        await fanout.aclose()
        if fanout.failed:
            name, reason = next(iter(fanout.failed.items()))
            raise GestureError(f"{name} failed: {reason}")
        done = report(
            engine,
            session,
            fps=session.stats().frames / wall_s,
            deadline_misses=engine.step_times.longer_than(
                engine.spec.frames_per_step / float(engine.spec.fps)
            ),
            mic_to_wire=None,
            dropped=0,
        )
        return {**done, **listening.report()}
