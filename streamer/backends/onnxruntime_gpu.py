"""onnxruntime's CUDA and TensorRT providers, bound to GPU memory of our own."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from streamer.backends.cuda import Cuda, CudaError, load_cuda
from streamer.backends.device_state import DeviceState, too_large
from streamer.backends.onnxruntime_providers import (
    BUILT,
    Kind,
    is_memory,
    load_onnxruntime,
    open_provider,
    provider_key,
)
from streamer.backends.onnxruntime_session import (
    ORT_ERRORS,
    Binding,
    Session,
    check_state,
    first_line,
)
from streamer.backends.precision import Precision
from streamer.backends.tensorrt_api import Api, load_tensorrt
from streamer.backends.tensorrt_engine import (
    FORMAT,
    EngineKey,
    engine_cache,
    find_engine,
)
from streamer.errors import BackendError
from streamer.spec import ModelSpec, load_manifest
from streamer.types import GestureState, StepInputs, Tensors

_log = logging.getLogger(__name__)


class OnnxRuntimeGpuBackend:
    """Runs the step graph by one of onnxruntime's GPU providers; for the inference thread.

    The state stays in two blocks of GPU memory that a step reads and writes in
    turn, bound once. slots: the most sessions that will be asked for. precision:
    TensorRT's provider knows `tf32` alone. Raises
    `BackendError` with reason and remedy where the driver, the provider or, for
    TensorRT, an engine that `gesture engine build` made is missing: nothing is
    built here. After a failure the state cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        kind: Kind,
        *,
        slots: int = 1,
        precision: Precision = "float32",
        cache: Path | None = None,
        make_cuda: Callable[[], Cuda] = load_cuda,
        make_api: Callable[[], Api] = load_tensorrt,
        make_runtime: Callable[[Kind], Any] | None = None,
    ) -> None:
        self._kind: Kind = kind
        self._precision: Precision = precision
        self._spec = load_manifest(folder).spec
        self._most: int | None = None
        self._cuda = make_cuda()  # first: without a driver TensorRT crashes
        try:
            module = (make_runtime or load_onnxruntime)(kind)
            engine = None
            if kind == "onnxruntime-tensorrt":
                wanted = provider_key(folder, slots, self._cuda, make_api(), module)
                where = cache or engine_cache()
                key, mark = find_engine(where, wanted, pattern=f"*.ort/{BUILT}", backend=kind)
                engine, self._most = (key, mark.parent), key.slots
            self._session = open_provider(
                folder, self._spec, kind, self._precision, self._cuda, module, engine
            )
        except BaseException:
            self._cuda.close()
            raise
        self._states = WeakSet[_State]()

    @property
    def name(self) -> str:
        """`onnxruntime-cuda` or `onnxruntime-tensorrt`."""
        return self._kind

    @property
    def precision(self) -> str:
        """In what the matrix products are computed."""
        return self._precision

    @property
    def spec(self) -> ModelSpec:
        """The model that it runs."""
        return self._spec

    def initial_state(self, slots: int) -> "_State":
        """Return a state of zeros; this allocates its memory, binds it and warms up."""
        if self._most is not None and slots > self._most:
            raise BackendError(
                f"{self._kind}: the engine takes {self._most} slots, {slots} are wanted; "
                f"gesture engine build --slots {slots} --backend {self._kind}"
            )
        before = self._cuda.free_bytes
        state = _State(self._cuda, self._session, self._spec, slots, self._kind)
        try:
            state.open()
        except BackendError as error:
            state.close()
            short = isinstance(error, CudaError) and error.out_of_memory
            if short or is_memory(str(error)):
                raise too_large(self._kind, slots, before, state.memory.bytes) from error
            raise BackendError(f"{self._kind}: {error}") from error
        self._states.add(state)
        return state

    def step(self, inputs: StepInputs, state: "_State") -> tuple[Tensors, "_State"]:
        """Advance the ready slots: one copy in, the graph, one copy out."""
        return state.memory.step(inputs, state.run), state

    def save(self, state: "_State", slot: int) -> GestureState:
        """Return a copy of one slot's state; raises `BackendError` where it cannot be read."""
        return GestureState(tensors=state.memory.read(slot))

    def restore(self, state: "_State", slot: int, saved: GestureState) -> "_State":
        """Put a saved state into a slot; raises `BackendError` if it does not fit."""
        check_state(self._spec, saved)
        state.memory.write(slot, saved.tensors)
        return state

    def close(self) -> None:
        """Free the memory of every state, the session and the stream."""
        for state in tuple(self._states):
            state.close()
        del self._session  # it holds our stream
        try:
            self._cuda.close()
        except CudaError as error:  # after a failure nothing more can be given back
            _log.debug("closing: %s", error)


