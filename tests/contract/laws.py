"""The six laws of the step contract (DESIGN 5), for any back end of any model."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streamer.backends.base import StepBackend
from streamer.spec import ModelSpec
from streamer.types import GestureState, StepInputs, Tensors
from streamer.windowing import PER_FRAME
from streamer.words import word_ids

MakeBackend = Callable[[], StepBackend[Any]]
Offline = Callable[[Sequence[Tensors]], Tensors]
"""One session's inputs, without slot axis, to its outputs [T, ...]."""

WORDS = ("we", "really", "don't", "know", "gestures")


def speechlike(spec: ModelSpec, steps: int, seed: int) -> list[Tensors]:
    """Return inputs of one session: noise in bursts, words here and there, one style."""
    rng = np.random.default_rng(seed)
    style = rng.dirichlet(np.ones(len(spec.styles))).astype(np.float32)
    lookahead = np.array([rng.choice(spec.lookaheads)], np.int32)
    known = {t.name for t in spec.inputs}
    frames = list[Tensors]()
    for step in range(steps * spec.frames_per_step):
        loud = 0.2 * (step // 10 % 2)
        audio = rng.standard_normal((spec.audio.columns, spec.audio.window)) * loud
        says = rng.random() < 0.2
        word = word_ids(str(rng.choice(WORDS)) if says else "", spec.words)
        info = [1.0, np.log1p(rng.integers(0, 20)), 1.0] if says else [0.0, 0.0, 0.0]
        tensors = {
            "audio": audio.astype(np.float32),
            "word": word,
            "word_info": np.array(info, np.float32),
            "lookahead": lookahead,
            "hop": np.array([(1067, 1066, 1067)[step % 3]], np.int32),
            "style": style,
            "seed": np.array([seed % 30_000 + 1, 11, 29_999], np.float32),
        }
        frames.append({name: tensors[name] for name in known})
    if spec.frames_per_step == 1:
        return frames
    return [
        {n: np.stack([f[n] for f in rows]) if n in PER_FRAME else rows[0][n] for n in known}
        for rows in zip(*[iter(frames)] * spec.frames_per_step, strict=True)
    ]


def batch(
    spec: ModelSpec,
    rows: Sequence[Tensors | None],
    starts: Sequence[bool],
    *,
    garbage: float = 0.0,
) -> StepInputs:
    """Put sessions side by side; None is a slot that waits, filled with garbage."""
    tensors = dict[str, np.ndarray]()
    for t in spec.inputs:
        array = np.zeros((len(rows), *t.shape), np.dtype(t.dtype))
        for i, row in enumerate(rows):
            if row is not None:
                array[i] = row[t.name]
            elif array.dtype == np.float32:
                array[i] = garbage
        tensors[t.name] = array
    return StepInputs(
        tensors=tensors,
        start=np.array(starts, np.bool_),
        ready=np.array([row is not None for row in rows], np.bool_),
    )


def run(
    backend: StepBackend[Any], inputs: Sequence[Tensors], state: Any = None, first: bool = True
) -> tuple[dict[str, np.ndarray], Any]:
    """Run one session alone in slot 0; return its outputs [T, ...] and the state."""
    state = backend.initial_state(1) if state is None else state
    rows = list[dict[str, np.ndarray]]()
    for i, x in enumerate(inputs):
        outputs, state = backend.step(batch(backend.spec, [x], [first and i == 0]), state)
        rows.append({name: value[0].copy() for name, value in outputs.items()})
    return {name: np.array([r[name] for r in rows]) for name in rows[0]}, state


def verify_step_contract(
    make_backend: MakeBackend,
    offline: Offline,
    *,
    steps: int = 60,
    atol: float = 1e-5,
    slots: int = 5,
) -> None:
    """Assert all six laws; `atol` is for results of other batch sizes and of `offline`."""
    step_by_step_equals_offline(make_backend, offline, steps=steps, atol=atol)
    waiting_slots_stand_still(make_backend, slots=slots, atol=atol)
    start_is_fresh(make_backend)
    nan_stays_in_its_slot(make_backend, slots=slots)
    saved_state_continues(make_backend, make_backend, atol=0.0)
    shapes_never_change(make_backend)


def step_by_step_equals_offline(
    make_backend: MakeBackend, offline: Offline, *, steps: int, atol: float
) -> None:
    """Law 1."""
    backend = make_backend()
    inputs = speechlike(backend.spec, steps, seed=1)
    got, _ = run(backend, inputs)
    want = offline(inputs)
    for name in ("directions", "voice"):
        np.testing.assert_allclose(got[name], want[name], atol=atol, rtol=0, err_msg=name)
    moved = np.abs(np.diff(got["directions"], axis=0)).max()
    assert moved > 1e-4, "the model does not move, so equality would prove nothing"
    backend.close()


def waiting_slots_stand_still(make_backend: MakeBackend, *, slots: int, atol: float) -> None:
    """Law 2, and sessions with phases of their own equal sessions alone."""
    backend = make_backend()
    spec = backend.spec
    rng = np.random.default_rng(2)
    sessions = [speechlike(spec, 20, seed=10 + i) for i in range(slots)]
    done = [0] * slots
    got: list[list[np.ndarray]] = [[] for _ in range(slots)]
    state = backend.initial_state(slots)
    while any(n < 20 for n in done):
        ready = [n < 20 and rng.random() < 0.6 for n in done]
        before = [_bytes(backend.save(state, i)) for i in range(slots)]
        rows = [sessions[i][done[i]] if ready[i] else None for i in range(slots)]
        starts = [n == 0 for n in done]  # also in slots that wait: it must not matter
        outputs, state = backend.step(batch(spec, rows, starts, garbage=np.nan), state)
        for i in range(slots):
            if ready[i]:
                got[i].append(outputs["directions"][i].copy())
                done[i] += 1
            else:
                assert _bytes(backend.save(state, i)) == before[i], f"waiting slot {i} moved"
    for i in range(slots):
        alone, _ = run(backend, sessions[i])
        np.testing.assert_allclose(np.array(got[i]), alone["directions"], atol=atol, rtol=0)
    backend.close()


def start_is_fresh(make_backend: MakeBackend) -> None:
    """Law 3: whatever a slot held, even NaN, `start` equals a fresh state."""
    backend = make_backend()
    inputs = speechlike(backend.spec, 12, seed=3)
    fresh, _ = run(backend, inputs)
    _, dirty = run(backend, speechlike(backend.spec, 9, seed=4))
    poisoned = [{n: _poison(t) for n, t in row.items()} for row in inputs[:2]]
    _, spoilt = run(backend, poisoned)
    for state in (dirty, spoilt):
        again, _ = run(backend, inputs, state)
        for name, value in fresh.items():
            np.testing.assert_array_equal(again[name], value, err_msg=name)
    backend.close()


def nan_stays_in_its_slot(make_backend: MakeBackend, *, slots: int) -> None:
    """Law 4: the other slots' results do not change by one bit."""
    backend = make_backend()
    spec = backend.spec
    sessions = [speechlike(spec, 8, seed=20 + i) for i in range(slots)]
    results = list[np.ndarray]()
    for poison in (False, True):
        state = backend.initial_state(slots)
        frames = list[np.ndarray]()
        for step in range(8):
            rows: list[Tensors | None] = [s[step] for s in sessions]
            if poison and step == 3:
                rows[1] = {n: _poison(t) for n, t in sessions[1][step].items()}
            outputs, state = backend.step(batch(spec, rows, [step == 0] * slots), state)
            frames.append(outputs["directions"].copy())
        results.append(np.array(frames))
    clean, spoilt = results
    others = [i for i in range(slots) if i != 1]
    np.testing.assert_array_equal(spoilt[:, others], clean[:, others])
    assert not np.isfinite(spoilt[3:, 1]).all(), "the poison did nothing, so it proved nothing"
    backend.close()


def saved_state_continues(
    make_first: MakeBackend, make_second: MakeBackend, *, atol: float
) -> None:
    """Law 5: saved in one instance, restored in other slots of another instance."""
    first, second = make_first(), make_second()
    inputs = speechlike(first.spec, 24, seed=5)
    whole, _ = run(first, inputs)
    _, state = run(first, inputs[:11])
    saved = first.save(state, 0)
    run(first, inputs[:2], state, first=False)  # a saved state is a copy: it must not move
    alone = second.restore(second.initial_state(1), 0, saved)
    rest, _ = run(second, inputs[11:], alone, first=False)
    np.testing.assert_allclose(rest["directions"], whole["directions"][11:], atol=atol, rtol=0)
    moved = second.restore(second.initial_state(3), 2, saved)
    beside = list[np.ndarray]()
    for x in inputs[11:]:
        outputs, moved = second.step(batch(second.spec, [None, None, x], [False] * 3), moved)
        beside.append(outputs["directions"][2].copy())
    # another batch size sums in another order
    np.testing.assert_allclose(np.array(beside), rest["directions"], atol=1e-5, rtol=0)
    first.close()
    second.close()


def shapes_never_change(make_backend: MakeBackend) -> None:
    """Law 6, for several batch sizes, with and without ready slots."""
    backend = make_backend()
    spec = backend.spec
    inputs = speechlike(spec, 4, seed=6)
    for slots in (1, 2, 3, 9):
        state = backend.initial_state(slots)
        for step, x in enumerate(inputs):
            rows: list[Tensors | None] = [x if (i + step) % 2 else None for i in range(slots)]
            outputs, state = backend.step(batch(spec, rows, [step < 2] * slots), state)
            for t in spec.outputs:
                assert outputs[t.name].shape == (slots, *t.shape), t.name
                assert outputs[t.name].dtype == np.dtype(t.dtype), t.name
            saved = backend.save(state, slots - 1).tensors
            assert {n: (a.shape, str(a.dtype)) for n, a in saved.items()} == {
                t.name: (t.shape, t.dtype) for t in spec.state
            }
    backend.close()


def _poison(tensor: np.ndarray) -> np.ndarray:
    return np.full_like(tensor, np.nan) if tensor.dtype == np.float32 else tensor


def _bytes(saved: GestureState) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in saved.tensors.items()}
