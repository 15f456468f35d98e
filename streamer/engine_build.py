"""`gesture engine build`: a TensorRT engine for this GPU, made once and kept."""

import sys
import time
from typing import Any, Literal

from streamer.backends.cuda import load_cuda
from streamer.backends.loading import find_artifact, precisions_of
from streamer.backends.onnxruntime_gpu import build_provider_engine
from streamer.backends.onnxruntime_providers import load_onnxruntime
from streamer.backends.precision import Precision
from streamer.backends.tensorrt_api import load_tensorrt
from streamer.backends.tensorrt_engine import (
    build_engine,
    engine_cache,
    trtexec_command,
)
from streamer.errors import UsageError
from streamer.progress import StatusLine
from streamer.spec import load_manifest


def engine_build(
    model: str,
    *,
    precision: Precision | None,
    slots: int,
    backend: Literal["tensorrt", "onnxruntime-tensorrt"] = "tensorrt",
) -> dict[str, Any]:
    """Build and keep an engine; return what was built and NVIDIA's own command for it.

    Raises `BackendError` where the driver, TensorRT or the memory is missing.
    """
    if slots < 1:
        raise UsageError("--slots 0: at least 1")
    known = precisions_of(backend)
    if precision is not None and precision not in known:
        raise UsageError(f"--precision {precision}: --backend {backend} has {' and '.join(known)}")
    told = precision or known[0]
    folder = find_artifact(model)
    line = StatusLine(sys.stderr, time.perf_counter)
    began = time.perf_counter()
    cuda = load_cuda()  # first: without a driver TensorRT crashes
    try:
        api, cache = load_tensorrt(), engine_cache()
        if backend == "tensorrt":
            key, path = build_engine(
                folder,
                precision=told,
                slots=slots,
                cuda=cuda,
                api=api,
                cache=cache,
                tell=line.show,
            )
        else:
            key, path = build_provider_engine(
                folder,
                slots=slots,
                cuda=cuda,
                api=api,
                module=load_onnxruntime(backend),
                cache=cache,
                tell=line.show,
            )
    finally:
        line.clear()
        cuda.close()
    return {
        "engine": str(path),
        "model": folder.name,
        "backend": backend,
        "precision": key.precision,
        "slots": key.slots,
        "asked_slots": slots,
        "gpu": key.gpu,
        "tensorrt": key.tensorrt,
        "seconds": round(time.perf_counter() - began, 1),
        "trtexec": trtexec_command(folder, load_manifest(folder).spec, told, key.slots),
    }


def table(result: dict[str, Any]) -> str:
    """Return the result as lines."""
    fewer = ""
    if result["slots"] < result["asked_slots"]:
        fewer = f"\n{result['asked_slots']} slots did not fit into the GPU's memory"
    return (
        f"{result['model']}, {result['precision']}, up to {result['slots']} slots, for "
        f"{result['gpu']} and TensorRT {result['tensorrt']}, in {result['seconds']} s{fewer}\n"
        f"{result['engine']}\nthe same by hand: {result['trtexec']}\n"
        f"now: gesture live --backend {result['backend']}"
    )
