"""The TensorRT back end: a cached engine, two blocks of state, a CUDA graph each way."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from streamer.backends.cuda import Cuda, CudaError, Pinned, load_cuda
from streamer.backends.layout import Layout
from streamer.backends.onnxruntime_session import check_state, graph_name
from streamer.backends.tensorrt_api import Api, Context, TensorEngine, load_tensorrt
from streamer.backends.tensorrt_engine import (
    EngineKey,
    Precision,
    engine_cache,
    engine_key,
    find_engine,
    load_engine,
)
from streamer.errors import BackendError
from streamer.spec import ModelSpec, load_manifest
from streamer.types import GestureState, StepInputs, Tensors

_log = logging.getLogger(__name__)


class TensorRtBackend:
    """Runs an engine that `gesture engine build` made; only the inference thread calls it.

    slots: the most sessions that will be asked for. It never builds: where no
    engine fits, and where the driver, TensorRT or the memory is missing, it
    raises `BackendError` with the reason and the remedy. After a CUDA error no
    state can be read: `step` and `save` raise from then on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        slots: int = 1,
        precision: Precision = "float32",
        cache: Path | None = None,
        make_cuda: Callable[[], Cuda] = load_cuda,
        make_api: Callable[[], Api] = load_tensorrt,
    ) -> None:
        self._spec = load_manifest(folder).spec
        # a TensorRT runtime without a driver crashes the process: the driver first
        self._cuda = make_cuda()
        try:
            api = make_api()
            wanted = engine_key(folder, precision, slots, self._cuda, api)
            self._key, path = find_engine(cache or engine_cache(), wanted)
            self._engine = load_engine(path, self._key, api)
            _compare(path, self._engine, self._spec, api)
        except BaseException:
            self._cuda.close()
            raise
        self._shared = api.module.ExecutionContextAllocationStrategy.USER_MANAGED
        self._states = WeakSet[TensorRtState]()

    @property
    def name(self) -> str:
        """`tensorrt`."""
        return "tensorrt"

    @property
    def precision(self) -> str:
        """In what the matrix products are computed."""
        return self._key.precision

    @property
    def key(self) -> EngineKey:
        """What the engine was built for."""
        return self._key

    @property
    def spec(self) -> ModelSpec:
        """The model that it runs."""
        return self._spec

    def initial_state(self, slots: int) -> "TensorRtState":
        """Return a state of zeros; this allocates its memory and captures its graphs."""
        if slots > self._key.slots:
            raise BackendError(
                f"tensorrt: the engine takes {self._key.slots} slots, {slots} are wanted; "
                f"gesture engine build --slots {slots}"
            )
        before = self._cuda.free_bytes
        state = TensorRtState(self._cuda, self._spec, slots)
        try:
            state.open(self._engine, self._shared)
        except CudaError as error:
            state.close()
            if not error.out_of_memory:
                raise BackendError(f"tensorrt: {error}") from error
            fit = slots * before // max(state.wanted_bytes(self._engine), 1)
            raise BackendError(
                f"tensorrt: {slots} slots do not fit into {before / 1e6:.0f} MB of free GPU "
                f"memory; about {max(fit, 0)} would"
            ) from error
        except BackendError:
            state.close()
            raise
        self._states.add(state)
        return state

    def step(self, inputs: StepInputs, state: "TensorRtState") -> tuple[Tensors, "TensorRtState"]:
        """Advance the ready slots: one copy in, one graph, one copy out."""
        return state.step(inputs), state

    def save(self, state: "TensorRtState", slot: int) -> GestureState:
        """Return a copy of one slot's state; raises `BackendError` where it cannot be read."""
        return GestureState(tensors=state.read(slot))

    def restore(self, state: "TensorRtState", slot: int, saved: GestureState) -> "TensorRtState":
        """Put a saved state into a slot; raises `BackendError` if it does not fit."""
        check_state(self._spec, saved)
        state.write(slot, saved.tensors)
        return state

    def close(self) -> None:
        """Free the memory of every state, the graphs and the stream."""
        for state in tuple(self._states):
            state.close()
        try:
            self._cuda.close()
        except CudaError as error:  # after a failure nothing more can be given back
            _log.debug("closing: %s", error)


