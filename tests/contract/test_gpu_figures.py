"""What a real GPU does, beside eager PyTorch and beside the roofline.

Part of the one command for people with a GPU (docs/gpu.md): it measures every
back end that is there, for the small and the full size, prints each step beside
the bound that counting gives, and keeps all of it in `tests/bench/results`.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from export.drift import speech_windows, wandering, with_half
from export.roofline import compared, count, peak_of
from export.untrained import untrained
from streamer.backends.base import StepBackend
from streamer.backends.cuda import load_cuda
from streamer.backends.loading import BACKENDS, DEFAULT_MODEL, find_artifact, precisions_of
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.bench import commit, machine, measured_row
from streamer.errors import BackendError, GestureError, UsageError
from streamer.spec import load_manifest
from tests.bench.eager import EagerTorch
from tests.contract.gpu_backends import open_gpu_backend

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(3600)]

LOG = Path(__file__).parents[1] / "bench" / "results" / "gpu.jsonl"
SIZES = {"small": (1, 64, 1024, 8192, 50_000), "full": (1, 64, 1024, 20_000)}
ON_GPU = [name for name in BACKENDS if name not in ("auto", "onnxruntime")]
SECONDS = 3.0


@pytest.mark.parametrize("preset", SIZES)
def test_steps_beside_eager_torch_and_the_roofline(preset: str, tmp_path: Path) -> None:
    folder = tmp_path / f"ha2g-stream-{preset}"
    checkpoint = untrained(folder, preset=preset, half=True, program=True)
    cuda = load_cuda()
    gpu = cuda.gpu.name
    cuda.close()
    rows = list[dict[str, object]]()

    def measure(backend: StepBackend[Any]) -> None:
        for slots in SIZES[preset]:
            try:
                rows.append(measured_row(backend, slots, SECONDS))
            except (GestureError, RuntimeError) as error:
                print(f"{backend.name}, {backend.precision}, {slots} slots: {error}")
                break
        backend.close()

    measure(EagerTorch(checkpoint, "cuda"))
    for name in ON_GPU:
        for precision in precisions_of(name):
            most = max(SIZES[preset])
            try:
                measure(
                    open_gpu_backend(name, folder, precision=precision, slots=most, cache=tmp_path)
                )
            except GestureError as error:
                print(f"{name}, {precision}: {error}")
    assert any(row["backend"] == "torch" for row in rows)
    work = count(folder / "model.onnx", load_manifest(folder).spec)
    result = {"gpu": gpu, "preset": preset, "rows": rows, "multiply_adds": work.multiply_adds}
    result |= {"slot_bytes": work.slot_bytes, "weight_bytes": work.weight_bytes}
    keep(result)
    try:
        print(compared(rows, work, peak_of(gpu)))
    except UsageError as error:
        print(error)  # the counts are in the log


def test_half_precision_over_ten_minutes(tmp_path: Path) -> None:
    folder = with_half(find_artifact(DEFAULT_MODEL), tmp_path)
    full = OnnxRuntimeBackend(folder)
    windows = speech_windows(full.spec, 600)
    for name in ("tensorrt", "onnxruntime-cuda"):
        try:
            lower = open_gpu_backend(name, folder, precision="float16", slots=1, cache=tmp_path)
        except BackendError as error:
            print(f"{name}: {error}")
            continue
        found = wandering(full, lower, windows)
        lower.close()
        keep({"drift": name, "mean": found.mean, "far": found.far, "worst": found.worst})
        assert found.mean[-1] < max(3 * found.mean[0], 0.1), "it drifts"


def keep(result: dict[str, object]) -> None:
    """Print a result and append it to the log."""
    told = {**result, "machine": machine(), "commit": commit()}
    told["at"] = datetime.now(UTC).isoformat(timespec="seconds")
    print(json.dumps(told))
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")
