"""Real GPU back ends for tests: engines are built where needed, into a folder of their own."""

from pathlib import Path
from typing import Any

from streamer.backends.base import StepBackend
from streamer.backends.cuda import load_cuda
from streamer.backends.onnxruntime_gpu import OnnxRuntimeGpuBackend, build_provider_engine
from streamer.backends.onnxruntime_providers import load_onnxruntime
from streamer.backends.precision import Precision
from streamer.backends.tensorrt import TensorRtBackend
from streamer.backends.tensorrt_api import load_tensorrt
from streamer.backends.tensorrt_engine import build_engine
from streamer.backends.torch import TorchBackend


def open_gpu_backend(
    name: str, folder: Path, *, precision: Precision, slots: int, cache: Path
) -> StepBackend[Any]:
    """Open a back end on the GPU; raises `BackendError` where it cannot be (build: minutes)."""
    match name:
        case "tensorrt":
            cuda = load_cuda()  # first: without a driver TensorRT crashes
            try:
                build_engine(
                    folder,
                    precision=precision,
                    slots=slots,
                    cuda=cuda,
                    api=load_tensorrt(),
                    cache=cache,
                    tell=print,
                )
            finally:
                cuda.close()
            return TensorRtBackend(folder, precision=precision, cache=cache)
        case "onnxruntime-cuda":
            return OnnxRuntimeGpuBackend(folder, "onnxruntime-cuda", precision=precision)
        case "onnxruntime-tensorrt":
            cuda = load_cuda()
            try:
                build_provider_engine(
                    folder,
                    slots=slots,
                    cuda=cuda,
                    api=load_tensorrt(),
                    module=load_onnxruntime(name),
                    cache=cache,
                    tell=print,
                )
            finally:
                cuda.close()
            return OnnxRuntimeGpuBackend(folder, name, precision="tf32", cache=cache)
        case "torch":
            return TorchBackend(folder, device="cuda")
        case _:
            raise AssertionError(f"{name} is no GPU's back end")