def open_best(
    folder: Path,
    *,
    slots: int,
    make: Callable[[Precision], TensorRtBackend] | None = None,
) -> TensorRtBackend:
    """Open the engine of the lowest precision that has been built for this model.

    Who built a half precision engine wants it. Raises the `BackendError` of
    float32 where no engine runs.
    """

    def open_(precision: Precision) -> TensorRtBackend:
        return TensorRtBackend(folder, slots=slots, precision=precision)

    make = make or open_
    if (folder / graph_name("float16")).is_file():
        try:
            return make("float16")
        except BackendError as error:
            _log.debug("float16: %s", error)
    try:
        return make("float32")
    except BackendError as error:
        try:
            return make("tf32")
        except BackendError:
            raise error from None


class TensorRtState:
    """The state of `slots` sessions on the GPU, and what runs a step on it.

    Two blocks hold the state: a step reads one and writes the other, so an
    engine that fails leaves the old state. Each direction has an execution
    context, whose tensors are bound once, and a CUDA graph of the copy in, the
    step and the copy out. Warm-up and capture run the step, so they come before
    the first real state.
    """

    def __init__(self, cuda: Cuda, spec: ModelSpec, slots: int) -> None:
        self._cuda = cuda
        self._into = Layout.of(spec.inputs, slots, masks=True)
        self._out = Layout.of(spec.outputs, slots)
        self._kept = Layout.of(spec.state, slots)
        self._names = [t.name for t in spec.outputs]
        self._side = 0
        self._lost: str | None = None
        self._device = list[int]()
        self._pinned = list[Pinned]()
        self._graphs = list[Any]()
        self._contexts = list[Context]()
        self.closed = False

    def open(self, engine: TensorEngine, strategy: Any) -> None:
        """Allocate, bind, warm up and capture; raises `CudaError`."""
        self._host_in, self._host_out = self._pin(self._into.size), self._pin(self._out.size)
        self._row = self._pin(max(p.row for p in self._kept.parts.values()))
        self._in, self._result = self._allocate(self._into.size), self._allocate(self._out.size)
        self._blocks = self._allocate(self._kept.size), self._allocate(self._kept.size)
        # the contexts never run at once, so they share one scratch memory
        scratch_size = engine.device_memory_size_v2
        scratch = self._allocate(max(scratch_size, 1))
        for side in (0, 1):
            context = engine.create_execution_context(strategy)
            if context is None:
                raise BackendError("tensorrt: no execution context; the GPU's memory is short")
            context.set_device_memory(scratch, scratch_size)
            self._bind(context, self._blocks[side], self._blocks[1 - side])
            self._contexts.append(context)
        self._feed = self._into.views(self._host_in.bytes)
        self._results = self._out.views(self._host_out.bytes)
        for side in (0, 1):
            self._queue(side)
        self._cuda.wait()
        try:
            self._graphs = [self._cuda.capture(lambda s=side: self._queue(s)) for side in (0, 1)]
        except BackendError as error:
            if isinstance(error, CudaError) and error.out_of_memory:
                raise
            _log.warning("no CUDA graph (%s): every step is queued anew", error)
        for block in self._blocks:
            self._cuda.zero(block, self._kept.size)
        self._cuda.wait()

    def wanted_bytes(self, engine: TensorEngine) -> int:
        """Return how much device memory it needs."""
        sizes = self._into.size + self._out.size + 2 * self._kept.size
        return sizes + engine.device_memory_size_v2

    def step(self, inputs: StepInputs) -> Tensors:
        """Run one step; raises `BackendError`, after which nothing can be read."""
        self._check()
        for name, tensor in inputs.tensors.items():
            np.copyto(self._feed[name], tensor)
        np.copyto(self._feed["start"], inputs.start)
        np.copyto(self._feed["ready"], inputs.ready)
        try:
            if self._graphs:
                self._cuda.launch(self._graphs[self._side])
            else:
                self._queue(self._side)
            self._cuda.wait()
        except BackendError as error:
            self._lost = str(error)
            raise BackendError(f"tensorrt: {error}") from error
        self._side = 1 - self._side
        return {name: self._results[name].copy() for name in self._names}

    def read(self, slot: int) -> Tensors:
        """Return a copy of one slot's tensors."""
        self._check()
        out = dict[str, Any]()
        try:
            for name, part in self._kept.parts.items():
                source = self._blocks[self._side] + part.offset + slot * part.row
                self._cuda.copy_out(self._row.address, source, part.row)
                self._cuda.wait()
                bytes_ = self._row.bytes[: part.row]
                out[name] = bytes_.view(part.dtype).reshape(part.shape[1:]).copy()
        except CudaError as error:
            self._lost = str(error)
            raise BackendError(f"tensorrt: the state cannot be read: {error}") from error
        return out

    def write(self, slot: int, tensors: Tensors) -> None:
        """Put one slot's tensors in force."""
        self._check()
        try:
            for name, part in self._kept.parts.items():
                row = self._row.bytes[: part.row].view(part.dtype).reshape(part.shape[1:])
                np.copyto(row, tensors[name])
                target = self._blocks[self._side] + part.offset + slot * part.row
                self._cuda.copy_in(target, self._row.address, part.row)
                self._cuda.wait()
        except CudaError as error:
            self._lost = str(error)
            raise BackendError(f"tensorrt: the state cannot be written: {error}") from error

    def close(self) -> None:
        """Free everything; it may be repeated."""
        if self.closed:
            return
        self.closed = True
        self._contexts.clear()
        frees = [
            *(partial(self._cuda.free_graph, graph) for graph in self._graphs),
            *(partial(self._cuda.free, address) for address in self._device),
            *(partial(self._cuda.free_pinned, pinned) for pinned in self._pinned),
        ]
        for free in frees:
            try:
                free()
            except CudaError as error:  # after a failure nothing more can be given back
                _log.debug("freeing: %s", error)

    def __del__(self) -> None:
        self.close()  # a warm-up's state gives its memory back when it is dropped

    def _check(self) -> None:
        if self._lost is not None:
            raise BackendError(f"tensorrt: the state was lost: {self._lost}")
        if self.closed:
            raise BackendError("tensorrt: the back end is closed")

    def _bind(self, context: Context, source: int, target: int) -> None:
        shapes = {**self._into.parts, **self._kept.parts}
        addresses = {name: self._in + p.offset for name, p in self._into.parts.items()}
        addresses |= {name: self._result + p.offset for name, p in self._out.parts.items()}
        addresses |= {name: source + p.offset for name, p in self._kept.parts.items()}
        addresses |= {f"next_{name}": target + p.offset for name, p in self._kept.parts.items()}
        for name, part in shapes.items():
            if not context.set_input_shape(name, part.shape):
                raise BackendError(f"tensorrt: input {name!r} does not take {list(part.shape)}")
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise BackendError(f"tensorrt: tensor {name!r} takes no address")

    def _queue(self, side: int) -> None:
        """Queue the copy in, the step from one block to the other, and the copy out."""
        cuda = self._cuda
        cuda.copy_in(self._in, self._host_in.address, self._into.size)
        if not self._contexts[side].execute_async_v3(cuda.stream_handle):
            raise BackendError("the engine could not be queued")
        cuda.copy_out(self._host_out.address, self._result, self._out.size)

    def _allocate(self, size: int) -> int:
        self._device.append(self._cuda.allocate(size))
        return self._device[-1]

    def _pin(self, size: int) -> Pinned:
        self._pinned.append(self._cuda.allocate_pinned(size))
        return self._pinned[-1]


