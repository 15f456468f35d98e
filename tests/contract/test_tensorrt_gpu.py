"""Real TensorRT engines on a real GPU; the laws are proved without one in `test_tensorrt.py`."""

from pathlib import Path

import pytest

from streamer.backends.cuda import load_cuda
from streamer.backends.loading import DEFAULT_MODEL, find_artifact
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.backends.tensorrt import TensorRtBackend
from streamer.backends.tensorrt_api import load_tensorrt
from streamer.backends.tensorrt_engine import build_engine
from streamer.errors import BackendError
from tests.contract.laws import run, saved_state_continues, verify_step_contract

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 engine of the default model for up to 16 slots (minutes)."""
    folder = tmp_path_factory.mktemp("engines")
    try:
        cuda, api = load_cuda(), load_tensorrt()
    except BackendError as error:
        pytest.skip(str(error))
    build_engine(
        find_artifact(DEFAULT_MODEL),
        precision="float32",
        slots=16,
        cuda=cuda,
        api=api,
        cache=folder,
        tell=print,
    )
    cuda.close()
    return folder


def test_a_real_engine_keeps_every_law(cache: Path) -> None:
    folder = find_artifact(DEFAULT_MODEL)
    on_cpu = OnnxRuntimeBackend(folder)
    verify_step_contract(
        lambda: TensorRtBackend(folder, cache=cache),
        lambda inputs: run(on_cpu, inputs)[0],
        steps=900,
        atol=1e-3,  # other summation orders; not measured yet for want of a GPU
    )


def test_state_moves_between_gpu_and_cpu(cache: Path) -> None:
    folder = find_artifact(DEFAULT_MODEL)
    saved_state_continues(
        lambda: TensorRtBackend(folder, cache=cache), lambda: OnnxRuntimeBackend(folder), atol=1e-3
    )
