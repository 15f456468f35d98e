"""Steps of several frames: the same stream as steps of one, in an even beat when live."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from streamer.engine import Engine
from streamer.session import Session, SessionOptions
from streamer.spec import ModelSpec
from streamer.types import AudioChunk, SkeletonFrame, StepInputs, Tensors, WordEvent
from streamer.windowing import PER_FRAME, Windower
from tests.fakes import NumpyBackend, Unturned, chunks, tiny_spec, voice

STYLE = np.array([0.25, 0.75], np.float32)


def stacked_spec(frames: int) -> ModelSpec:
    spec = tiny_spec()
    inputs = tuple(
        replace(t, shape=(frames, *t.shape)) if t.name in PER_FRAME else t for t in spec.inputs
    )
    outputs = tuple(replace(t, shape=(frames, *t.shape)) for t in spec.outputs)
    return replace(spec, frames_per_step=frames, inputs=inputs, outputs=outputs)


class StackedBackend(NumpyBackend):
    """The tiny network, run for several frames in one step."""

    frames = 4

    @property
    def spec(self) -> ModelSpec:
        return stacked_spec(self.frames)

    def step(
        self, inputs: StepInputs, state: dict[str, np.ndarray]
    ) -> tuple[Tensors, dict[str, np.ndarray]]:
        rows = list[Tensors]()
        for k in range(self.frames):
            tensors = {n: t[:, k] if n in PER_FRAME else t for n, t in inputs.tensors.items()}
            start = inputs.start & (k == 0)
            one = StepInputs(tensors=tensors, start=start, ready=inputs.ready)
            outputs, state = super().step(one, state)
            rows.append(outputs)
        return {name: np.stack([row[name] for row in rows], 1) for name in rows[0]}, state


class StackedBackend3(StackedBackend):
    frames = 3


async def frames_of(
    make: type[NumpyBackend], lookahead: int, seconds: float
) -> list[SkeletonFrame]:
    engine = Engine(make, retarget=Unturned)
    session = engine.open_session(SessionOptions(lookahead=lookahead))
    session.push_word(WordEvent(text="hello", start=5_000, end=8_000))
    session.push_word(WordEvent(text="there", start=6_500, end=8_000))
    collecting = asyncio.create_task(all_frames(session))
    for chunk in chunks(voice(seconds)):
        await session.feed_audio(chunk)
    await session.finish()
    frames = await collecting
    assert session.stats().words == 2
    await engine.aclose()
    return frames


async def all_frames(session: Session) -> list[SkeletonFrame]:
    return [frame async for frame in session]


@pytest.mark.parametrize("make", [StackedBackend, StackedBackend3])
@pytest.mark.parametrize("lookahead", [0, 2])
async def test_the_stream_is_that_of_one_frame_a_step(
    make: type[NumpyBackend], lookahead: int
) -> None:
    single = await frames_of(NumpyBackend, lookahead, 3.05)
    stacked = await frames_of(make, lookahead, 3.05)
    assert [f.index for f in stacked] == list(range(45))
    assert [f.sample for f in stacked] == [f.sample for f in single]
    for a, b in zip(single, stacked, strict=True):
        np.testing.assert_array_equal(a.directions, b.directions)
        assert a.state == b.state


def test_a_step_holds_each_frames_own_inputs() -> None:
    """Against the windows of single frames; a gap ends inside a step."""
    samples = voice(2.0)
    single = Windower(tiny_spec(), lookahead=0, style=STYLE, seed=1)
    stacked = Windower(stacked_spec(4), lookahead=0, style=STYLE, seed=1)
    for windower in (single, stacked):
        windower.push_word(WordEvent(text="hi", start=4_000, end=5_000))
    late = AudioChunk(samples=samples, start=70_000, captured_at=0.0)
    rows = {w.step: w for c in (*chunks(samples), late) for w in single.push_audio(c)}
    steps = [w for c in (*chunks(samples), late) for w in stacked.push_audio(c)]
    assert [w.step for w in steps] == [0, 1, 2, 3, 4, 5, 6, *range(16, 23)]
    for window in steps:
        for k in range(4):
            row = rows.get(window.step * 4 + k)
            if row is None:  # before the audio went on, at frame 65
                assert window.step * 4 + k == 64
                assert not window.tensors["audio"][k].any()
                continue
            for name in PER_FRAME & set(row.tensors):
                np.testing.assert_array_equal(window.tensors[name][k], row.tensors[name])
    assert [w.words[0].text for w in steps if w.words] == ["hi"]


async def test_live_frames_of_a_step_keep_the_beat() -> None:
    engine = Engine(StackedBackend, retarget=Unturned)
    session = engine.open_session(SessionOptions(lookahead=0))
    loop = asyncio.get_running_loop()
    came = list[float]()

    async def collect() -> list[SkeletonFrame]:
        frames = list[SkeletonFrame]()
        async for frame in session:
            came.append(loop.time())
            frames.append(frame)
        return frames

    collecting = asyncio.create_task(collect())
    began = loop.time()
    session.push_audio(AudioChunk(samples=voice(0.27), start=0, captured_at=0.0))
    await session.finish()
    frames = await collecting
    assert [f.index for f in frames] == [0, 1, 2, 3]
    # never early; the loop's clock is coarse on some systems
    assert all(at - began >= k / 15 - 0.02 for k, at in enumerate(came))
    due = [f.captured_at for f in frames]
    np.testing.assert_allclose(np.diff(due), 1 / 15, atol=1e-9)
    assert session.latency().algorithmic_ms == pytest.approx(266.67, abs=0.01)
    await engine.aclose()


@pytest.mark.parametrize("lookahead", [0, 2])
async def test_the_last_steps_of_a_live_stream_lose_no_frame(lookahead: int) -> None:
    """The last step is done while frames of the one before still wait for their beat."""
    engine = Engine(StackedBackend, retarget=Unturned)
    session = engine.open_session(SessionOptions(lookahead=lookahead))
    collecting = asyncio.create_task(all_frames(session))
    session.push_audio(AudioChunk(samples=voice(0.66), start=0, captured_at=0.0))
    await session.finish()
    assert [f.index for f in await collecting] == list(range(9))
    await engine.aclose()


async def test_closing_forgets_the_frames_that_wait_for_their_beat() -> None:
    engine = Engine(StackedBackend, retarget=Unturned)
    session = engine.open_session(SessionOptions(lookahead=0))
    session.push_audio(AudioChunk(samples=voice(0.27), start=0, captured_at=0.0))
    first = await anext(aiter(session))
    assert first.index == 0
    await session.aclose()
    assert session._beat.waiting == 0
    await engine.aclose()
