"""CUDA and TensorRT without a GPU: the interfaces that our back end uses, over onnxruntime.

Faithful where mistakes hide. A stream runs nothing before it is waited for;
capture records and runs nothing; device memory comes full of garbage, and a copy
between the wrong kinds of memory or past an end fails, as does everything after
an illegal address. A context keeps addresses, and queues them as they are then.
An "engine" is the ONNX graph with the most slots that it takes.
"""

import json
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime


class Error(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900


class FakeCuda:
    """`cuda.bindings.runtime`, with faults to order.

    fail: CUDA call to how many more times it works; then the device is lost.
    captures: False for a driver that refuses to capture.
    """

    class cudaMemcpyKind(IntEnum):
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    class cudaStreamCaptureMode(IntEnum):
        cudaStreamCaptureModeThreadLocal = 1

    def __init__(self, *, driver: int = 13_000, gpus: int = 1, memory: int = 1 << 30) -> None:
        self.driver, self.gpus, self.memory = driver, gpus, memory
        self.gpu = "NVIDIA Fake RTX"
        self.device: dict[int, np.ndarray] = {}
        self.host: dict[int, np.ndarray] = {}
        self.queues: dict[int, list[Callable[[], None]]] = {}
        self.recording: list[Callable[[], None]] | None = None
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.calls: list[str] = []
        self.fail: dict[str, int] = {}
        self.captures = True
        self.broken = False
        self._next = 1

    def __getattribute__(self, name: str) -> Any:
        """Count calls, and fail those that are ordered to."""
        found = object.__getattribute__(self, name)
        if not name.startswith("cuda") or isinstance(found, type):
            return found

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append(name)
            if name in self.fail:
                self.fail[name] -= 1
                self.broken = self.broken or self.fail[name] < 0
            if self.broken and name != "cudaGetLastError":
                return (Error.cudaErrorIllegalAddress, None)
            return found(*arguments)

        return call

    # -- memory --------------------------------------------------------------

    def _allocate(self, space: dict[int, np.ndarray], size: int) -> tuple[Error, int | None]:
        if sum(len(b) for b in self.device.values()) + size > self.memory:
            return Error.cudaErrorMemoryAllocation, None
        block = np.full(size + 256, 0xFF, np.uint8)  # NaN as float32
        start = -block.ctypes.data % 256
        address = block.ctypes.data + start
        space[address] = block[start : start + size]
        return Error.cudaSuccess, address

    def cudaMalloc(self, size: int) -> tuple[Error, int | None]:
        return self._allocate(self.device, size)

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Error, int | None]:
        return self._allocate(self.host, size)

    def cudaFree(self, address: int) -> tuple[Error]:
        return (Error.cudaSuccess if self.device.pop(address, None) is not None else Error(1),)

    def cudaFreeHost(self, address: int) -> tuple[Error]:
        return (Error.cudaSuccess if self.host.pop(address, None) is not None else Error(1),)

    def bytes_at(self, space: dict[int, np.ndarray], address: int, size: int) -> np.ndarray:
        for start, block in space.items():
            if start <= address and address + size <= start + len(block):
                return block[address - start : address - start + size]
        raise AssertionError(f"illegal address {address:#x} for {size} bytes")

    def cudaMemGetInfo(self) -> tuple[Error, int, int]:
        used = sum(len(b) for b in self.device.values())
        return Error.cudaSuccess, self.memory - used, self.memory

    # -- the stream ----------------------------------------------------------

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        (self.queues[stream] if self.recording is None else self.recording).append(work)

    def cudaMemcpyAsync(
        self, target: int, source: int, size: int, kind: IntEnum, stream: int
    ) -> tuple[Error]:
        spaces = (self.device, self.host) if kind == 1 else (self.host, self.device)
        into = self.bytes_at(spaces[0], target, size)
        out = self.bytes_at(spaces[1], source, size)
        self.enqueue(stream, lambda: np.copyto(into, out))
        return (Error.cudaSuccess,)

    def cudaMemsetAsync(self, address: int, value: int, size: int, stream: int) -> tuple[Error]:
        block = self.bytes_at(self.device, address, size)
        self.enqueue(stream, lambda: block.fill(value))
        return (Error.cudaSuccess,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Error, int]:
        self.queues[self._next] = []
        self._next += 1
        return Error.cudaSuccess, self._next - 1

    def cudaStreamSynchronize(self, stream: int) -> tuple[Error]:
        if self.recording is not None:
            return (Error.cudaErrorStreamCaptureUnsupported,)
        work, self.queues[stream] = self.queues[stream], []
        for one in work:
            one()
        return (Error.cudaSuccess,)

    def cudaStreamDestroy(self, stream: int) -> tuple[Error]:
        del self.queues[stream]
        return (Error.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: int, mode: IntEnum) -> tuple[Error]:
        if not self.captures:
            return (Error.cudaErrorStreamCaptureUnsupported,)
        self.recording = []
        return (Error.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Error, int]:
        recorded, self.recording = self.recording or [], None
        self.graphs[self._next] = recorded
        self._next += 1
        return Error.cudaSuccess, self._next - 1

    def cudaGraphInstantiate(self, graph: int, flags: int) -> tuple[Error, int]:
        self.graphs[self._next] = self.graphs[graph]
        self._next += 1
        return Error.cudaSuccess, self._next - 1

    def cudaGraphLaunch(self, graph: int, stream: int) -> tuple[Error]:
        for work in self.graphs[graph]:
            self.enqueue(stream, work)
        return (Error.cudaSuccess,)

    def cudaGraphDestroy(self, graph: int) -> tuple[Error]:
        del self.graphs[graph]
        return (Error.cudaSuccess,)

    cudaGraphExecDestroy = cudaGraphDestroy

    # -- the device ----------------------------------------------------------

    def cudaDriverGetVersion(self) -> tuple[Error, int]:
        return Error.cudaSuccess, self.driver

    def cudaGetDeviceCount(self) -> tuple[Error, int]:
        return (Error.cudaSuccess if self.driver else Error(35)), self.gpus

    def cudaSetDevice(self, device: int) -> tuple[Error]:
        return (Error.cudaSuccess,)

    def cudaGetDeviceProperties(self, device: int) -> tuple[Error, Any]:
        return Error.cudaSuccess, SimpleNamespace(name=self.gpu.encode(), major=8, minor=9)

    def cudaGetLastError(self) -> tuple[Error]:
        return (Error.cudaSuccess,)


