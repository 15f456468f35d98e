"""Finding a model and choosing the back end that runs it."""

import time
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from streamer.backends.base import MakeBackend, StepBackend
from streamer.backends.precision import PRECISIONS, Precision
from streamer.clock import Clock
from streamer.errors import GestureError, UsageError

DEFAULT_MODEL = "ha2g-stream-small"
QUICK_MS = 10.0
"""Up to this step time the CPU is taken (DESIGN 5)."""
_MEASURED_STEPS = 50
BACKENDS = (
    "auto",
    "onnxruntime",
    "torch",
    "tensorrt",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendChoice:
    """A back end that can be made, by any thread, and why it was taken.

    fallback: what takes over when it fails while it runs, in this order.
    """

    name: str
    reason: str
    make: MakeBackend
    fallback: tuple[MakeBackend, ...]


def built_in_models() -> dict[str, Path]:
    """Return the artifacts that came with the program, by name."""
    folder = Path(str(files("streamer"))) / "data" / "models"
    found = sorted(folder.glob("*/manifest.json"))
    return {path.parent.name: path.parent for path in found}


def find_artifact(name_or_folder: str) -> Path:
    """Return the artifact folder of a built-in name or of a path; raises `UsageError`."""
    models = built_in_models()
    if name_or_folder in models:
        return models[name_or_folder]
    folder = Path(name_or_folder)
    if (folder / "manifest.json").is_file():
        return folder
    known = ", ".join(models) or "none"
    if folder.is_dir():
        raise UsageError(
            f"{folder}: no manifest.json in it; give an artifact folder or one of: {known}"
        )
    raise UsageError(
        f"model {name_or_folder!r}: neither a folder nor a built-in model; built in: {known}"
    )


def choose_backend(
    name: str,
    folder: Path,
    *,
    precision: Precision | None = None,
    threads: int = 1,
    slots: int = 1,
    make_gpu: MakeBackend | None = None,
    clock: Clock = time.perf_counter,
) -> BackendChoice:
    """Return the back end for `--backend NAME`, and why.

    `auto` measures some steps on the CPU and takes it when they are quick
    enough, since a game beside it needs the GPU. A GPU's back end falls back to
    onnxruntime on the CPU where it cannot run `slots` sessions, and the reason
    says why. precision: None for the back end's own. make_gpu: in place of the
    real one. Raises `UsageError` for a torch back end that is not there and for
    a precision that a back end does not have.
    """
    _check_precision(name, folder, precision)

    def onnxruntime() -> StepBackend[Any]:
        from streamer.backends.onnxruntime import OnnxRuntimeBackend

        # a fallback runs in what every artifact has
        in_half = precision == "float16" and name in ("onnxruntime", "auto")
        return OnnxRuntimeBackend(
            folder, threads=threads, precision="float16" if in_half else "float32"
        )

    def tensorrt() -> StepBackend[Any]:
        from streamer.backends.tensorrt import TensorRtBackend, open_best

        if precision is None:
            return open_best(folder, slots=slots)
        return TensorRtBackend(folder, slots=slots, precision=precision)

    def on_cuda() -> StepBackend[Any]:
        from streamer.backends.onnxruntime_gpu import OnnxRuntimeGpuBackend

        told = precision or "float32"
        return OnnxRuntimeGpuBackend(folder, "onnxruntime-cuda", slots=slots, precision=told)

    def on_provider() -> StepBackend[Any]:
        from streamer.backends.onnxruntime_gpu import OnnxRuntimeGpuBackend

        return OnnxRuntimeGpuBackend(folder, "onnxruntime-tensorrt", slots=slots, precision="tf32")

    def torch() -> StepBackend[Any]:
        from streamer.backends.torch import TorchBackend

        return TorchBackend(folder)

    on_cpu = BackendChoice(
        name="onnxruntime", reason="asked for", make=onnxruntime, fallback=(onnxruntime,)
    )

    match name:
        case "onnxruntime":
            return on_cpu
        case "tensorrt" | "onnxruntime-cuda" | "onnxruntime-tensorrt":
            real = {"tensorrt": tensorrt, "onnxruntime-cuda": on_cuda}.get(name, on_provider)
            make = make_gpu or real
            missing = _trouble(make, slots)
            if missing is not None:
                return replace(on_cpu, reason=f"not {name}: {missing}")
            return BackendChoice(name=name, reason="asked for", make=make, fallback=(onnxruntime,))
        case "torch":
            _check_torch(folder)
            return BackendChoice(name=name, reason="asked for", make=torch, fallback=(onnxruntime,))
        case "auto":
            measured, p99_ms = _measured(onnxruntime, clock)
            says = f"a step takes the CPU {p99_ms:.1f} ms at worst"
            if p99_ms <= QUICK_MS:
                reason = f"{says}, so a game keeps the GPU"
                return replace(on_cpu, reason=reason, make=measured)
            make = make_gpu or tensorrt
            missing = _trouble(make, slots)
            if missing is not None:
                return replace(on_cpu, reason=f"{says}; not tensorrt: {missing}", make=measured)
            reason = f"{says}, over {QUICK_MS:g} ms"
            return BackendChoice(name="tensorrt", reason=reason, make=make, fallback=(onnxruntime,))
        case _:
            raise UsageError(
                f"--backend {name}: there are {', '.join(BACKENDS)}; use --backend auto"
            )


def open_backend(name: str, folder: Path, *, threads: int = 1) -> StepBackend[Any]:
    """Load the back end for `--backend NAME`."""
    return choose_backend(name, folder, threads=threads).make()


def _measured(make: MakeBackend, clock: Clock) -> tuple[MakeBackend, float]:
    """Return the back end's steps for one session, p99 in ms, and a maker that reuses it."""
    from streamer.backends.measuring import step_times

    loaded = [make()]
    times = step_times(loaded[0], slots=1, steps=_MEASURED_STEPS, clock=clock)
    p99_ms = float(np.percentile(times, 99)) * 1e3
    return lambda: loaded.pop() if loaded else make(), p99_ms


def _trouble(make: MakeBackend, slots: int) -> str | None:
    """Return why a back end cannot run `slots` sessions, None where it can."""
    try:
        backend = make()
    except GestureError as error:
        return str(error)
    try:
        backend.initial_state(slots)
    except GestureError as error:
        return str(error)
    finally:
        backend.close()
    return None


def _check_torch(folder: Path) -> None:
    if not (folder / "model.pt2").is_file():
        raise UsageError(
            f"--backend torch: {folder.name} has no model.pt2 (python -m export build --pt2 "
            "writes it); use --backend auto"
        )
    if find_spec("torch") is None:
        raise UsageError(
            "--backend torch: PyTorch is not installed: pip install 'gesture-streamer[torch]'; "
            "or use --backend auto"
        )


def precisions_of(name: str) -> tuple[Precision, ...]:
    """Return what a back end can compute in; `auto` runs on the CPU in what it was asked for."""
    match name:
        case "auto" | "onnxruntime":
            return ("float32", "float16")
        case "torch":
            return ("float32",)
        case "onnxruntime-tensorrt":  # it builds with TF32 allowed and has no option for that
            return ("tf32",)
        case _:
            return PRECISIONS


def _check_precision(name: str, folder: Path, precision: Precision | None) -> None:
    """Raise `UsageError` where a back end or an artifact does not have a precision."""
    if precision is not None and precision not in (known := precisions_of(name)):
        raise UsageError(f"--precision {precision}: --backend {name} has {' and '.join(known)}")
    if precision == "float16" and not (folder / "model.fp16.onnx").is_file():
        raise UsageError(
            f"--precision float16: {folder.name} has no model.fp16.onnx (python -m export build "
            "--precision fp16 writes it); use --precision float32"
        )
