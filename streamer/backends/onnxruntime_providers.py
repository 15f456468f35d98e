"""onnxruntime's GPU providers: finding them, their options, and whether they take part."""

import io
import logging
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from streamer.backends.cuda import Cuda
from streamer.backends.onnxruntime_session import (
    ORT_ERRORS,
    Provider,
    Session,
    compare,
    first_line,
    graph_name,
    start_session,
)
from streamer.backends.precision import Precision
from streamer.backends.tensorrt_api import Api
from streamer.backends.tensorrt_engine import EngineKey, engine_key, input_shapes
from streamer.errors import BackendError
from streamer.spec import ModelSpec

_log = logging.getLogger(__name__)

Kind = Literal["onnxruntime-cuda", "onnxruntime-tensorrt"]
PROVIDERS: Mapping[Kind, str] = {
    "onnxruntime-cuda": "CUDAExecutionProvider",
    "onnxruntime-tensorrt": "TensorrtExecutionProvider",
}
BUILT = "built.json"
_INSTALL = "pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]' (docs/gpu.md)"


def load_onnxruntime(kind: Kind) -> Any:
    """Import onnxruntime with a GPU provider; raises `BackendError` where it has none."""
    module = import_module("onnxruntime")
    if PROVIDERS[kind] not in module.get_available_providers():
        raise BackendError(f"this onnxruntime has no {PROVIDERS[kind]}: {_INSTALL}")
    said = io.StringIO()
    if hasattr(module, "preload_dlls"):  # 1.21 and later
        with redirect_stdout(said):  # it prints what it does not find, which may not matter
            module.preload_dlls()
    _log.debug("preload_dlls: %s", said.getvalue())
    return module


def provider_key(folder: Path, slots: int, cuda: Cuda, api: Api, module: Any) -> EngineKey:
    """Return the key of what onnxruntime's TensorRT provider builds on this machine."""
    key = engine_key(folder, "tf32", slots, cuda, api)
    return replace(key, tensorrt=f"{key.tensorrt} in onnxruntime {module.__version__}")


def open_provider(
    folder: Path,
    spec: ModelSpec,
    kind: Kind,
    precision: Precision,
    cuda: Cuda,
    module: Any,
    engine: tuple[EngineKey, Path] | None,
) -> Session:
    """Start a session; raises `BackendError` where the provider does not take part in it."""
    path = folder / graph_name(precision)
    try:
        session = start_session(path, 1, _providers(spec, precision, cuda, engine), module=module)
    except ORT_ERRORS as error:
        raise BackendError(f"{kind}: {first_line(error)}") from error
    if PROVIDERS[kind] not in session.get_providers():
        # it only logs that libraries are missing, and takes the CPU
        raise BackendError(f"onnxruntime cannot load its {PROVIDERS[kind]}: {_INSTALL}")
    compare(path, session, spec)
    return session


def _providers(
    spec: ModelSpec, precision: Precision, cuda: Cuda, engine: tuple[EngineKey, Path] | None
) -> list[Provider]:
    stream = {"device_id": "0", "user_compute_stream": str(cuda.stream_handle)}
    plain = {
        **stream,
        "use_tf32": "1" if precision == "tf32" else "0",
        # the default doubles its memory each time, and tries every algorithm for every size
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    on_cuda: Provider = (PROVIDERS["onnxruntime-cuda"], plain)
    if engine is None:
        return [on_cuda]
    key, where = engine

    def sized(count: int) -> str:
        shapes = input_shapes(spec)
        return ",".join(f"{n}:{'x'.join(map(str, (count, *shape)))}" for n, shape in shapes)

    built = {
        **stream,
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(where),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(where),
        "trt_profile_min_shapes": sized(1),
        "trt_profile_opt_shapes": sized(key.slots),
        "trt_profile_max_shapes": sized(key.slots),
    }
    return [(PROVIDERS["onnxruntime-tensorrt"], built), on_cuda]


def is_memory(said: str) -> bool:
    """Return whether onnxruntime failed for want of memory; it has no code for that."""
    said = said.lower()
    return "memory" in said and ("alloc" in said or "out of" in said)
