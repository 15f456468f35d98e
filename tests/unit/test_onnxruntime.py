"""What is onnxruntime's alone; the laws of every back end are in `tests/contract`."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.errors import ArtifactError, BackendError
from streamer.spec import sha256
from tests.contract.laws import batch, speechlike
from tests.fakes import tiny_artifact

Data = dict[str, Any]


def edit(folder: Path, change: Callable[[Data], None]) -> Path:
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return folder


def test_one_changed_byte_is_noticed(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "m")
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"model\.onnx: digest .* does not match the manifest"):
        OnnxRuntimeBackend(folder)


def test_a_graph_that_onnxruntime_cannot_read(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "m")
    (folder / "model.onnx").write_bytes(b"\x08\x09nonsense")

    def fix(data: Data) -> None:
        data["files"]["model.onnx"] = sha256(folder / "model.onnx")

    with pytest.raises(ArtifactError, match=r"cannot load it \(.*\); export the model again"):
        OnnxRuntimeBackend(edit(folder, fix))


def test_a_manifest_that_lists_no_graph(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "m")
    (folder / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx: missing"):
        OnnxRuntimeBackend(edit(folder, lambda data: data["files"].clear()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["state"][0].update(shape=[9]), r"input 'h' is float32 .*\[slots, 9\]"),
        (lambda d: d["inputs"][1].update(dtype="float32"), "input 'word' is int32"),
        (lambda d: d["inputs"].pop(), "input 'seed': the manifest lacks it"),
        (
            lambda d: d["outputs"].append({"name": "face", "shape": [3], "dtype": "float32"}),
            "output 'face': the graph lacks it",
        ),
        (
            lambda d: d["state"].append({"name": "kv", "shape": [3], "dtype": "float32"}),
            "input 'kv': the graph lacks it",
        ),
    ],
)
def test_graph_and_manifest_must_agree(
    tmp_path: Path, change: Callable[[Data], None], message: str
) -> None:
    folder = edit(tiny_artifact(tmp_path / "m"), change)
    with pytest.raises(ArtifactError, match=message):
        OnnxRuntimeBackend(folder)


def test_a_graph_of_one_fixed_batch_is_refused(tmp_path: Path) -> None:
    folder = tiny_artifact(tmp_path / "m")
    model = onnx.load(folder / "model.onnx")
    for node in (*model.graph.input, *model.graph.output):
        node.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, folder / "model.onnx")

    def fix(data: Data) -> None:
        data["files"]["model.onnx"] = sha256(folder / "model.onnx")

    with pytest.raises(ArtifactError, match="slots"):
        OnnxRuntimeBackend(edit(folder, fix))


def test_a_step_that_fails_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    backend = OnnxRuntimeBackend(tiny_artifact(tmp_path / "m"))
    first, second = speechlike(backend.spec, 2, seed=1)
    _, state = backend.step(batch(backend.spec, [first], [True]), backend.initial_state(1))
    before = {name: array.copy() for name, array in state.tensors.items()}
    # the graph looks this id up in a table of 64
    beyond = {**second, "word": np.full(4, 9_999, np.int32)}
    with pytest.raises(BackendError, match="onnxruntime: "):
        backend.step(batch(backend.spec, [beyond], [False]), state)
    saved = backend.save(state, 0)
    for name, array in before.items():
        np.testing.assert_array_equal(saved.tensors[name], array[0])


@pytest.mark.parametrize("waiting", [0, 24])
def test_a_step_allocates_its_outputs_and_no_state(tmp_path: Path, waiting: int) -> None:
    slots = 64
    backend = OnnxRuntimeBackend(tiny_artifact(tmp_path / "m"))
    rows = [*speechlike(backend.spec, slots - waiting, seed=1), *[None] * waiting]
    inputs = batch(backend.spec, rows, [False] * slots)
    state = backend.initial_state(slots)
    outputs, state = backend.step(inputs, state)
    own = sum(array.nbytes for array in outputs.values())
    tracemalloc.start()  # numpy tells it of its arrays
    try:
        backend.step(inputs, state)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert own <= peak < own + 10_000 < sum(array.nbytes for array in inputs.tensors.values())
