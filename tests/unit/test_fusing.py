"""A graph that has been simplified gives the same bits."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.fusing import fold_fills
from streamer.backends.loading import DEFAULT_MODEL, find_artifact
from streamer.spec import load_manifest

FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL


def run(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)


def test_the_shipped_step_has_no_fills_and_the_bits_that_it_would_have_with_them() -> None:
    folder = find_artifact(DEFAULT_MODEL)
    spec = load_manifest(folder).spec
    shipped = onnx.load(folder / "model.onnx")
    filled = with_fills(shipped)
    assert len(filled.graph.node) > len(shipped.graph.node) + 40
    rng = np.random.default_rng(3)
    feed: dict[str, np.ndarray] = {
        t.name: rng.integers(0, 3, (4, *t.shape)).astype(t.dtype)
        if t.dtype == "int32"
        else rng.standard_normal((4, *t.shape)).astype(np.float32)
        for t in (*spec.inputs, *spec.state)
    }
    feed["style"] = np.abs(feed["style"])
    feed["level"][1] = np.nan  # in a slot that starts: it must vanish
    feed["start"] = np.array([True, True, False, False])
    feed["ready"] = np.array([True, True, True, False])
    for want, got in zip(run(filled, feed), run(shipped, feed), strict=True):
        np.testing.assert_array_equal(got, want)
    fold_fills(filled)
    onnx.checker.check_model(filled, full_check=True)
    assert [n.op_type for n in filled.graph.node] == [n.op_type for n in shipped.graph.node]


def with_fills(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph as an exporter writes it: a selection's scalars as whole tensors."""
    made = onnx.ModelProto.FromString(model.SerializeToString())
    scalars = {t.name for t in made.graph.initializer if numpy_helper.to_array(t).size == 1}
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(made.graph.node):
        _, *values = node.input
        if node.op_type == "Where" and values[0] in scalars and values[1] not in scalars:
            shape, full = f"shape{number}", f"full{number}"
            nodes.append(helper.make_node("Shape", [values[1]], [shape]))
            nodes.append(helper.make_node("Expand", [values[0], shape], [full]))
            node.input[1] = full
        nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def graph(shape_of: str) -> onnx.ModelProto:
    """`Where(choose, filled, x)`, where `filled` is zeros of the shape of one of its inputs."""
    nodes = [
        helper.make_node("Shape", [shape_of], ["shape"]),
        helper.make_node("Expand", ["zero", "shape"], ["filled"]),
        helper.make_node("Where", ["choose", "filled", "x"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("choose", BOOL, ["n", 1]),
        helper.make_tensor_value_info("x", FLOAT, ["n", 3]),
        helper.make_tensor_value_info("wide", FLOAT, [2, 1, 1]),
    ]
    zero = numpy_helper.from_array(np.float32(0), "zero")
    out = helper.make_tensor_value_info("y", FLOAT, None)
    made = helper.make_graph(nodes, "g", inputs, [out], [zero])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize(("shape_of", "folded"), [("x", 1), ("choose", 1), ("wide", 0)])
def test_only_what_broadcasting_does_is_folded(shape_of: str, folded: int, tmp_path: Path) -> None:
    model = graph(shape_of)
    feed = {
        "choose": np.array([[True], [False]]),
        "x": np.arange(6, dtype=np.float32).reshape(2, 3),
        "wide": np.zeros((2, 1, 1), np.float32),
    }
    (want,) = run(model, feed)
    assert fold_fills(model) == folded
    assert len(model.graph.node) == (1 if folded else 3)
    (got,) = run(model, feed)
    np.testing.assert_array_equal(got, want)
    assert got.shape == want.shape