class FakeTensorRt:
    """The module `tensorrt`. largest: the most slots that the builder's memory allows."""

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING = 0, 1, 2

        def __init__(self) -> None:
            pass

    class IProgressMonitor:
        def __init__(self) -> None:
            pass

    def __init__(self, cuda: FakeCuda, *, version: str = "11.4.0.106", largest: int = 999) -> None:
        self.cuda, self.largest = cuda, largest
        self.__version__ = version
        self.DataType = SimpleNamespace(FLOAT=10, INT32=11, BOOL=12)
        self.TensorIOMode = SimpleNamespace(INPUT=20, OUTPUT=21)
        self.BuilderFlag = SimpleNamespace(TF32=7)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE=1)
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED=2)
        self.contexts: list[FakeContext] = []
        self.flags: set[int] = set()

    def Runtime(self, logger: Any) -> "FakeRuntime":
        asked = "cudaGetDeviceCount" in self.cuda.calls
        assert asked, "would crash without a driver"
        return FakeRuntime(self, logger)

    def Builder(self, logger: Any) -> "FakeBuilder":
        assert self.cuda.driver, "would crash"
        return FakeBuilder(self, logger)

    def OnnxParser(self, network: Any, logger: Any) -> "FakeParser":
        return FakeParser(network)


class FakeParser:
    def __init__(self, network: dict[str, Any]) -> None:
        self._network = network
        self.num_errors = 0

    def parse(self, model: bytes) -> bool:
        try:
            onnx.load_from_string(model)
        except Exception:
            self.num_errors = 1
            return False
        self._network["onnx"] = model
        return True

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: "not an ONNX model")


