import asyncio

import numpy as np
import pytest

from streamer.backends.base import StepBackend
from streamer.engine import Engine, rest_pose
from streamer.errors import ArtifactError, BackendError, UsageError
from streamer.session import Session, SessionOptions
from streamer.types import Event, SkeletonFrame, StepInputs
from tests.fakes import NumpyBackend, Unturned, chunks, voice

WARM_UP = 30
"""Steps that the engine runs before its first session."""


class Spoiling(NumpyBackend):
    """Puts out NaN in one step, and from then on until a fresh start."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def step(self, inputs: StepInputs, state: dict[str, np.ndarray]):  # type: ignore[no-untyped-def]
        outputs, state = super().step(inputs, state)
        if self.calls == WARM_UP + self._at + 1:
            state["h"][:] = np.nan
            outputs["directions"][0] = np.nan
        return outputs, state


async def play(session: Session, seconds: float = 1.0) -> list[SkeletonFrame | Event]:
    async def push() -> None:
        for chunk in chunks(voice(seconds)):
            await session.feed_audio(chunk)
        await session.finish()

    pushing = asyncio.create_task(push())
    items = [item async for item in session.items()]
    await pushing
    await session.aclose()
    return items


def split(items: list[SkeletonFrame | Event]) -> tuple[list[SkeletonFrame], list[Event]]:
    frames = [i for i in items if isinstance(i, SkeletonFrame)]
    return frames, [i for i in items if isinstance(i, Event) and i.kind != "latency"]


async def frames_of(*backends: StepBackend) -> tuple[list[SkeletonFrame], list[Event]]:
    first, *rest = backends
    engine = Engine(lambda: first, fallback=[lambda b=b: b for b in rest], retarget=Unturned)
    try:
        return split(await play(engine.open_session(SessionOptions(lookahead=0))))
    finally:
        await engine.aclose()


def directions(frames: list[SkeletonFrame]) -> np.ndarray:
    return np.array([f.directions for f in frames])


async def test_a_failed_back_end_is_replaced_and_the_stream_goes_on_unchanged() -> None:
    clean, _ = await frames_of(NumpyBackend())
    broken = NumpyBackend(name="broken", fail_at=WARM_UP + 6)
    frames, events = await frames_of(broken, NumpyBackend(name="spare"))
    np.testing.assert_array_equal(directions(frames), directions(clean))
    assert not any(f.reset for f in frames)
    (warning,) = events
    assert warning.kind == "warning"
    assert "broken failed" in warning.data["message"]
    assert "spare took over, nothing was lost" in warning.data["message"]
    assert broken.closed


async def test_state_that_cannot_be_read_starts_afresh_and_is_blended() -> None:
    clean, _ = await frames_of(NumpyBackend())
    broken = NumpyBackend(name="broken", fail_at=WARM_UP + 6, lose=True)
    frames, events = await frames_of(broken, NumpyBackend(name="spare"))
    assert [f.index for f in frames] == [f.index for f in clean]
    assert [f.index for f in frames if f.reset] == [6]
    assert [e.kind for e in events] == ["warning", "reset"]
    assert events[1].data == {"reason": "backend"}
    jump = np.abs(np.diff(directions(frames), axis=0)).max(axis=(1, 2))
    assert jump[5] < 0.2 * jump.max() + 0.1  # the first fresh frame is near the last one


async def test_back_ends_fail_one_after_the_other_until_none_is_left() -> None:
    broken = [NumpyBackend(name=f"b{i}", fail_at=0 if i else WARM_UP + 3) for i in range(2)]
    frames, _ = await frames_of(*broken, NumpyBackend(name="last"))
    assert len(frames) == 15
    with pytest.raises(BackendError, match=r"b0: told to fail.*then: b1: told to fail"):
        await frames_of(
            NumpyBackend(name="b0", fail_at=WARM_UP + 3), NumpyBackend(name="b1", fail_at=0)
        )


async def test_a_spoilt_slot_holds_its_pose_and_starts_afresh() -> None:
    frames, events = await frames_of(Spoiling(5))
    assert len(frames) == 15
    assert np.isfinite(directions(frames)).all()
    np.testing.assert_array_equal(frames[5].directions, frames[4].directions)
    assert [f.index for f in frames if f.reset] == [6]
    assert [(e.kind, e.data) for e in events] == [("reset", {"reason": "not_finite"})]


async def test_a_spoilt_slot_harms_no_other() -> None:
    async def run(backend: NumpyBackend) -> list[list[SkeletonFrame]]:
        engine = Engine(lambda: backend, slots=2, retarget=Unturned)
        sessions = [engine.open_session(SessionOptions(lookahead=0)) for _ in range(2)]
        played = await asyncio.gather(*(play(s) for s in sessions))
        await engine.aclose()
        return [split(items)[0] for items in played]

    class SpoilingFirst(NumpyBackend):
        def step(self, inputs: StepInputs, state: dict[str, np.ndarray]):  # type: ignore[no-untyped-def]
            outputs, state = super().step(inputs, state)
            if self.calls > WARM_UP + 8:
                outputs["directions"][0] = np.nan
            return outputs, state

    clean, spoilt = await run(NumpyBackend()), await run(SpoilingFirst())
    np.testing.assert_allclose(directions(spoilt[1]), directions(clean[1]), atol=1e-5, rtol=0)
    assert not any(f.reset for f in spoilt[1])
    assert any(f.reset for f in spoilt[0])


async def test_waiting_slots_are_not_in_the_batch() -> None:
    backend = NumpyBackend()
    engine = Engine(lambda: backend, slots=8, retarget=Unturned)
    await play(engine.open_session())
    await engine.aclose()
    assert set(backend.batches[WARM_UP:]) == {1}


async def test_a_slot_is_free_again_and_the_next_owner_starts_fresh() -> None:
    engine = Engine(NumpyBackend, retarget=Unturned)
    first = split(await play(engine.open_session()))[0]
    assert engine.free_slots == 1
    second = split(await play(engine.open_session()))[0]
    np.testing.assert_array_equal(directions(first), directions(second))
    engine.open_session()
    with pytest.raises(UsageError, match="in use"):
        engine.open_session()
    await engine.aclose()


async def test_results_under_way_reach_no_later_owner_of_the_slot() -> None:
    engine = Engine(NumpyBackend, retarget=Unturned)
    old = engine.open_session()
    for chunk in chunks(voice(0.5)):
        old.push_audio(chunk)
    await old.aclose()
    frames = split(await play(engine.open_session(SessionOptions(lookahead=0))))[0]
    assert [f.index for f in frames] == list(range(15))
    await engine.aclose()


async def test_what_opening_raises_reaches_who_opens() -> None:
    def broken() -> NumpyBackend:
        raise ArtifactError("model.onnx: corrupt")

    with pytest.raises(ArtifactError, match="corrupt"):
        Engine(broken, retarget=Unturned)
    with pytest.raises(BackendError, match="told to fail"):
        Engine(lambda: NumpyBackend(fail_at=0), retarget=Unturned)


async def test_an_unforeseen_error_in_the_thread_reaches_the_consumer() -> None:
    class Buggy(NumpyBackend):
        def step(self, inputs: StepInputs, state: dict[str, np.ndarray]):  # type: ignore[no-untyped-def]
            if self.calls == WARM_UP + 2:
                raise ZeroDivisionError("a bug")
            return super().step(inputs, state)

    backend = Buggy()
    engine = Engine(lambda: backend, retarget=Unturned)
    with pytest.raises(ZeroDivisionError):
        await play(engine.open_session())
    await engine.aclose()
    assert backend.closed


async def test_closing_the_engine_ends_its_sessions() -> None:
    engine = Engine(NumpyBackend, retarget=Unturned)
    session = engine.open_session()
    reader = asyncio.create_task(anext(aiter(session), None))
    await asyncio.sleep(0)
    await engine.aclose()
    assert await reader is None


def test_the_rest_pose_is_where_silence_leads() -> None:
    rest = rest_pose(NumpyBackend())
    np.testing.assert_allclose(np.linalg.norm(rest, axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(rest, rest_pose(NumpyBackend()))
