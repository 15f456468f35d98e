"""`gesture replay`: a recording as the source of every sink, in real time."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TextIO

from streamer import __version__
from streamer.avatar import read_avatar
from streamer.body_size import body_radius
from streamer.bone_map import read_bone_map
from streamer.clock import SAMPLE_RATE
from streamer.config import ReplayConfig
from streamer.errors import UsageError
from streamer.interrupt import interruptible
from streamer.metrics import open_metrics
from streamer.outlets import (
    listen_for_settings,
    makes_face,
    open_outlets,
    retarget,
    start_server,
)
from streamer.profiles import ProfileStore, default_folder
from streamer.progress import StatusLine
from streamer.recordings.reading import Recording, read_recording
from streamer.sinks.fanout import Fanout
from streamer.sinks.file import open_recording
from streamer.steering import Steering
from streamer.types import Event, SkeletonFrame, WordEvent

_clock = time.perf_counter

# Events of the recorded stream that are true again when it is replayed.
_AGAIN = ("word", "caption", "reset")


async def replay(config: ReplayConfig, *, status: TextIO | None = None) -> dict[str, Any]:
    """Play a recording to its end, or again and again; return what was sent.

    Raises `GestureError` for anything that was asked for and cannot be had.
    """
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(interruptible())
        line = StatusLine(status or sys.stderr, _clock)
        stack.callback(line.clear)
        recording = await asyncio.to_thread(read_recording, config.recording)
        faces = makes_face(config.mouth, config.vmc_options)
        hello = recording.take.hello if faces else replace(recording.take.hello, face=())
        avatar = None if config.avatar is None else read_avatar(config.avatar)
        rig = avatar if config.bone_map is None else read_bone_map(config.bone_map)
        radius = None if config.avatar is None else body_radius(config.avatar)
        profiles = ProfileStore(default_folder())
        steering = Steering(profiles=profiles, avatar=avatar, radius=radius)
        sinks = [
            open_recording(path, lambda: hello, avatar=rig, worn=config.avatar)
            for path in config.record
        ]
        senders = await open_outlets(stack, config, rig=rig, fps=hello.fps, clock=_clock)
        sinks += senders
        url, viewers = None, None
        if config.server is not None:
            url, viewers = await start_server(
                stack,
                config.server,
                avatar=config.avatar,
                hello=lambda: hello,
                word=_no_word,
                interrupt=_no_interrupt,
                steering=steering,
                shown=lambda worn: None if config.bone_map else retarget(senders, worn),
                metrics=open_metrics(),
                clock=_clock,
            )
            sinks.append(viewers)
        fanout = Fanout(sinks, clock=_clock, measured=viewers)
        stack.push_async_callback(fanout.aclose)
        if config.osc_in is not None:
            await listen_for_settings(stack, config.osc_in, steering, fanout.put)
        line.say(f"Gesture Streamer {__version__}: {config.recording.name}")
        if url is not None:
            line.say(f"  page  {url}")
        line.say("  Ctrl-C ends")
        frames = await _play(recording, steering, fanout, stop, loop=config.loop, faces=faces)
        fanout.put(Event(kind="end", sample=0))
        await fanout.aclose()
        for name, reason in fanout.failed.items():
            line.say(f"gesture: {name} failed: {reason}")
        return {
            "frames": frames,
            "seconds": round(frames / hello.fps, 3),
            "dropped": sum(fanout.dropped.values()),
        }


async def _play(
    recording: Recording,
    steering: Steering,
    fanout: Fanout,
    stop: asyncio.Event,
    *,
    loop: bool,
    faces: bool,
) -> int:
    """Hand frames and events over at their times until the end or `stop`; return how many."""
    take = recording.take
    count = len(take.sample)
    period = int(take.sample[-1]) - int(take.sample[0]) + round(SAMPLE_RATE / take.hello.fps)
    began, sent, turn = _clock(), 0, 0
    while not stop.is_set():
        shift = turn * period - int(take.sample[0])
        events = [e for e in recording.events if e.kind in _AGAIN]
        for n in range(count):
            sample = int(take.sample[n]) + shift
            if not await _until(began + sample / SAMPLE_RATE, stop):
                return sent
            while events and events[0].sample + shift <= sample:
                event = events.pop(0)
                moved = max(event.sample + shift, 0)
                fanout.put(Event(kind=event.kind, sample=moved, data=event.data))
            frame = _shifted(recording.frame(n, at=_clock()), sent, sample)
            if not faces:
                frame = replace(frame, face=None)
            fanout.put(steering.apply(frame))
            sent += 1
        if not loop:
            break
        turn += 1
    return sent


def _shifted(frame: SkeletonFrame, index: int, sample: int) -> SkeletonFrame:
    return replace(frame, index=index, sample=sample)


async def _until(when: float, stop: asyncio.Event) -> bool:
    """Wait for a wall time; False where `stop` comes first."""
    left = when - _clock()
    if left <= 0:
        await asyncio.sleep(0)
        return not stop.is_set()
    try:
        await asyncio.wait_for(stop.wait(), left)
    except TimeoutError:
        return True
    return False


def _no_word(word: WordEvent) -> None:
    raise UsageError("a recording takes no words")


def _no_interrupt() -> None:
    raise UsageError("a recording cannot be interrupted")
