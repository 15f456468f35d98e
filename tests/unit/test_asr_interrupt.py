"""A synthesiser pushes words and audio ahead of playback, and is cut off."""

import asyncio
from itertools import pairwise

import numpy as np

from streamer.engine import Engine
from streamer.session import Session, SessionOptions
from streamer.types import AudioChunk, Event, SkeletonFrame, WordEvent
from tests.fakes import NumpyBackend, Unturned, voice

FRAME = 16_000 / 15


async def collect(session: Session) -> tuple[list[SkeletonFrame], list[Event]]:
    items = [item async for item in session.items()]
    frames = [item for item in items if isinstance(item, SkeletonFrame)]
    return frames, [item for item in items if isinstance(item, Event)]


async def speak(*, interrupt: bool) -> tuple[list[SkeletonFrame], list[Event], np.ndarray]:
    """Speak 2 s, be cut off there with 2 s of audio and words ahead; return what came out."""
    engine = Engine(NumpyBackend, retarget=Unturned)
    session = engine.open_session(SessionOptions(lookahead=2))
    collecting = asyncio.create_task(collect(session))
    for i in range(16):
        word = WordEvent(text=f"w{i}", start=4_000 * i, end=4_000 * i + 3_000)
        session.push_word(word, arrival=0)
    speech = voice(2.0)
    await session.feed_audio(AudioChunk(samples=speech, start=0, captured_at=0.0))
    while session._under_way:  # noqa: ASYNC110 what was played has been computed
        await asyncio.sleep(0)
    if interrupt:
        session.interrupt()
    rest = np.zeros(32_000, np.float32)
    await session.feed_audio(AudioChunk(samples=rest, start=32_000, captured_at=0.0))
    await session.finish()
    frames, events = await collecting
    resting = session._steps.rest
    await engine.aclose()
    return frames, events, resting


def angles(frames: list[SkeletonFrame], rest: np.ndarray) -> np.ndarray:
    """Degrees from rest [frames], the mean of all vectors."""
    poses = np.array([frame.directions for frame in frames])
    return np.degrees(np.arccos(np.clip((poses * rest).sum(-1), -1, 1))).mean(1)


async def test_words_known_ahead_enter_with_their_own_audio() -> None:
    _, events, _ = await speak(interrupt=False)
    told = [(e.data["text"], e.sample) for e in events if e.kind == "word"]
    assert told == [(f"w{i}", 4_000 * i) for i in range(16)]


async def test_an_interrupt_stops_the_gesture_within_200_ms_and_lets_it_rest() -> None:
    frames, events, rest = await speak(interrupt=True)
    told = [e.data["text"] for e in events if e.kind == "word"]
    assert told == [f"w{i}" for i in range(8)], "what lay ahead is forgotten"
    assert [f.index for f in frames] == list(range(60)), "time goes on"
    cut = 30 - 2  # the first pose that was not computed when it was cut off
    poses = np.array([frame.directions for frame in frames])
    steps = np.linalg.norm(np.diff(poses, axis=0), axis=-1).max(1)  # steps[i] leads to pose i + 1
    assert steps[cut - 10 : cut - 1].max() > 0.1, "it was gesturing"
    # two poses slow down; the third, shown before 200 ms have passed, stands still
    assert steps[cut + 1] < 0.02
    assert steps[cut + 1 :].max() < 0.1, "and from there it goes home slowly"
    path = angles(frames, rest)[cut + 1 :]
    assert path[0] > 5
    assert all(after <= before + 1e-3 for before, after in pairwise(path))
    assert path[-1] < 0.8 * path[0]
