import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from streamer.engine import Engine
from streamer.errors import InputError, SessionClosed, UsageError
from streamer.session import Session, SessionOptions
from streamer.spec import ModelSpec
from streamer.types import AudioChunk, Event, SkeletonFrame, StepInputs, WordEvent
from tests.fakes import ManualClock, NumpyBackend, Unturned, chunks, tiny_spec, voice


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(NumpyBackend, retarget=Unturned, clock=ManualClock())
    yield engine
    await engine.aclose()


async def collect(session: Session) -> tuple[list[SkeletonFrame], list[Event]]:
    items = [item async for item in session.items()]
    frames = [i for i in items if isinstance(i, SkeletonFrame)]
    return frames, [i for i in items if isinstance(i, Event)]


async def play(session: Session, samples: np.ndarray) -> tuple[list[SkeletonFrame], list[Event]]:
    collecting = asyncio.create_task(collect(session))
    for chunk in chunks(samples):
        await session.feed_audio(chunk)
    await session.finish()
    return await collecting


@pytest.mark.parametrize("lookahead", [0, 2, 4])
async def test_every_frame_is_there_with_its_sample(engine: Engine, lookahead: int) -> None:
    session = engine.open_session(SessionOptions(lookahead=lookahead))
    frames, _ = await play(session, voice(3.02))
    assert [f.index for f in frames] == list(range(45))
    assert [f.sample for f in frames[:4]] == [0, 1067, 2133, 3200]
    assert session.stats().frames == 45
    assert session.stats().skipped == 0


async def test_a_lookahead_of_two_is_the_same_motion_two_steps_later(engine: Engine) -> None:
    """Frame n is computed by step n + A; the fake network's own state does not know A here."""
    session = engine.open_session(SessionOptions(lookahead=2))
    frames, _ = await play(session, voice(1.0))
    # the chunk that ends in step 2 was captured no later than 100.22
    assert frames[0].captured_at == pytest.approx(100 + 3_200 / 16_000, abs=1e-6)


async def test_words_become_events_when_they_enter(engine: Engine) -> None:
    session = engine.open_session(SessionOptions(lookahead=0))
    session.push_word(WordEvent(text="hello", start=5_000, end=8_000))
    session.push_word(WordEvent(text="  ", start=5_000, end=8_000))
    frames, events = await play(session, voice(1.0))
    words = [e for e in events if e.kind == "word"]
    assert [(e.sample, e.data["text"]) for e in words] == [(5_000, "hello")]
    assert (session.stats().words, session.stats().words_dropped) == (1, 1)
    assert len(frames) == 15


async def test_seeds_and_styles_shape_the_motion(engine: Engine) -> None:
    async def motion(options: SessionOptions) -> np.ndarray:
        session = engine.open_session(options)
        frames, _ = await play(session, voice(0.5))
        await session.aclose()
        return np.array([f.directions for f in frames])

    base = await motion(SessionOptions())
    np.testing.assert_array_equal(await motion(SessionOptions()), base)
    for other in (SessionOptions(seed=1), SessionOptions(style={"big": 1.0})):
        assert np.abs(await motion(other) - base).max() > 1e-3
    with pytest.raises(UsageError, match="bold"):
        engine.open_session(SessionOptions(style={"bold": 1.0}))
    with pytest.raises(UsageError, match="allows"):
        engine.open_session(SessionOptions(lookahead=1))
    assert engine.free_slots == 1


