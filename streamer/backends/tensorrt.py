"""The TensorRT back end: a cached engine, two blocks of state, a CUDA graph each way."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

from streamer.backends.cuda import Cuda, CudaError, load_cuda
from streamer.backends.device_state import DeviceState, too_large
from streamer.backends.onnxruntime_session import check_state, graph_name
from streamer.backends.precision import Precision
from streamer.backends.tensorrt_api import Api, Context, TensorEngine, load_tensorrt
from streamer.backends.tensorrt_engine import (
    EngineKey,
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
            wanted = state.wanted_bytes(self._engine)
            raise too_large("tensorrt", slots, before, wanted) from error
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

    Each direction between the two blocks of state has an execution context,
    whose tensors are bound once, and a CUDA graph of the copy in, the step and
    the copy out. Warm-up and capture run the step, so they come before the first
    real state.
    """

    def __init__(self, cuda: Cuda, spec: ModelSpec, slots: int) -> None:
        self._cuda = cuda
        self._memory = DeviceState(cuda, spec, slots, backend="tensorrt")
        self._graphs = list[Any]()
        self._contexts = list[Context]()

    def open(self, engine: TensorEngine, strategy: Any) -> None:
        """Allocate, bind, warm up and capture; raises `CudaError`."""
        self._memory.open()
        # the contexts never run at once, so they share one scratch memory
        scratch_size = engine.device_memory_size_v2
        scratch = self._memory.allocate(max(scratch_size, 1))
        for side in (0, 1):
            context = engine.create_execution_context(strategy)
            if context is None:
                raise BackendError("tensorrt: no execution context; the GPU's memory is short")
            context.set_device_memory(scratch, scratch_size)
            self._bind(context, side)
            self._contexts.append(context)
        for side in (0, 1):
            self._queue(side)
        self._cuda.wait()
        try:
            self._graphs = [self._cuda.capture(lambda s=side: self._queue(s)) for side in (0, 1)]
        except BackendError as error:
            if isinstance(error, CudaError) and error.out_of_memory:
                raise
            _log.warning("no CUDA graph (%s): every step is queued anew", error)
        self._memory.clear()

    def wanted_bytes(self, engine: TensorEngine) -> int:
        """Return how much device memory it needs."""
        return self._memory.bytes + engine.device_memory_size_v2

    def step(self, inputs: StepInputs) -> Tensors:
        """Run one step; raises `BackendError`, after which nothing can be read."""
        return self._memory.step(inputs, self._launch if self._graphs else self._queue)

    def read(self, slot: int) -> Tensors:
        """Return a copy of one slot's tensors."""
        return self._memory.read(slot)

    def write(self, slot: int, tensors: Tensors) -> None:
        """Put one slot's tensors in force."""
        self._memory.write(slot, tensors)

    def close(self) -> None:
        """Free everything; it may be repeated."""
        self._contexts.clear()
        while self._graphs:
            try:
                self._cuda.free_graph(self._graphs.pop())
            except CudaError as error:  # after a failure nothing more can be given back
                _log.debug("freeing: %s", error)
        self._memory.close()

    def __del__(self) -> None:
        self.close()  # a warm-up's state gives its memory back when it is dropped

    def _bind(self, context: Context, side: int) -> None:
        given = self._memory.given(side)
        for name, (_, part) in given.items():
            if not context.set_input_shape(name, part.shape):
                raise BackendError(f"tensorrt: input {name!r} does not take {list(part.shape)}")
        for name, (address, _) in {**given, **self._memory.results(side)}.items():
            if not context.set_tensor_address(name, address):
                raise BackendError(f"tensorrt: tensor {name!r} takes no address")

    def _launch(self, side: int) -> None:
        self._cuda.launch(self._graphs[side])

    def _queue(self, side: int) -> None:
        """Queue the copy in, the step from one block to the other, and the copy out."""
        self._memory.queue_in()
        if not self._contexts[side].execute_async_v3(self._cuda.stream_handle):
            raise BackendError("the engine could not be queued")
        self._memory.queue_out()


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
