"""What can be proved of the TensorRT code without TensorRT: spec/tensorrt.md's three checks."""

import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import onnx
import pytest

from export.half import halve
from streamer.backends import cuda, tensorrt_api
from streamer.backends.loading import built_in_models
from streamer.backends.tensorrt_api import MODULE_NAMES, load_tensorrt
from streamer.errors import BackendError

ROOT = Path(__file__).parents[2]
FACTS = ROOT / "tests" / "tensorrt"
ALLOWED = json.loads((FACTS / "onnx_operators.json").read_text("utf-8"))
REAL = json.loads((FACTS / "attributes.json").read_text("utf-8"))

IN_LEAN = {
    "Context": "IExecutionContext",
    "TensorEngine": "ICudaEngine",
    "Runtime": "Runtime",
    "Profile": "IOptimizationProfile",
    "TimingCache": "ITimingCache",
}
"""Protocols of ours whose class is in the run-time half of TensorRT."""
BUILDERS = {"Builder", "BuilderConfig", "Parser", "ParserError"}
BUILDER_NAMES = {"Builder", "OnnxParser", "NetworkDefinitionCreationFlag.STRONGLY_TYPED"}


def protocols() -> dict[str, set[str]]:
    found = inspect.getmembers(tensorrt_api, inspect.isclass)
    return {
        name: {member for member in vars(kind) if not member.startswith("_")}
        for name, kind in found
        if Protocol in kind.__bases__
    }


def test_stubs_of_10_13_offer_what_is_used(tmp_path: Path) -> None:
    """Check 1: pyright, in a configuration of its own."""
    config = {
        "include": ["stub_check.py"],
        "extraPaths": [str(FACTS / "stubs"), str(ROOT)],
        "pythonVersion": "3.11",
        "reportMissingModuleSource": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    shutil.copy(FACTS / "stub_check.py", tmp_path)
    command = [sys.executable, "-m", "pyright", "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(IN_LEAN))
def test_bindings_of_11_4_have_each_attribute(name: str) -> None:
    """Check 2: the list was read off the real bindings by `attributes.py`."""
    assert REAL["tensorrt"].startswith("11.4")
    wanted = protocols()[name]
    assert wanted
    assert wanted <= set(REAL["classes"][IN_LEAN[name]])


def test_every_protocol_is_checked() -> None:
    assert protocols().keys() == IN_LEAN.keys() | BUILDERS


def test_names_of_the_module_exist_in_11_4() -> None:
    for name in set(MODULE_NAMES) - BUILDER_NAMES - {"__version__"}:
        kind, _, member = name.partition(".")
        assert kind in REAL["module"], name
        assert not member or member in REAL["classes"][kind], name


def test_calls_of_cuda_exist_in_cuda_python() -> None:
    assert set(cuda.CALLS) <= set(REAL["cuda"])
    kinds = {"cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"}
    assert kinds <= set(REAL["cuda_enums"]["cudaMemcpyKind"])
    assert "cudaStreamCaptureModeThreadLocal" in REAL["cuda_enums"]["cudaStreamCaptureMode"]


def offences(model: onnx.ModelProto) -> list[str]:
    """Return which nodes TensorRT's parser does not take: operator, type or opset."""
    low, high = ALLOWED["opset_range"]
    (opset,) = (o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    found = [] if low <= opset <= high else [f"opset {opset}"]
    model = onnx.shape_inference.infer_shapes(model)
    graph = model.graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input)}
    types |= {v.name: v.type.tensor_type.elem_type for v in graph.output}
    types |= {t.name: t.data_type for t in graph.initializer}
    words = {
        onnx.TensorProto.FLOAT: "FP32",
        onnx.TensorProto.FLOAT16: "FP16",
        onnx.TensorProto.INT32: "INT32",
        onnx.TensorProto.INT64: "INT64",
        onnx.TensorProto.BOOL: "BOOL",
    }
    for node in graph.node:
        rule = ALLOWED["operators"].get(node.op_type)
        if node.domain not in ("", "ai.onnx") or rule is None or not rule["supported"]:
            found.append(node.op_type)
            continue
        first = types.get(node.input[0]) if node.input else None
        # the table spells INT64 as INF64 once
        if first is not None and words.get(first, "?") not in rule["types"].replace("INF", "INT"):
            found.append(f"{node.op_type} of {onnx.TensorProto.DataType.Name(first)}")
    return found


@pytest.mark.parametrize("name", sorted(built_in_models()))
def test_shipped_graphs_hold_only_what_tensorrt_reads(name: str, tmp_path: Path) -> None:
    """Check 3, and the same for the fp16 form made of each."""
    path = built_in_models()[name] / "model.onnx"
    assert offences(onnx.load(path)) == []
    halve(path, tmp_path / "half.onnx")
    assert offences(onnx.load(tmp_path / "half.onnx")) == []


def test_the_allow_list_can_refuse() -> None:
    made = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Det", ["x"], ["y"]),
            onnx.helper.make_node("ReduceMean", ["b"], ["z"]),
        ],
        "bad",
        [
            onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 2]),
            onnx.helper.make_tensor_value_info("b", onnx.TensorProto.BOOL, [2]),
        ],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [])],
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 21)])
    assert offences(model) == ["opset 21", "Det", "ReduceMean of BOOL"]


def test_half_keeps_front_end_state_and_heads_in_fp32(tmp_path: Path) -> None:
    (path, *_) = (folder / "model.onnx" for folder in built_in_models().values())
    full, count = onnx.load(path), halve(path, tmp_path / "half.onnx")
    half = onnx.load(tmp_path / "half.onnx")
    assert half.graph.input == full.graph.input
    assert half.graph.output == full.graph.output
    small = [t for t in half.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16]
    products = [n for n in half.graph.node if any(i.endswith(".fp16") for i in n.input)]
    assert {n.op_type for n in products} == {"Cast", "Conv", "Gemm", "MatMul"} - {"Cast"}
    assert len(products) == count >= 40
    kept = ("front.", "voice.", "coordinator.", ".out.2.")
    assert not [t.name for t in small if any(part in t.name for part in kept)]
    values = {t.name: onnx.numpy_helper.to_array(t) for t in full.graph.initializer}
    for tensor in small[:5]:
        want = values[tensor.name.removesuffix(".fp16")].astype(np.float16)
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), want)


def test_a_package_without_its_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace())
    with pytest.raises(BackendError, match="holds no library"):
        load_tensorrt()


def test_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    empty: Any = None  # what makes Python's import fail
    monkeypatch.setitem(sys.modules, "tensorrt", empty)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", empty)
    monkeypatch.setitem(sys.modules, "cuda", empty)
    with pytest.raises(BackendError, match="TensorRT is not installed"):
        load_tensorrt()
    with pytest.raises(BackendError, match="cuda-python is not installed"):
        cuda.load_cuda()