async def test_a_backlog_resets_the_session_and_is_counted() -> None:
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Gated(NumpyBackend):
        """Waits in its first step after the warm-up."""

        def step(self, inputs: StepInputs, state: dict[str, np.ndarray]):  # type: ignore[no-untyped-def]
            if self.calls == 30:
                asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            return super().step(inputs, state)

    engine = Engine(Gated, retarget=Unturned)
    session = engine.open_session(SessionOptions(lookahead=0))
    collecting = asyncio.create_task(collect(session))
    samples = voice(3.0)
    cut = 18_000  # 16 steps complete: one more than 1 s of them waits
    for chunk in chunks(samples[:cut], [500]):
        session.push_audio(chunk)
    assert session.stats().resets == 1
    assert session.stats().skipped in (15, 16)  # the thread may have taken one
    gate.set()
    for chunk in chunks(samples[cut:], [320], cut):
        await session.feed_audio(chunk)
    await session.finish()
    frames, events = await collecting
    await engine.aclose()
    resets = [e for e in events if e.kind == "reset"]
    assert [e.data["reason"] for e in resets] == ["backlog"]
    indices = [f.index for f in frames]
    assert indices[-1] == 44
    assert len(indices) == 45 - session.stats().skipped
    assert all(b > a for a, b in pairwise(indices))
    assert [f.index for f in frames if f.reset] == [16] or 0 not in indices


async def test_a_long_gap_resets_and_a_short_one_is_filled(engine: Engine) -> None:
    session = engine.open_session(SessionOptions(lookahead=0))
    collecting = asyncio.create_task(collect(session))
    for chunk in [*chunks(voice(0.5)), *chunks(voice(0.5), start=9_000)]:
        await session.feed_audio(chunk)
    for chunk in chunks(voice(0.5), start=17_000 + 16_001):
        await session.feed_audio(chunk)
    await session.finish()
    frames, events = await collecting
    assert session.stats().filled == 1_000
    assert [e.data for e in events if e.kind == "reset"] == [
        {"reason": "gap", "missing_samples": 16_001}
    ]
    assert [f.index for f in frames if f.reset] == [30]  # 33001 lies in frame 30


async def test_interrupt_forgets_and_comes_to_rest() -> None:
    engine = Engine(NumpyBackend, retarget=Unturned)
    session = engine.open_session(SessionOptions(lookahead=0))
    collecting = asyncio.create_task(collect(session))
    loud = voice(8.0)[:4_000]
    await session.feed_audio(AudioChunk(samples=loud, start=0, captured_at=0.0))
    session.push_word(WordEvent(text="never", start=20_000, end=21_000))
    session.interrupt()
    quiet = np.zeros(32_000, np.float32)
    await session.feed_audio(AudioChunk(samples=quiet, start=4_000, captured_at=0.0))
    await session.finish()
    frames, events = await collecting
    assert not [e for e in events if e.kind == "word"]
    still = np.array([f.directions for f in frames[14:]])
    assert np.abs(still - still[0]).max() < 1e-6, "it rests, whatever the network does"
    assert len(frames) == 33
    await engine.aclose()


async def test_a_consumer_that_is_away_loses_the_oldest_frames_only() -> None:
    engine = Engine(NumpyBackend, retarget=Unturned)
    session = engine.open_session(SessionOptions(lookahead=0))
    samples = voice(12.0)
    for chunk in chunks(samples):
        while session._under_way > 5:  # noqa: ASYNC110 as live audio is, when compute keeps up
            await asyncio.sleep(0)
        session.push_audio(chunk)
    while session._under_way:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await session.finish()
    frames, _ = await collect(session)
    assert [f.index for f in frames] == list(range(30, 180))
    assert session.stats().skipped == 30
    await engine.aclose()


async def test_late_frames_are_counted() -> None:
    clock = ManualClock()
    engine = Engine(NumpyBackend, retarget=Unturned, clock=clock)
    session = engine.open_session(SessionOptions(lookahead=0))
    collecting = asyncio.create_task(collect(session))
    clock.now = 100 + 1.0
    for chunk in chunks(voice(1.0)):
        await session.feed_audio(chunk)
    await session.finish()
    await collecting
    # frames 0 to 13 were complete more than 66.7 ms before second 1
    assert session.stats().deadline_misses == 14
    latency = session.latency()
    assert latency.algorithmic_ms == pytest.approx(66.67, abs=0.01)
    assert latency.mic_to_wire_ms == pytest.approx(466.6, abs=1)
    assert latency.visible_ms == pytest.approx(2 * 66.67 + 466.6 + 33.3, abs=1)
    await engine.aclose()


