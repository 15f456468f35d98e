"""The streaming acceptance tests of hop.md 15 that need an engine, for any artifact.

Save and restore, batched equals alone, and the masks are laws of the step
contract (`tests.contract.laws`).
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.clock import SAMPLE_RATE
from streamer.engine import Engine
from streamer.session import SessionOptions
from streamer.types import AudioChunk, Float32, SkeletonFrame, WordEvent
from tests.fakes import Unturned, voice

Said = tuple[WordEvent, int]
"""A word and the sample of its arrival."""

WORDS = ("we", "really", "don't", "know", "gestures")


def spoken(seconds: float, seed: int = 1) -> list[Said]:
    """Return words that arrive up to a second after they began."""
    rng = np.random.default_rng(seed)
    starts = np.arange(0.2, seconds, 0.4)
    return [
        (
            WordEvent(
                text=str(rng.choice(WORDS)), start=int(t * 16_000), end=int(t * 16_000) + 4_000
            ),
            int((t + rng.random()) * SAMPLE_RATE),
        )
        for t in starts
    ]


async def _frames(
    folder: Path, pieces: Iterator[Float32], words: Sequence[Said]
) -> list[SkeletonFrame]:
    engine = Engine(lambda: OnnxRuntimeBackend(folder), retarget=Unturned)
    session = engine.open_session(SessionOptions())
    waiting = sorted(words, key=lambda said: said[1])

    async def collect() -> list[SkeletonFrame]:
        return [frame async for frame in session]

    collecting = asyncio.create_task(collect())
    start = 0
    for piece in pieces:
        while waiting and waiting[0][1] < start + len(piece):
            session.push_word(waiting[0][0], waiting.pop(0)[1])
        await session.feed_audio(AudioChunk(samples=piece, start=start, captured_at=0.0))
        start += len(piece)
    await session.finish()
    frames = await collecting
    await engine.aclose()
    return frames


def stream(folder: Path, pieces: Iterator[Float32], words: Sequence[Said]) -> list[SkeletonFrame]:
    """Return the frames of audio in these pieces; a word is pushed before the piece it comes in.

    It says when it arrives, so that the pieces do not matter.
    """
    return asyncio.run(_frames(folder, pieces, words))


def cut(samples: Float32, rng: np.random.Generator, longest: int) -> Iterator[Float32]:
    """Yield the samples in pieces of 1 to `longest`."""
    at = 0
    while at < len(samples):
        size = int(rng.integers(1, longest + 1))
        yield samples[at : at + size]
        at += size


def any_partition_is_the_same(folder: Path, seconds: float) -> None:
    """Tests 1 and 2: pieces of 1 to 5000 samples give the frames of the whole, bit for bit."""
    samples = voice(seconds)
    whole = stream(folder, iter([samples]), [])
    assert len(whole) == int(seconds * 15)
    parts = stream(folder, cut(samples, np.random.default_rng(3), 5_000), [])
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a.directions, b.directions)
    assert np.abs(whole[-1].directions - whole[len(whole) // 2].directions).max() > 1e-6


def the_past_stands(folder: Path, seconds: float) -> None:
    """Test 4: sound and words that come after a time change no frame emitted up to it."""
    spec = OnnxRuntimeBackend(folder).spec
    now = int(seconds / 2 * SAMPLE_RATE)
    samples, other = voice(seconds), voice(seconds)
    other[now:] = other[now:][::-1] * 0.5
    said = spoken(seconds)
    changed = [s for s in said if s[1] <= now] + [s for s in spoken(seconds, 9) if s[1] > now]
    pieces = np.random.default_rng(4)
    a = stream(folder, cut(samples, pieces, 700), said)
    b = stream(folder, cut(other, pieces, 900), changed)
    steps = spec.clock.frames_in(now) // spec.frames_per_step
    emitted = steps * spec.frames_per_step - spec.default_lookahead
    assert emitted > 15
    for x, y in zip(a[:emitted], b[:emitted], strict=True):
        np.testing.assert_array_equal(x.directions, y.directions)
    assert np.abs(a[-1].directions - b[-1].directions).max() > 1e-6, "nothing had changed"


def it_goes_on(folder: Path, seconds: float) -> None:
    """Test 6, without the memory: every frame is there, finite, of unit vectors."""
    part = voice(9.0)
    count = int(seconds * SAMPLE_RATE)
    pieces = (part[: min(len(part), count - at)] for at in range(0, count, len(part)))
    frames = stream(folder, pieces, spoken(min(seconds, 30.0)))
    assert [frame.index for frame in frames] == list(range(int(seconds * 15)))
    directions = np.array([frame.directions for frame in frames])
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0, atol=1e-5)
