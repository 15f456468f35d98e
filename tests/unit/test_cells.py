"""GRU nodes written out, beside onnxruntime's own GRU."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from export import cells
from export.cells import write_cells, write_out_grus
from streamer.backends.tensorrt_engine import _graph
from streamer.errors import ArtifactError

FRAMES, SLOTS, WIDTH, HIDDEN = 6, 3, 5, 4
FACTS = Path(__file__).parents[1] / "tensorrt" / "onnx_operators.json"
OPERATORS = {
    name
    for name, rule in json.loads(FACTS.read_text("utf-8"))["operators"].items()
    if rule["supported"]
}
"""What TensorRT's parser reads."""


def graph(path: Path, *, bidirectional: bool, layers: int = 2) -> onnx.ModelProto:
    torch.manual_seed(2)
    gru = nn.GRU(WIDTH, HIDDEN, layers, batch_first=True, bidirectional=bidirectional).eval()
    cast(Any, torch.onnx).export(
        gru,
        (torch.randn(SLOTS, FRAMES, WIDTH),),
        str(path),
        dynamo=False,
        opset_version=18,
        input_names=["x"],
        output_names=["y", "last"],
        dynamic_axes={"x": {0: "slots"}, "y": {0: "slots"}, "last": {1: "slots"}},
    )
    return onnx.load(path)


def run(model: onnx.ModelProto, slots: int) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((slots, FRAMES, WIDTH)).astype(np.float32)
    return session.run(None, {"x": x})


@pytest.mark.parametrize("bidirectional", [True, False])
def test_cells_equal_the_node(tmp_path: Path, bidirectional: bool):
    model = graph(tmp_path / "gru.onnx", bidirectional=bidirectional)
    want = [run(model, slots) for slots in (1, SLOTS)]
    assert write_out_grus(model, FRAMES) == 2
    onnx.checker.check_model(model, full_check=True)
    assert not {node.op_type for node in model.graph.node} & {"GRU", "Loop", "Scan"}
    for slots, wanted in zip((1, SLOTS), want, strict=True):
        for got, value in zip(run(model, slots), wanted, strict=True):
            np.testing.assert_allclose(got, value, atol=1e-6, rtol=0)  # measured 1e-7


def test_a_graph_for_tensorrt_is_checked_and_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    graph(tmp_path / "model.onnx", bidirectional=True)
    written = tmp_path / "model.cells.onnx"
    assert _graph(tmp_path, "float32").name == "model.onnx"
    assert write_cells(tmp_path / "model.onnx", written, FRAMES) == 2
    assert {node.op_type for node in onnx.load(written).graph.node} <= OPERATORS
    assert _graph(tmp_path, "float32") == written
    monkeypatch.setattr(cells, "TOLERANCE", 0.0)
    with pytest.raises(ArtifactError, match="its cells differ by"):
        write_cells(tmp_path / "model.onnx", written, FRAMES)


def test_another_gru_is_refused(tmp_path: Path):
    model = graph(tmp_path / "gru.onnx", bidirectional=False, layers=1)
    (node,) = [n for n in model.graph.node if n.op_type == "GRU"]
    (mode,) = [a for a in node.attribute if a.name == "linear_before_reset"]
    mode.i = 0
    with pytest.raises(ArtifactError, match="not a GRU as PyTorch computes it"):
        write_out_grus(model, FRAMES)