class FakeBuilder:
    def __init__(self, module: FakeTensorRt, logger: Any) -> None:
        self._module, self._logger = module, logger

    def create_network(self, flags: int) -> dict[str, Any]:
        assert flags == 2, "strongly typed"
        return {}

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        profile = SimpleNamespace(shapes=shapes)
        profile.set_shape = lambda name, low, opt, high: shapes.update({name: (low, opt, high)})
        return profile

    def create_builder_config(self) -> Any:
        cache = SimpleNamespace(serialize=lambda: b"timings")
        config = SimpleNamespace(profiles=[], progress_monitor=None)
        config.set_memory_pool_limit = lambda pool, size: None
        config.add_optimization_profile = config.profiles.append
        config.set_flag = self._module.flags.add
        config.clear_flag = self._module.flags.discard
        config.create_timing_cache = lambda data: cache
        config.set_timing_cache = lambda cache, ignore: True
        config.get_timing_cache = lambda: cache
        return config

    def build_serialized_network(self, network: dict[str, Any], config: Any) -> bytes | None:
        (profile,) = config.profiles
        names = {i.name for i in onnx.load_from_string(network["onnx"]).graph.input}
        assert profile.shapes.keys() == names, "every dynamic input needs a profile"
        slots = {high[0] for _, _, high in profile.shapes.values()}.pop()
        if slots > self._module.largest:
            self._logger.log(1, "Requested amount of GPU memory could not be allocated")
            return None
        config.progress_monitor.phase_start("Building Engine", None, 2)
        for step in range(2):
            assert config.progress_monitor.step_complete("Building Engine", step)
        config.progress_monitor.phase_finish("Building Engine")
        return b"FAKE" + json.dumps({"slots": slots}).encode() + b"\n" + network["onnx"]


class FakeRuntime:
    def __init__(self, module: FakeTensorRt, logger: Any) -> None:
        self._module, self._logger = module, logger

    def deserialize_cuda_engine(self, body: bytes) -> "FakeEngine | None":
        if not body.startswith(b"FAKE"):
            self._logger.log(1, "Serialization assertion magicTag failed")
            return None
        header, _, model = body[4:].partition(b"\n")
        return FakeEngine(self._module, json.loads(header)["slots"], model)


class FakeEngine:
    device_memory_size_v2 = 512

    def __init__(self, module: FakeTensorRt, slots: int, model: bytes) -> None:
        self.module, self.slots = module, slots
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        trt = module
        self._inputs = {i.name: i for i in self.session.get_inputs()}
        self._all = {**self._inputs, **{o.name: o for o in self.session.get_outputs()}}
        self._types = {
            "tensor(float)": trt.DataType.FLOAT,
            "tensor(int32)": trt.DataType.INT32,
            "tensor(bool)": trt.DataType.BOOL,
        }
        self.num_io_tensors = len(self._all)

    def get_tensor_name(self, index: int) -> str:
        return list(self._all)[index]

    def get_tensor_mode(self, name: str) -> int:
        modes = self.module.TensorIOMode
        return modes.INPUT if name in self._inputs else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> int:
        return self._types[self._all[name].type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, *self._all[name].shape[1:])

    def create_execution_context(self, strategy: int) -> "FakeContext":
        assert strategy == 2
        self.module.contexts.append(FakeContext(self))
        return self.module.contexts[-1]


class FakeContext:
    """Binds addresses; what is queued uses them as they were when it was queued."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.bindings = 0
        self._memory = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return shape[0] <= self._engine.slots

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.bindings += 1
        self.addresses[name] = memory
        return memory % 256 == 0

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size >= self._engine.device_memory_size_v2
        self._memory = memory

    def execute_async_v3(self, stream_handle: int) -> bool:
        cuda, session = self._engine.module.cuda, self._engine.session
        if not self._memory or len(self.addresses) != self._engine.num_io_tensors:
            return False
        numbers = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}
        feed = {}
        for node in session.get_inputs():
            shape, dtype = self._shapes[node.name], np.dtype(numbers[node.type])
            size = int(np.prod(shape)) * dtype.itemsize
            block = cuda.bytes_at(cuda.device, self.addresses[node.name], size)
            feed[node.name] = block.view(dtype).reshape(shape)
        targets = [self.addresses[node.name] for node in session.get_outputs()]

        def work() -> None:
            for target, value in zip(targets, session.run(None, feed), strict=True):
                data = np.frombuffer(value.tobytes(), np.uint8)
                np.copyto(cuda.bytes_at(cuda.device, target, len(data)), data)

        cuda.enqueue(stream_handle, work)
        return True
