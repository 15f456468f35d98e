"""onnxruntime with GPU providers, over the fake CUDA and the real onnxruntime on the CPU.

Faithful where mistakes hide. A run works on device memory as it is at that
moment: it does not wait for our stream (onnxruntime issue 32673). A provider
whose libraries are missing is not an error: the session runs on the CPU. The
TensorRT provider builds when a session starts, unless its cache holds the engine
for the same graph and profile.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from tests.fake_gpu import FakeCuda

CUDA, TENSORRT, CPU = (
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "CPUExecutionProvider",
)


class FakeOnnxRuntime:
    """The module `onnxruntime`.

    libraries: False where CUDA's are not installed. largest: the most slots that
    TensorRT's builder has memory for. takes: False where TensorRT takes no node.
    """

    SessionOptions = onnxruntime.SessionOptions
    ExecutionMode = onnxruntime.ExecutionMode
    __version__ = "1.31.1"

    def __init__(self, cuda: FakeCuda, *, largest: int = 999) -> None:
        self.cuda, self.largest = cuda, largest
        self.available = [TENSORRT, CUDA, CPU]
        self.libraries, self.takes = True, True
        self.options: dict[str, dict[str, str]] = {}
        self.builds = 0
        self.bindings: list[FakeBinding] = []

    def get_available_providers(self) -> list[str]:
        return self.available

    def preload_dlls(self) -> None:
        print("Failed to load libcublasLt.so.13")

    def InferenceSession(
        self, path: str, options: Any, *, providers: Sequence[Any], enable_fallback: int
    ) -> "FakeSession":
        assert enable_fallback == 0, "it would print and run elsewhere"
        self.options = {name: dict(told) for name, told in providers}
        for told in self.options.values():
            assert int(told["user_compute_stream"]) in self.cuda.queues
        names = [name for name, _ in providers] if self.libraries else []
        most = None
        if TENSORRT in names and self.takes:
            most = self._engine(Path(path), self.options[TENSORRT])
        return FakeSession(self, path, options, [*names, CPU], most)

    def _engine(self, path: Path, told: dict[str, str]) -> int:
        high = dict(shape.split(":") for shape in told["trt_profile_max_shapes"].split(","))
        slots = int(high["ready"])
        made = json.dumps([hashlib.sha256(path.read_bytes()).hexdigest(), high])
        engine = Path(told["trt_engine_cache_path"]) / "TensorrtExecutionProvider_1.engine"
        assert told["trt_engine_cache_enable"] == "1"
        if not engine.is_file() or engine.read_text() != made:
            if slots > self.largest:
                raise RuntimeError("TensorRT EP: OutOfMemory (Requested memory: out of memory)")
            self.builds += 1
            engine.write_text(made)
        return slots


class FakeSession:
    def __init__(
        self, module: FakeOnnxRuntime, path: str, options: Any, names: list[str], most: int | None
    ) -> None:
        self.module, self.most = module, most
        self._names = names
        self.real = onnxruntime.InferenceSession(path, options, providers=[CPU])
        self.get_inputs, self.get_outputs = self.real.get_inputs, self.real.get_outputs

    def get_providers(self) -> list[str]:
        return self._names

    def io_binding(self) -> "FakeBinding":
        self.module.bindings.append(FakeBinding())
        return self.module.bindings[-1]

    def run_with_iobinding(self, binding: "FakeBinding") -> None:
        cuda = self.module.cuda
        cuda.calls.append("run")
        if cuda.broken or cuda.fail.get("run", 1) < 1:
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
        feed = {node.name: binding.inputs[node.name].of(cuda) for node in self.get_inputs()}
        slots = len(feed["ready"])
        assert self.most is None or slots <= self.most, "outside of the engine's profile"
        for node, value in zip(self.get_outputs(), self.real.run(None, feed), strict=True):
            np.copyto(binding.outputs[node.name].of(cuda), value)


class Place:
    def __init__(self, dtype: npt.DTypeLike, shape: tuple[int, ...], address: int) -> None:
        self.dtype, self.shape, self.address = np.dtype(dtype), shape, address

    def of(self, cuda: FakeCuda) -> np.ndarray:
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        block = cuda.bytes_at(cuda.device, self.address, size)
        return block.view(self.dtype).reshape(self.shape)


class FakeBinding:
    def __init__(self) -> None:
        self.inputs: dict[str, Place] = {}
        self.outputs: dict[str, Place] = {}

    def bind_input(self, name: str, device: str, number: int, *where: Any) -> None:
        assert (device, number) == ("cuda", 0)
        self.inputs[name] = Place(*where)

    def bind_output(self, name: str, device: str, number: int, *where: Any) -> None:
        assert (device, number) == ("cuda", 0)
        self.outputs[name] = Place(*where)
