"""The default back end: the step graph in onnxruntime, on one CPU core."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.backends.onnxruntime_session import (
    ORT_ERRORS,
    Binding,
    Session,
    check_state,
    compare,
    first_line,
    graph_name,
    open_session,
)
from streamer.backends.precision import Precision
from streamer.errors import BackendError
from streamer.spec import ModelSpec, TensorSpec, load_manifest
from streamer.types import GestureState, StepInputs, Tensors

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Sizes at which the graph runs; ready slots are gathered into the next larger one."""


class OnnxRuntimeBackend:
    """Runs `model.onnx` of an artifact; only the inference thread calls `step`.

    Slots that wait cost nothing: unless all are ready, those that are go into a
    batch of a fixed size, whose padding is not ready. Every tensor is bound once
    for each size, so that a step allocates nothing that grows with the model.
    When `step` raises, the state is what it was before.
    """

    def __init__(self, folder: Path, *, threads: int = 1, precision: Precision = "float32") -> None:
        self._spec = load_manifest(folder).spec
        self._precision: Precision = precision
        path = folder / graph_name(precision)
        self._session = open_session(path, threads)
        compare(path, self._session, self._spec)
        self._batches = dict[tuple[int, int], _Bound]()

    @property
    def name(self) -> str:
        """`onnxruntime`."""
        return "onnxruntime"

    @property
    def precision(self) -> str:
        """In what the matrix products are computed."""
        return self._precision

    @property
    def spec(self) -> ModelSpec:
        """The model that it runs."""
        return self._spec

    def initial_state(self, slots: int) -> "OnnxState":
        """Return a state of zeros; a session's first step starts it in the graph."""
        return OnnxState(self._session, self._spec, slots)

    def step(self, inputs: StepInputs, state: "OnnxState") -> tuple[Tensors, "OnnxState"]:
        """Advance the ready slots; raises `BackendError` when onnxruntime fails."""
        ready = np.flatnonzero(inputs.ready)
        if state.bound is not None and len(ready) == len(inputs.ready):
            return state.step(state.bound, inputs), state
        return self._step_gathered(ready, inputs, state.tensors), state

    def save(self, state: "OnnxState", slot: int) -> GestureState:
        """Return a copy of one slot's state."""
        rows = {name: array[slot].copy() for name, array in state.tensors.items()}
        return GestureState(tensors=rows)

    def restore(self, state: "OnnxState", slot: int, saved: GestureState) -> "OnnxState":
        """Put a saved state into a slot; raises `BackendError` if it does not fit."""
        check_state(self._spec, saved)
        for name, array in state.tensors.items():
            array[slot] = saved.tensors[name]
        return state

    def close(self) -> None:
        """Free the buffers; onnxruntime frees its session with this object."""
        self._batches.clear()

    def _step_gathered(
        self, ready: npt.NDArray[np.intp], inputs: StepInputs, state: Arrays
    ) -> Tensors:
        outputs = _zeros(self._spec.outputs, len(inputs.ready))
        done = list[tuple[npt.NDArray[np.intp], _Bound]]()
        for number, at in enumerate(range(0, len(ready), BUCKETS[-1])):
            rows = ready[at : at + BUCKETS[-1]]
            batch = self._batch(number, len(rows))
            batch.gather(rows, inputs, state)
            batch.run(0)
            done.append((rows, batch))
        # only now, when nothing can fail any more, does the state change
        for rows, batch in done:
            for name, value in batch.outputs.items():
                outputs[name][rows] = value[: len(rows)]
            for name, value in batch.sides[1].items():
                state[name][rows] = value[: len(rows)]
        return outputs

    def _batch(self, number: int, count: int) -> "_Bound":
        size = next(b for b in BUCKETS if b >= count)
        batch = self._batches.get((number, size))
        if batch is None:
            sides = _zeros(self._spec.state, size), _zeros(self._spec.state, size)
            batch = self._batches[number, size] = _Bound(self._session, self._spec, sides)
        return batch


class OnnxState:
    """The state of `slots` sessions: a step of all of them reads one side and writes the other.

    bound: what runs all slots at once; None where the graph has no such size.
    """

    def __init__(self, session: Session, spec: ModelSpec, slots: int) -> None:
        self._side = 0
        self.tensors = _zeros(spec.state, slots)
        """The side that is in force, [slots, ...] by name."""
        self.bound: _Bound | None = None
        if slots in BUCKETS:
            self.bound = _Bound(session, spec, (self.tensors, _zeros(spec.state, slots)))

    def step(self, bound: "_Bound", inputs: StepInputs) -> Tensors:
        """Advance every slot."""
        bound.fill(inputs)
        bound.run(self._side)
        self._side = 1 - self._side
        self.tensors = bound.sides[self._side]
        return {name: value.copy() for name, value in bound.outputs.items()}


class _Bound:
    """The graph's tensors for one batch size, bound once for each direction.

    sides: two sets of state tensors; `run(0)` reads the first and writes the second.
    """

    def __init__(self, session: Session, spec: ModelSpec, sides: tuple[Arrays, Arrays]) -> None:
        size = len(next(iter(sides[0].values())))
        self._session = session
        self._inputs = _zeros(spec.inputs, size)
        self._start, self._ready = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        self.sides, self.outputs = sides, _zeros(spec.outputs, size)
        self._bindings = self._bind(*sides), self._bind(*reversed(sides))

    def fill(self, inputs: StepInputs) -> None:
        """Copy all slots' inputs in."""
        for name, buffer in self._inputs.items():
            np.copyto(buffer, inputs.tensors[name])
        np.copyto(self._start, inputs.start)
        np.copyto(self._ready, inputs.ready)

    def gather(self, rows: npt.NDArray[np.intp], inputs: StepInputs, state: Arrays) -> None:
        """Copy the ready rows in; what lies behind them is stale and not ready."""
        count = len(rows)
        for source, into in ((inputs.tensors, self._inputs), (state, self.sides[0])):
            for name, buffer in into.items():
                np.take(source[name], rows, axis=0, out=buffer[:count], mode="clip")
        np.take(inputs.start, rows, out=self._start[:count], mode="clip")
        self._start[count:] = False
        self._ready[:count] = True
        self._ready[count:] = False

    def run(self, side: int) -> None:
        """Run the graph from one side to the other; raises `BackendError`."""
        try:
            self._session.run_with_iobinding(self._bindings[side])
        except ORT_ERRORS as error:
            raise BackendError(f"onnxruntime: {first_line(error)}") from error

    def _bind(self, read: Arrays, written: Arrays) -> Binding:
        binding = self._session.io_binding()
        masks = {"start": self._start, "ready": self._ready}
        given: Mapping[str, Array] = {**self._inputs, **masks, **read}
        results = {**self.outputs, **{f"next_{name}": array for name, array in written.items()}}
        for bind, tensors in ((binding.bind_input, given), (binding.bind_output, results)):
            for name, array in tensors.items():
                bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return binding


def _zeros(tensors: tuple[TensorSpec, ...], slots: int) -> Arrays:
    return {t.name: np.zeros((slots, *t.shape), np.dtype(t.dtype)) for t in tensors}
