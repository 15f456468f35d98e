from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamer.backends.loading import built_in_models, choose_backend, find_artifact, open_backend
from streamer.backends.precision import Precision
from streamer.errors import BackendError, UsageError
from tests.fakes import NumpyBackend, Steps, tiny_artifact


def test_a_folder_and_a_built_in_name_are_found(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "mine")
    assert find_artifact(str(folder)) == folder
    for name, built_in in built_in_models().items():
        assert find_artifact(name) == built_in


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        find_artifact(str(tmp_path))
    with pytest.raises(UsageError, match="'nonesuch': neither a folder nor a built-in"):
        find_artifact("nonesuch")


def test_auto_takes_a_quick_cpu_and_says_why(tmp_path: Path) -> None:
    choice = choose_backend("auto", tiny_artifact(tmp_path / "m"), clock=Steps(0.004))
    assert choice.name == "onnxruntime"
    assert "CPU 4.0 ms" in choice.reason
    assert "game keeps the GPU" in choice.reason
    for make in (choice.make, choice.make, *choice.fallback):  # what was measured, then others
        assert (make().name, make().spec.name) == ("onnxruntime", "m")


def test_auto_takes_the_gpu_for_a_slow_cpu(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "m")
    gpu = NumpyBackend(name="tensorrt")
    choice = choose_backend("auto", folder, clock=Steps(0.02), make_gpu=lambda: gpu)
    assert choice.name == "tensorrt"
    assert "20.0 ms at worst, over 10 ms" in choice.reason
    assert choice.make() is gpu
    assert choice.fallback[0]().name == "onnxruntime"


def no_gpu() -> NumpyBackend:
    raise BackendError("no NVIDIA driver answers")


class Full(NumpyBackend):
    def initial_state(self, slots: int) -> dict[str, np.ndarray]:
        raise BackendError(f"{slots} slots do not fit")


@pytest.mark.parametrize(
    ("make", "reason"), [(no_gpu, "no NVIDIA driver"), (Full, "8 slots do not fit")]
)
@pytest.mark.parametrize("name", ["auto", "tensorrt", "onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_without_a_gpu_the_cpu_is_taken_and_the_reason_told(
    tmp_path: Path, name: str, make: Callable[[], NumpyBackend], reason: str
) -> None:
    folder = tiny_artifact(tmp_path / "m")
    choice = choose_backend(name, folder, slots=8, clock=Steps(0.02), make_gpu=make)
    assert choice.name == choice.make().name == "onnxruntime"
    gpu = "tensorrt" if name == "auto" else name
    assert f"not {gpu}: {reason}" in choice.reason


@pytest.mark.parametrize("name", ["tensorrt", "onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_a_gpu_of_this_machine_runs_or_says_why_not(tmp_path: Path, name: str) -> None:
    choice = choose_backend(name, tiny_artifact(tmp_path / "m"))
    assert choice.make().name == choice.name
    assert choice.name == name or f"not {name}: " in choice.reason


@pytest.mark.parametrize(
    ("name", "reason"), [("torch", r"m has no model\.pt2"), ("jax", "there are auto")]
)
def test_back_ends_that_are_not_there(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"--backend {name}: .*{reason}.*--backend auto"):
        open_backend(name, tiny_artifact(tmp_path / "m"))


@pytest.mark.parametrize(
    ("name", "precision", "reason"),
    [
        ("onnxruntime", "float16", r"m has no model\.fp16\.onnx .*--precision fp16.*float32"),
        ("tensorrt", "float16", r"m has no model\.fp16\.onnx"),
        ("auto", "tf32", "auto has float32 and float16"),
        ("torch", "tf32", "torch has float32"),
        ("onnxruntime-tensorrt", "float32", "onnxruntime-tensorrt has tf32"),
    ],
)
def test_a_precision_that_is_not_there_is_refused(
    tmp_path: Path, name: str, precision: Precision, reason: str
) -> None:
    with pytest.raises(UsageError, match=f"--precision {precision}: .*{reason}"):
        choose_backend(name, tiny_artifact(tmp_path / "m"), precision=precision)


def test_half_precision_on_the_cpu(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "m", half=True)
    for name in ("onnxruntime", "auto"):
        choice = choose_backend(name, folder, precision="float16", clock=Steps(0.001))
        assert (choice.name, choice.make().precision) == ("onnxruntime", "float16")
    # what takes over from a GPU runs the graph that every artifact has
    on_gpu = choose_backend(
        "tensorrt", folder, precision="float16", make_gpu=lambda: NumpyBackend(name="tensorrt")
    )
    assert [make().precision for make in on_gpu.fallback] == ["float32"]
    with pytest.raises(UsageError, match="torch has float32"):
        choose_backend("torch", folder, precision="float16")
