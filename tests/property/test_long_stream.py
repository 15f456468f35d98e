"""Half an hour of stream: no frame lost, nothing grows (hop.md 15, test 6)."""

import asyncio

import numpy as np
import pytest

from streamer.engine import Engine
from streamer.memory import peak_resident_mb
from streamer.session import SessionOptions
from streamer.types import AudioChunk, WordEvent
from tests.fakes import NumpyBackend, Unturned, voice

MINUTES = 30
MINUTE = 60 * 16_000


@pytest.mark.slow
async def test_half_an_hour_grows_nothing_and_drops_nothing() -> None:
    engine = Engine(NumpyBackend, retarget=Unturned)
    session = engine.open_session(SessionOptions(lookahead=2))
    minute = voice(60.0)
    peaks = list[float]()

    async def push() -> None:
        for number in range(MINUTES):
            for at in range(0, MINUTE, 4_000):
                start = number * MINUTE + at
                session.push_word(WordEvent(text="word", start=start - 3_000, end=start))
                chunk = AudioChunk(samples=minute[at : at + 4_000], start=start, captured_at=0.0)
                await session.feed_audio(chunk)
            peaks.append(peak_resident_mb())
        await session.finish()

    pushing = asyncio.create_task(push())
    count = 0
    async for frame in session:
        assert frame.index == count
        np.testing.assert_allclose(np.linalg.norm(frame.directions, axis=-1), 1, atol=1e-5)
        count += 1
    await pushing
    await engine.aclose()
    assert count == MINUTES * 60 * 15
    assert frame.sample == round((count - 1) * 16_000 / 15)
    assert session.stats().words == MINUTES * 240
    # the first minutes fill caches and the 16 384 times that are kept
    assert peaks[-1] - peaks[4] < 3, peaks
