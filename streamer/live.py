"""`gesture live`: one source, one session, every sink, until it ends."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import Any, TextIO

from streamer import __version__
from streamer.asr.listening import Listening
from streamer.asr.opening import open_words
from streamer.audio.opening import open_source
from streamer.audio.source import AudioSource
from streamer.avatar import read_avatar
from streamer.backends.loading import find_artifact
from streamer.body_size import body_radius
from streamer.bone_map import read_bone_map
from streamer.choices import Choices, known_models
from streamer.clock import SAMPLE_RATE
from streamer.config import LiveConfig
from streamer.face import Face, with_face
from streamer.interrupt import interruptible
from streamer.metrics import open_metrics
from streamer.outlets import (
    listen_for_settings,
    makes_face,
    open_outlets,
    retarget,
    start_server,
)
from streamer.playing import Loaded, load_engine, pump, report, session_options
from streamer.profiles import ProfileStore, default_folder
from streamer.progress import StatusLine
from streamer.session import Session
from streamer.sinks.base import Hearing
from streamer.sinks.fanout import Fanout
from streamer.sinks.file import open_recording
from streamer.sinks.websocket import WebSocketSink
from streamer.steering import Steering
from streamer.types import AudioChunk, Event, SkeletonFrame

_clock = time.perf_counter


async def live(config: LiveConfig, *, began: float, status: TextIO | None = None) -> dict[str, Any]:
    """Run until the source ends, its time is up or Ctrl-C; return the report of DESIGN 7.

    began: the `perf_counter` time at which the program started. Raises
    `GestureError` for anything that was asked for and cannot be had.
    """
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(interruptible())
        line = StatusLine(status or sys.stderr, _clock)
        stack.callback(line.clear)
        later = _Later(faces=makes_face(config.mouth, config.vmc_options))
        avatar = None if config.avatar is None else read_avatar(config.avatar)
        rig = avatar if config.bone_map is None else read_bone_map(config.bone_map)
        face = Face() if makes_face(config.mouth, config.vmc_options) else None
        radius = None if config.avatar is None else body_radius(config.avatar)
        profiles = ProfileStore(default_folder())
        steering = Steering(profiles=profiles, avatar=avatar, face=face, radius=radius)
        recordings = [
            open_recording(path, later.hello, avatar=rig, worn=config.avatar)
            for path in config.record
        ]
        source = open_source(config.source, device=config.device, clock=_clock)
        stack.push_async_callback(source.aclose)
        words = open_words(config.asr, source, recognise=source.live)
        metrics = open_metrics()
        loaded = load_engine(config.model, clock=_clock, metrics=metrics)
        later.session = session = loaded.engine.open_session(session_options(config.model))
        choices = Choices(
            source=source,
            session=session,
            engine=loaded.engine,
            config=config.model,
            load=lambda wanted: load_engine(wanted, clock=_clock, metrics=metrics).engine,
            models=known_models(find_artifact(config.model.model)),
            fixed_layout=bool(config.record),
            renew=later.renew,
        )
        stack.push_async_callback(choices.aclose)
        listening = Listening(words, session, policy=config.words, tell=later.tell, clock=_clock)
        stack.push_async_callback(listening.aclose)
        listening.start()
        senders = await open_outlets(
            stack, config, rig=rig, fps=float(session.spec.fps), clock=_clock
        )
        sinks = [*recordings, *senders]
        url, viewers = None, None
        if config.server is not None:
            url, viewers = await start_server(
                stack,
                config.server,
                avatar=config.avatar,
                hello=later.hello,
                word=listening.word,
                interrupt=listening.interrupt,
                steering=steering,
                shown=lambda worn: None if config.bone_map else retarget(senders, worn),
                metrics=metrics,
                clock=_clock,
                choose=choices.choose,
            )
            sinks.append(viewers)
            later.viewers = viewers
        later.fanout = fanout = Fanout(sinks, clock=_clock, measured=viewers)
        stack.push_async_callback(fanout.aclose)
        if config.osc_in is not None:
            await listen_for_settings(stack, config.osc_in, steering, fanout.put)
        await listening.ready()
        run = _Run(choices, session, source, steering, fanout, line, began=began)
        _greet(line, loaded, session, source, url, words=listening.name)

        ears = [ear for ear in (face, *recordings) if isinstance(ear, Hearing)]

        async def push(chunk: AudioChunk) -> None:
            for ear in ears:
                ear.hear(chunk)
            session.push_audio(chunk)

        helpers = [asyncio.create_task(run.stop_with(stop)), asyncio.create_task(run.show())]
        consuming = asyncio.create_task(run.consume())
        try:
            limit = None if config.duration is None else round(config.duration * SAMPLE_RATE)
            await pump(source, push, listening=listening, limit=limit)
            await session.finish()
            await consuming
        finally:
            for task in (*helpers, consuming):
                task.cancel()
            await asyncio.gather(*helpers, consuming, return_exceptions=True)
        return {**await run.finish(), **listening.report()}


class _Later:
    """Recordings are opened before anything starts, their session and fan-out afterwards."""

    session: Session
    fanout: Fanout
    viewers: WebSocketSink | None = None

    def __init__(self, *, faces: bool) -> None:
        self._faces = faces

    def hello(self) -> Any:
        hello = self.session.hello()
        return with_face(hello) if self._faces else hello

    def tell(self, event: Event) -> None:
        self.fanout.put(event)

    def renew(self) -> None:
        if self.viewers is not None:
            self.viewers.renew()


class _Run:
    """A stream that runs: where its frames go, and what is shown meanwhile."""

    def __init__(
        self,
        choices: Choices,
        session: Session,
        source: AudioSource,
        steering: Steering,
        fanout: Fanout,
        line: StatusLine,
        *,
        began: float,
    ) -> None:
        self._choices = choices
        self._steering = steering
        self._session = session
        self._source = source
        self._fanout = fanout
        self._line = line
        self._began = began
        self._first: SkeletonFrame | None = None
        self._last: SkeletonFrame | None = None
        self._fps = 0.0

    async def consume(self) -> None:
        """Hand everything to the sinks until the session ends."""
        async for item in self._session.items():
            if isinstance(item, SkeletonFrame):
                self._note(item)
                item = self._steering.apply(item)
            elif item.kind == "warning":
                self._line.say(f"gesture: {item.data['message']}")
            self._fanout.put(item)
        self._fanout.put(Event(kind="end", sample=self._session.position))

    async def show(self) -> None:
        """Keep the status line up to date."""
        while True:
            await asyncio.sleep(self._line.every_s)
            if self._last is not None:
                self._line.show(self._status(self._last))

    async def stop_with(self, stop: asyncio.Event) -> None:
        """End the source on Ctrl-C; what is under way is still delivered."""
        await stop.wait()
        await self._source.aclose()

    async def finish(self) -> dict[str, Any]:
        """Close the sinks and return the report."""
        await self._fanout.aclose()
        for name, reason in self._fanout.failed.items():
            self._line.say(f"gesture: {name} failed: {reason}")
        first, wire_times = self._first, self._fanout.wire_times
        done = report(
            self._choices.engine,
            self._session,
            fps=self._fps,
            deadline_misses=self._session.stats().deadline_misses,
            mic_to_wire=wire_times if wire_times.count else self._session.wire_times,
            dropped=sum(self._fanout.dropped.values()),
        )
        done["first_frame_s"] = round(first.emitted_at - self._began, 3) if first else None
        return done

    def _note(self, frame: SkeletonFrame) -> None:
        if self._first is None:
            self._first = frame
        elif not self._session.ended:  # the last frames come at once, not at the voice's pace
            frames = self._session.stats().frames - 1
            self._fps = frames / (frame.emitted_at - self._first.emitted_at)
        self._last = frame

    def _status(self, last: SkeletonFrame) -> str:
        stats, latency = self._session.stats(), self._session.latency()
        lost = stats.skipped + sum(self._fanout.dropped.values())
        return (
            f"{last.state:9}  {stats.frames} frames  {self._fps:.1f} fps  "
            f"step {latency.compute_ms:.1f} ms  mic to wire {latency.mic_to_wire_ms:.1f} ms  "
            f"audio delay {latency.visible_ms:.0f} ms  late {stats.deadline_misses}  lost {lost}"
        )


def _greet(
    line: StatusLine,
    loaded: Loaded,
    session: Session,
    source: AudioSource,
    url: str | None,
    *,
    words: str,
) -> None:
    delay = session.latency().visible_ms
    line.say(
        f"Gesture Streamer {__version__}: {loaded.engine.spec.name} on {loaded.backend.name} "
        f"({loaded.backend.reason})"
    )
    line.say(f"  source       {source.name}")
    line.say(f"  words        {words}")
    if url is not None:
        line.say(f"  page         {url}")
        line.say(f"  OBS          browser source {url}?transparent=1")
    line.say(f"  audio delay  {delay:.0f} ms: OBS, advanced audio properties, sync offset")
    line.say("  Ctrl-C ends")