@pytest.mark.parametrize(
    ("samples", "start", "message"),
    [
        (np.array([0.0, np.nan], np.float32), 0, "NaN"),
        (np.zeros(4, np.int16), 0, "int16"),
        (np.zeros((4, 2), np.float32), 0, "mono"),
        (np.zeros(4, np.float32), -1, "starts at sample -1"),
        (np.zeros(161_000, np.float32), 0, "at most 10 s"),
    ],
)
async def test_audio_that_cannot_be_used(
    engine: Engine, samples: np.ndarray, start: int, message: str
) -> None:
    session = engine.open_session()
    with pytest.raises(InputError, match=message):
        session.push_audio(AudioChunk(samples=samples, start=start, captured_at=0.0))


async def test_a_closed_session_says_so(engine: Engine) -> None:
    session = engine.open_session()
    await session.aclose()
    await session.aclose()
    with pytest.raises(SessionClosed, match="has ended"):
        session.push_word(WordEvent(text="a", start=0, end=1))
    assert [f async for f in session] == []


async def test_hello_names_everything(engine: Engine) -> None:
    session = engine.open_session(SessionOptions(name="s1", lookahead=4))
    hello = session.hello()
    assert (hello.session, hello.model, hello.backend) == ("s1", "tiny", "numpy")
    assert (hello.fps, hello.lookahead) == (15.0, 4)
    assert hello.latency.algorithmic_ms == pytest.approx(5 * 1000 / 15)
    assert len(hello.directions) == session.spec.skeleton.vectors


class Bold(NumpyBackend):
    """The same network under another name, with other motion."""

    def __init__(self, fps: int = 15) -> None:
        super().__init__(seed=8)
        self._fps = Fraction(fps)

    @property
    def spec(self) -> ModelSpec:
        return replace(tiny_spec("bold"), fps=self._fps)


async def test_a_session_moves_to_another_model() -> None:
    """Its samples go on, its pose is blended over, and no frame comes twice."""
    old, new = (Engine(make, retarget=Unturned) for make in (NumpyBackend, Bold))
    session = old.open_session(SessionOptions(lookahead=2, style={"big": 1.0}))
    collecting = asyncio.create_task(collect(session))
    samples = voice(4.0)
    for chunk in chunks(samples[:32_100]):
        await session.feed_audio(chunk)
    new.take_over(session, old)
    assert (old.free_slots, new.free_slots) == (1, 0)
    await old.aclose()  # nothing of it is needed any more
    for chunk in chunks(samples[32_100:], start=32_100):
        await session.feed_audio(chunk)
    await session.finish()
    frames, events = await collecting
    indices = [f.index for f in frames]
    assert all(b > a for a, b in pairwise(indices))
    assert indices[-1] == 59
    assert len(frames) + session.stats().skipped >= 60 - 2  # its look-ahead was under way
    moved = next(i for i, f in enumerate(frames) if f.reset)
    assert frames[moved].index >= 28
    reasons = [e.data for e in events if e.kind == "reset"]
    assert reasons == [{"reason": "model", "model": "bold"}]
    assert session.hello().model == "bold"
    assert session.options.style == {"big": 1.0}
    steps = [
        np.degrees(np.arccos(np.clip((a.directions * b.directions).sum(-1), -1, 1))).max()
        for a, b in pairwise(frames[moved - 1 : moved + 2])
    ]
    assert steps[0] < 45, "the pose is blended over, not cut"
    await new.aclose()


async def test_a_model_of_another_beat_is_refused_and_nothing_changes() -> None:
    old = Engine(NumpyBackend, retarget=Unturned)
    new = Engine(lambda: Bold(fps=30), retarget=Unturned)
    session = old.open_session(SessionOptions(lookahead=0))
    with pytest.raises(UsageError, match="30 frames a second, this stream has 15"):
        new.take_over(session, old)
    frames, events = await play(session, voice(1.0))
    assert [f.index for f in frames] == list(range(15))
    assert not [e for e in events if e.kind == "reset"]
    assert new.free_slots == 1
    for engine in (old, new):
        await engine.aclose()
