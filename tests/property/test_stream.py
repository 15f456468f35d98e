"""What holds for every stream, whatever its chunks, words and neighbours are."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.engine import Engine
from streamer.session import Session, SessionOptions
from streamer.types import AudioChunk, SkeletonFrame, WordEvent
from tests.fakes import NumpyBackend, Unturned, voice

SECONDS = 1.6
LENGTH = round(SECONDS * 16_000)
QUICK = settings(max_examples=25, deadline=None)


@dataclass(frozen=True)
class Told:
    """A word and the sample at which it is pushed."""

    word: WordEvent
    at: int


texts = st.one_of(st.sampled_from(["yes", "we", "No!", "", "…", "x" * 200]), st.text(max_size=5))
told = st.builds(
    lambda text, start, length, at: Told(WordEvent(text=text, start=start, end=start + length), at),
    texts,
    st.integers(-40_000, 60_000),
    st.integers(-10, 9_000),
    st.integers(0, LENGTH),
)
scripts = st.lists(told, max_size=8).map(lambda words: sorted(words, key=lambda w: w.at))
cuts = st.lists(st.integers(1, 5_000), min_size=1, max_size=40)
lookaheads = st.sampled_from([0, 2, 4])


async def play(
    session: Session, samples: np.ndarray, sizes: Sequence[int], script: Sequence[Told] = ()
) -> list[SkeletonFrame]:
    async def push() -> None:
        at, i, waiting = 0, 0, list(script)
        while at < len(samples):
            end = min(at + sizes[i % len(sizes)], len(samples))
            while waiting and waiting[0].at < end:
                word = waiting.pop(0)
                session.push_word(word.word, arrival=word.at)
            chunk = AudioChunk(samples=samples[at:end], start=at, captured_at=0.0)
            await session.feed_audio(chunk)
            at, i = end, i + 1
        await session.finish()

    pushing = asyncio.create_task(push())
    frames = [frame async for frame in session]
    await pushing
    await session.aclose()
    return frames


def stream(
    samples: np.ndarray,
    sizes: Sequence[int],
    script: Sequence[Told] = (),
    *,
    lookahead: int = 0,
) -> np.ndarray:
    async def run() -> list[SkeletonFrame]:
        engine = Engine(NumpyBackend, retarget=Unturned)
        session = engine.open_session(SessionOptions(lookahead=lookahead, seed=3))
        try:
            return await play(session, samples, sizes, script)
        finally:
            await engine.aclose()

    frames = asyncio.run(run())
    assert [f.index for f in frames] == list(range(len(frames)))
    return np.array([f.directions for f in frames])


@QUICK
@given(cuts, scripts, lookaheads)
def test_any_chunking_gives_the_same_frames(
    sizes: list[int], script: list[Told], lookahead: int
) -> None:
    samples = voice(SECONDS)
    want = stream(samples, [320], script, lookahead=lookahead)
    got = stream(samples, sizes, script, lookahead=lookahead)
    assert len(want) == int(SECONDS * 15)
    np.testing.assert_array_equal(got, want)


@QUICK
@given(st.integers(0, LENGTH), scripts, scripts, lookaheads)
def test_what_was_emitted_depends_on_nothing_later(
    time: int, before: list[Told], after: list[Told], lookahead: int
) -> None:
    """Audio and arrivals that agree up to a time give the same frames up to it."""
    first = voice(SECONDS, seed=1)
    second = first.copy()
    second[time:] = voice(SECONDS, seed=2)[time:]
    common = [w for w in before if w.at < time]
    left = stream(first, [320], common, lookahead=lookahead)
    later = [w for w in after if w.at >= time]
    right = stream(second, [500], common + later, lookahead=lookahead)
    whole_steps = int(time * 15 / 16_000)
    emitted = max(whole_steps - lookahead, 0)
    np.testing.assert_array_equal(left[:emitted], right[:emitted])


@QUICK
@given(st.lists(cuts, min_size=2, max_size=4), st.data())
def test_slots_alone_equal_slots_side_by_side(sizes: list[list[int]], data: st.DataObject) -> None:
    scripts_drawn = [data.draw(scripts) for _ in sizes]

    async def together() -> list[np.ndarray]:
        engine = Engine(NumpyBackend, slots=len(sizes), retarget=Unturned)
        sessions = [engine.open_session(SessionOptions(lookahead=0, seed=3)) for _ in sizes]
        plays = [
            play(session, voice(SECONDS, seed=i), cut, script)
            for i, (session, cut, script) in enumerate(
                zip(sessions, sizes, scripts_drawn, strict=True)
            )
        ]
        frames = await asyncio.gather(*plays)
        await engine.aclose()
        return [np.array([f.directions for f in each]) for each in frames]

    for i, (got, script) in enumerate(zip(asyncio.run(together()), scripts_drawn, strict=True)):
        alone = stream(voice(SECONDS, seed=i), [320], script)
        # 1e-5: a matrix product sums in another order for another batch size
        np.testing.assert_allclose(got, alone, atol=1e-5, rtol=0)