class _State:
    """The state of `slots` sessions, with a binding for each direction between its blocks."""

    def __init__(
        self, cuda: Cuda, session: Session, spec: ModelSpec, slots: int, kind: Kind
    ) -> None:
        self._cuda = cuda
        self._session: Session | None = session
        self._bindings = list[Binding]()
        self.memory = DeviceState(cuda, spec, slots, backend=kind)

    def open(self) -> None:
        """Allocate, bind and warm up; raises `BackendError`."""
        assert self._session is not None
        self.memory.open()
        for side in (0, 1):
            binding = self._session.io_binding()
            for name, (address, part) in self.memory.given(side).items():
                dtype = np.dtype(part.dtype)
                binding.bind_input(name, "cuda", 0, dtype, part.shape, address)
            for name, (address, part) in self.memory.results(side).items():
                dtype = np.dtype(part.dtype)
                binding.bind_output(name, "cuda", 0, dtype, part.shape, address)
            self._bindings.append(binding)
        for side in (0, 1):  # the first runs allocate scratch memory and choose algorithms
            self.run(side)
        self.memory.clear()

    def run(self, side: int) -> None:
        """Run a step from block `side` to the other, copies included."""
        assert self._session is not None
        self.memory.queue_in()
        # the TensorRT provider does not wait for our stream (onnxruntime issue 32673)
        self._cuda.wait()
        try:
            self._session.run_with_iobinding(self._bindings[side])
        except ORT_ERRORS as error:
            raise BackendError(first_line(error)) from error
        self.memory.queue_out()

    def close(self) -> None:
        """Free everything; it may be repeated."""
        self._bindings.clear()
        self._session = None
        self.memory.close()

    def __del__(self) -> None:
        self.close()  # a warm-up's state gives its memory back when it is dropped


def build_provider_engine(
    folder: Path,
    *,
    slots: int,
    cuda: Cuda,
    api: Api,
    module: Any,
    cache: Path,
    tell: Callable[[str], None],
) -> tuple[EngineKey, Path]:
    """Let onnxruntime's TensorRT provider build for 1 to `slots` sessions (minutes).

    Where memory does not suffice it builds for half as many slots, and says so.
    Raises `BackendError` with the reason.
    """
    kind: Kind = "onnxruntime-tensorrt"
    spec = load_manifest(folder).spec
    key = provider_key(folder, slots, cuda, api, module)
    while True:
        where = cache / f"{key.file_name.removesuffix('.engine')}.ort"
        where.mkdir(parents=True, exist_ok=True)
        tell(f"building {spec.name}, {key.slots} slots, on {key.gpu}; this shows no progress")
        try:
            session = open_provider(folder, spec, kind, "tf32", cuda, module, (key, where))
            state = _State(cuda, session, spec, key.slots, kind)
            try:
                state.open()
            finally:
                state.close()
            break
        except BackendError as error:
            if not is_memory(str(error)) or key.slots == 1:
                raise
            tell(f"{key.slots} slots do not fit ({error}); trying {key.slots // 2}")
            key = replace(key, slots=key.slots // 2)
    if not any(where.glob("*.engine")):
        raise BackendError(f"{kind}: TensorRT took no part of {folder.name}")
    mark = where / BUILT
    mark.write_text(json.dumps({"format": FORMAT, **asdict(key)}) + "\n", encoding="utf-8")
    return key, mark
