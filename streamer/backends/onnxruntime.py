"""The default back end: the step graph in onnxruntime, on one CPU core."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt
import onnxruntime

from streamer.errors import ArtifactError, BackendError
from streamer.spec import ModelSpec, TensorSpec, load_manifest
from streamer.types import GestureState, StepInputs, Tensors

Array = npt.NDArray[Any]
OnnxState = dict[str, Array]
"""Every state tensor as [slots, ...]."""

Precision = Literal["float32", "float16"]
BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Sizes at which the graph runs; ready slots are gathered into the next larger one."""

# onnxruntime's own types are incomplete; what is used of it is declared below.
_ort = cast(Any, onnxruntime)
_codes = _ort.capi.onnxruntime_pybind11_state
_ORT_ERRORS: tuple[type[Exception], ...] = (
    _codes.Fail,
    _codes.InvalidArgument,
    _codes.InvalidGraph,
    _codes.InvalidProtobuf,
    _codes.NoSuchFile,
    _codes.NotImplemented,
    _codes.RuntimeException,
    RuntimeError,
)
_TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(bool)": "bool"}


class _Node(Protocol):
    name: str
    type: str
    shape: list[int | str | None]


class _Session(Protocol):
    def run(self, output_names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]: ...
    def get_inputs(self) -> Sequence[_Node]: ...
    def get_outputs(self) -> Sequence[_Node]: ...


class OnnxRuntimeBackend:
    """Runs `model.onnx` of an artifact; only the inference thread calls `step`.

    Slots that wait cost nothing: unless all are ready, those that are go into a
    batch of a fixed size, whose padding is not ready. When `step` raises, the
    state is what it was before.
    """

    def __init__(self, folder: Path, *, threads: int = 1, precision: Precision = "float32") -> None:
        self._spec = load_manifest(folder).spec
        self._precision: Precision = precision
        path = folder / graph_name(precision)
        self._session = _open(path, threads)
        _compare(path, self._session, self._spec)
        self._outputs = [t.name for t in self._spec.outputs]
        self._state = [t.name for t in self._spec.state]
        self._fetch = self._outputs + [f"next_{name}" for name in self._state]
        self._buckets = dict[int, _Bucket]()

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

    def initial_state(self, slots: int) -> OnnxState:
        """Return a state of zeros; a session's first step starts it in the graph."""
        return {t.name: np.zeros((slots, *t.shape), np.dtype(t.dtype)) for t in self._spec.state}

    def step(self, inputs: StepInputs, state: OnnxState) -> tuple[Tensors, OnnxState]:
        """Advance the ready slots; raises `BackendError` when onnxruntime fails."""
        slots = len(inputs.ready)
        ready = np.flatnonzero(inputs.ready)
        if len(ready) == slots and slots in BUCKETS:
            masks = {"start": inputs.start, "ready": inputs.ready}
            values = self._run({**inputs.tensors, **state, **masks})
            split = len(self._outputs)
            return (
                dict(zip(self._outputs, values[:split], strict=True)),
                dict(zip(self._state, values[split:], strict=True)),
            )
        return self._step_gathered(ready, inputs, state)

    def save(self, state: OnnxState, slot: int) -> GestureState:
        """Return a copy of one slot's state."""
        return GestureState(tensors={name: array[slot].copy() for name, array in state.items()})

    def restore(self, state: OnnxState, slot: int, saved: GestureState) -> OnnxState:
        """Put a saved state into a slot; raises `BackendError` if it does not fit."""
        check_state(self._spec, saved)
        for name, array in state.items():
            array[slot] = saved.tensors[name]
        return state

    def close(self) -> None:
        """Free the buffers; onnxruntime frees its session with this object."""
        self._buckets.clear()

    def _step_gathered(
        self, ready: npt.NDArray[np.intp], inputs: StepInputs, state: OnnxState
    ) -> tuple[Tensors, OnnxState]:
        slots = len(inputs.ready)
        outputs = {
            t.name: np.zeros((slots, *t.shape), np.dtype(t.dtype)) for t in self._spec.outputs
        }
        done = list[tuple[npt.NDArray[np.intp], Sequence[Array]]]()
        for at in range(0, len(ready), BUCKETS[-1]):
            rows = ready[at : at + BUCKETS[-1]]
            done.append((rows, self._run(self._bucket(len(rows)).gather(rows, inputs, state))))
        # only now, when nothing can fail any more, does the state change
        for rows, values in done:
            count = len(rows)
            for name, value in zip(self._outputs, values, strict=False):
                outputs[name][rows] = value[:count]
            for name, value in zip(self._state, values[len(self._outputs) :], strict=True):
                state[name][rows] = value[:count]
        return outputs, state

    def _bucket(self, count: int) -> "_Bucket":
        size = next(b for b in BUCKETS if b >= count)
        bucket = self._buckets.get(size)
        if bucket is None:
            bucket = self._buckets[size] = _Bucket(self._spec, size)
        return bucket

    def _run(self, feed: Mapping[str, Array]) -> list[Array]:
        try:
            return self._session.run(self._fetch, feed)
        except _ORT_ERRORS as error:
            raise BackendError(f"onnxruntime: {_first_line(error)}") from error


