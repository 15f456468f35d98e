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


async def test_an_interrupt_stops_the_gesture_within_200_ms_and_rests_in_600() -> None:
    frames, events, rest = await speak(interrupt=True)
    told = [e.data["text"] for e in events if e.kind == "word"]
    assert told == [f"w{i}" for i in range(8)], "what lay ahead is forgotten"
    assert [f.index for f in frames] == list(range(60)), "time goes on"
    cut = 30 - 2  # the first pose that was not computed when it was cut off
    away = angles(frames, rest)
    path = away[cut - 1 :]
    assert path[0] > 5, "it was gesturing"
    # 3 frames are 200 ms: from then on every pose is nearer to rest than the one before
    assert path[3] < path[0]
    assert all(after <= before + 1e-3 for before, after in pairwise(path[3:]))
    assert path[9] < 0.01 * path[0], "at rest after 600 ms"
    # gracefully: no step takes more than a third of the way
    poses = np.array([frame.directions for frame in frames])[cut - 1 : cut + 10]
    steps = np.linalg.norm(np.diff(poses, axis=0), axis=-1).max(1)
    whole = np.linalg.norm(poses[0] - rest, axis=-1).max()
    assert steps.max() < whole / 3 + 0.05