def _compare(path: Path, engine: TensorEngine, spec: ModelSpec, api: Api) -> None:
    """Raise `BackendError` where the engine's tensors and the manifest disagree."""
    module = api.module
    types = {module.DataType.FLOAT: "float32", module.DataType.INT32: "int32"}
    types[module.DataType.BOOL] = "bool"
    modes = {module.TensorIOMode.INPUT: "input", module.TensorIOMode.OUTPUT: "output"}
    got = dict[str, tuple[str, str, tuple[int, ...]]]()
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype = types.get(engine.get_tensor_dtype(name), "another type")
        shape = tuple(engine.get_tensor_shape(name))[1:]
        got[name] = (modes.get(engine.get_tensor_mode(name), "none"), dtype, shape)
    state = {t.name: ("input", str(t.dtype), t.shape) for t in spec.state}
    wanted = {t.name: ("input", str(t.dtype), t.shape) for t in spec.inputs} | state
    wanted |= dict.fromkeys(("start", "ready"), ("input", "bool", ()))
    wanted |= {t.name: ("output", str(t.dtype), t.shape) for t in spec.outputs}
    wanted |= {f"next_{n}": ("output", d, s) for n, (_, d, s) in state.items()}
    for name in sorted(got.keys() | wanted.keys()):
        if got.get(name) != wanted.get(name):
            raise BackendError(
                f"{path.name}: tensor {name!r} is {got.get(name, 'missing')}, the manifest says "
                f"{wanted.get(name, 'nothing')}; gesture engine build makes it anew"
            )
