"""How long a back end's steps take."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from streamer.backends.base import StepBackend
from streamer.clock import SAMPLE_RATE, Clock
from streamer.spec import ModelSpec
from streamer.types import AudioChunk, StepInputs, Window
from streamer.windowing import Windower, style_mixture

WARM_UP_STEPS = 10
_MOST_ROWS = 16_384
"""Windows kept in memory: all 4 s for hundreds of slots, fewer for a GPU's thousands."""


def step_times(
    backend: StepBackend[Any],
    *,
    slots: int,
    steps: int,
    seconds: float = 0.0,
    clock: Clock = time.perf_counter,
) -> list[float]:
    """Return the seconds that each of at least `steps` steps took, for at least `seconds`.

    Every slot is ready in every step and hears its own voice-like noise.
    """
    run = stepper(backend, slots=slots)
    for _ in range(WARM_UP_STEPS):
        run()
    times = list[float]()
    ends = clock() + seconds
    while len(times) < steps or clock() < ends:
        began = clock()
        run()
        times.append(clock() - began)
    return times


def stepper(backend: StepBackend[Any], *, slots: int) -> Callable[[], None]:
    """Return what runs the next step of `slots` sessions that all have a voice."""
    windows = voice_windows(backend.spec)
    kinds = min(len(windows), max(2, _MOST_ROWS // slots))
    batches = [_batch(windows, step, slots) for step in range(kinds)]
    state = backend.initial_state(slots)
    ready = np.ones(slots, np.bool_)
    step = 0

    def run() -> None:
        nonlocal state, step
        inputs = StepInputs(
            tensors=batches[step % len(batches)], start=np.full(slots, step == 0), ready=ready
        )
        _, state = backend.step(inputs, state)
        step += 1

    return run


def voice_windows(spec: ModelSpec) -> list[Window]:
    """Return 4 s of windows: noise in bursts, so that the network has something to do."""
    rng = np.random.default_rng(0)
    count = 4 * SAMPLE_RATE
    loud = (np.arange(count) // (SAMPLE_RATE // 2) % 2) * 0.2
    samples = (rng.standard_normal(count) * loud).clip(-1, 1).astype(np.float32)
    style = style_mixture(spec, None)
    windower = Windower(spec, lookahead=spec.default_lookahead, style=style, seed=0)
    return windower.push_audio(AudioChunk(samples=samples, start=0, captured_at=0.0))


def _batch(windows: list[Window], step: int, slots: int) -> dict[str, Any]:
    """Return one step's inputs; each slot is at another place of the voice."""
    chosen = [windows[(step + 7 * slot) % len(windows)] for slot in range(slots)]
    return {name: np.stack([w.tensors[name] for w in chosen]) for name in windows[0].tensors}