class _Bucket:
    """The graph's inputs for one batch size, reused in every step of that size."""

    def __init__(self, spec: ModelSpec, size: int) -> None:
        self._inputs = {t.name: _empty(t, size) for t in spec.inputs}
        self._state = {t.name: _empty(t, size) for t in spec.state}
        self._start = np.zeros(size, np.bool_)
        self._ready = np.zeros(size, np.bool_)
        masks: dict[str, Array] = {"start": self._start, "ready": self._ready}
        self._feed: dict[str, Array] = {**self._inputs, **self._state, **masks}

    def gather(
        self, rows: npt.NDArray[np.intp], inputs: StepInputs, state: OnnxState
    ) -> Mapping[str, Array]:
        """Copy the ready rows in; what lies behind them is stale and not ready."""
        count = len(rows)
        for name, buffer in self._inputs.items():
            np.take(inputs.tensors[name], rows, axis=0, out=buffer[:count], mode="clip")
        for name, buffer in self._state.items():
            np.take(state[name], rows, axis=0, out=buffer[:count], mode="clip")
        np.take(inputs.start, rows, out=self._start[:count], mode="clip")
        self._start[count:] = False
        self._ready[:count] = True
        self._ready[count:] = False
        return self._feed


def graph_name(precision: str) -> str:
    """Return the file of an artifact that computes in a precision."""
    return "model.fp16.onnx" if precision == "float16" else "model.onnx"


def check_state(spec: ModelSpec, saved: GestureState) -> None:
    """Raise `BackendError` unless a saved state has the model's names, shapes and types."""
    for tensor in spec.state:
        got = saved.tensors.get(tensor.name)
        if got is None or got.shape != tensor.shape or got.dtype != np.dtype(tensor.dtype):
            found = "missing" if got is None else f"{got.dtype} {list(got.shape)}"
            raise BackendError(
                f"saved state {tensor.name!r} is {found}, expected "
                f"{tensor.dtype} {list(tensor.shape)}; it is of another model"
            )


def _empty(tensor: TensorSpec, size: int) -> Array:
    return np.zeros((size, *tensor.shape), np.dtype(tensor.dtype))


def _open(path: Path, threads: int) -> _Session:
    if not path.is_file():
        raise ArtifactError(f"{path}: missing; copy the whole artifact folder or export it again")
    options = _ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = _ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # A spinning pool would take a second core from the game that runs beside us.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return _ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _ORT_ERRORS as error:
        raise ArtifactError(
            f"{path}: onnxruntime cannot load it ({_first_line(error)}); export the model again"
        ) from error


def _compare(path: Path, session: _Session, spec: ModelSpec) -> None:
    """Raise `ArtifactError` where the graph and the manifest disagree."""
    masks = {"start": ("bool", ()), "ready": ("bool", ())}
    state = {t.name: (t.dtype, t.shape) for t in spec.state}
    wanted_in = {t.name: (t.dtype, t.shape) for t in spec.inputs} | state | masks
    wanted_out = {t.name: (t.dtype, t.shape) for t in spec.outputs}
    wanted_out |= {f"next_{name}": value for name, value in state.items()}
    for kind, wanted, nodes in (
        ("input", wanted_in, session.get_inputs()),
        ("output", wanted_out, session.get_outputs()),
    ):
        got = {node.name: (_TYPES.get(node.type, node.type), node.shape) for node in nodes}
        for name in sorted(wanted.keys() ^ got.keys()):
            where = "graph lacks it" if name in wanted else "manifest lacks it"
            raise ArtifactError(f"{path}: {kind} {name!r}: the {where}; export the model again")
        for name, (dtype, shape) in wanted.items():
            found, axes = got[name]
            if found != dtype or tuple(axes[1:]) != shape or isinstance(axes[0], int):
                raise ArtifactError(
                    f"{path}: {kind} {name!r} is {found} {axes}, the manifest says "
                    f"{dtype} [slots, {', '.join(map(str, shape))}]; export the model again"
                )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
