"""The little of the CUDA runtime that a back end needs: memory, one stream, graphs."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.errors import BackendError

CALLS = (
    "cudaDriverGetVersion",
    "cudaFree",
    "cudaFreeHost",
    "cudaGetDeviceCount",
    "cudaGetDeviceProperties",
    "cudaGetLastError",
    "cudaGraphDestroy",
    "cudaGraphExecDestroy",
    "cudaGraphInstantiate",
    "cudaGraphLaunch",
    "cudaHostAlloc",
    "cudaMalloc",
    "cudaMemGetInfo",
    "cudaMemcpyAsync",
    "cudaMemsetAsync",
    "cudaSetDevice",
    "cudaStreamBeginCapture",
    "cudaStreamCreateWithFlags",
    "cudaStreamDestroy",
    "cudaStreamEndCapture",
    "cudaStreamSynchronize",
)
"""What is called of `cuda.bindings.runtime`; a test looks each of them up there."""

_NON_BLOCKING = 1  # cudaStreamNonBlocking
_MEMORY = "cudaErrorMemoryAllocation"


class CudaError(BackendError):
    """A CUDA call failed; `name` is CUDA's own name of the error."""

    def __init__(self, call: str, name: str) -> None:
        super().__init__(f"{call}: {name}")
        self.name = name

    @property
    def out_of_memory(self) -> bool:
        """Whether less would have fitted."""
        return self.name == _MEMORY


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Which GPU: its name and compute capability, as `8.9`."""

    name: str
    capability: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """Page-locked host memory: its address, and its bytes."""

    address: int
    bytes: npt.NDArray[np.uint8]


class Cuda:
    """Device 0 and one stream on it; for the inference thread alone.

    runtime: the module `cuda.bindings.runtime`, or what behaves like it. Raises
    `BackendError` where no driver answers.
    """

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        version = self._call("cudaDriverGetVersion")
        if not version:
            raise BackendError("no NVIDIA driver answers; install one, or use --backend auto")
        if not self._call("cudaGetDeviceCount"):
            raise BackendError("the NVIDIA driver shows no GPU")
        self._call("cudaSetDevice", 0)
        self.stream: Any = self._call("cudaStreamCreateWithFlags", _NON_BLOCKING)

    @property
    def gpu(self) -> Gpu:
        """The device that is used."""
        found = self._call("cudaGetDeviceProperties", 0)
        name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
        return Gpu(name=name.rstrip("\0"), capability=f"{found.major}.{found.minor}")

    @property
    def free_bytes(self) -> int:
        """Device memory that nobody uses."""
        return int(self._call("cudaMemGetInfo")[0])

    @property
    def stream_handle(self) -> int:
        """The stream as TensorRT wants it."""
        return int(self.stream)

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes of device memory, all zero."""
        address = int(self._call("cudaMalloc", size))
        self.zero(address, size)
        return address

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._call("cudaFree", address)

    def allocate_pinned(self, size: int) -> Pinned:
        """Return `size` bytes of page-locked memory, all zero."""
        address = int(self._call("cudaHostAlloc", size, 0))
        block = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        block[:] = 0
        return Pinned(address=address, bytes=block)

    def free_pinned(self, pinned: Pinned) -> None:
        """Give page-locked memory back; its bytes must not be touched again."""
        self._call("cudaFreeHost", pinned.address)

    def zero(self, address: int, size: int) -> None:
        """Queue zeroing."""
        self._call("cudaMemsetAsync", address, 0, size, self.stream)

    def copy_in(self, target: int, source: int, size: int) -> None:
        """Queue a copy from host to device."""
        self._copy(target, source, size, "cudaMemcpyHostToDevice")

    def copy_out(self, target: int, source: int, size: int) -> None:
        """Queue a copy from device to host."""
        self._copy(target, source, size, "cudaMemcpyDeviceToHost")

    def wait(self) -> None:
        """Wait for the stream, and only for it."""
        self._call("cudaStreamSynchronize", self.stream)

    def capture(self, queue: Callable[[], None]) -> int:
        """Return an executable graph of what `queue` queues; nothing of it runs now."""
        # thread-local: what other threads of the program do on the GPU is their affair
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self.stream, mode)
        try:
            queue()
        except BackendError:
            self._runtime.cudaStreamEndCapture(self.stream)  # already in error: no second one
            self._runtime.cudaGetLastError()
            raise
        graph = self._call("cudaStreamEndCapture", self.stream)
        try:
            return self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)

    def launch(self, graph: Any) -> None:
        """Queue a captured graph."""
        self._call("cudaGraphLaunch", graph, self.stream)

    def free_graph(self, graph: Any) -> None:
        """Give a graph back."""
        self._call("cudaGraphExecDestroy", graph)

    def close(self) -> None:
        """Give the stream back."""
        self._call("cudaStreamDestroy", self.stream)

    def _copy(self, target: int, source: int, size: int, kind: str) -> None:
        way = getattr(self._runtime.cudaMemcpyKind, kind)
        self._call("cudaMemcpyAsync", target, source, size, way, self.stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call the runtime; return what it returns beside the error code."""
        assert name in CALLS, name
        error, *rest = getattr(self._runtime, name)(*arguments)
        if int(error) != 0:
            raise CudaError(name, getattr(error, "name", str(error)))
        return rest[0] if len(rest) == 1 else rest


def load_cuda() -> Cuda:
    """Open device 0 with cuda-python; raises `BackendError` where that cannot be."""
    try:
        runtime = import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise BackendError(
            f"cuda-python is not installed ({error}): pip install 'gesture-streamer[gpu]'"
        ) from error
    return Cuda(runtime)
