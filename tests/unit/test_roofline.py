"""Counting a step's work, against counts by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.roofline import PEAKS, Peak, Work, bound_ms, compared, count, main, peak_of
from streamer.backends.loading import DEFAULT_MODEL, find_artifact
from streamer.errors import UsageError
from streamer.spec import load_manifest
from tests.fakes import CODE, HIDDEN, VECTORS, tiny_artifact, tiny_spec


def test_the_tiny_network_counted_by_hand(tmp_path: Path) -> None:
    work = count(tiny_artifact(tmp_path / "tiny") / "model.onnx", tiny_spec())
    pose = VECTORS * 3
    assert work.multiply_adds == (
        (2 * 640 + 3 + 1 + 2) * HIDDEN + 4 * HIDDEN * HIDDEN + (HIDDEN + CODE) * pose
    )
    assert work.weight_bytes == 4 * work.multiply_adds  # each weight is used once a step
    inputs, outputs, state = 2 * 640 + 4 + 3 + 1 + 2 + 3, pose + 1, HIDDEN + CODE + 1
    assert work.slot_bytes == 4 * (inputs + outputs + 2 * state) + 2


def test_convolutions_count_every_tap(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.zeros((6, 2, 3, 3), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=2, strides=[2, 1], pads=[1, 0, 1, 0])
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["slots", 4, 8, 5])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["slots", 6, 4, 3])
    path = tmp_path / "conv.onnx"
    made = helper.make_graph([node], "g", [given], [out], [weights])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)]), path)
    work = count(path, tiny_spec())
    assert work.multiply_adds == 6 * 4 * 3 * (2 * 3 * 3)
    assert work.weight_bytes == 4 * 6 * 2 * 3 * 3


def test_the_default_model_is_as_small_as_the_design_asks() -> None:
    folder = find_artifact(DEFAULT_MODEL)
    work = count(folder / "model.onnx", load_manifest(folder).spec)
    assert 1_000_000 < work.multiply_adds <= 8_000_000
    assert work.weight_bytes < (folder / "model.onnx").stat().st_size


def test_the_slower_of_computing_and_moving_bounds_a_step() -> None:
    work = Work(multiply_adds=1000, slot_bytes=10, weight_bytes=500)
    slow_memory = Peak(flops=1e9, bandwidth=1e3)
    assert bound_ms(work, 50, slow_memory) == pytest.approx(1e3 * (500 + 50 * 10) / 1e3)
    slow_arithmetic = Peak(flops=1e6, bandwidth=1e12)
    assert bound_ms(work, 50, slow_arithmetic) == pytest.approx(1e3 * 2 * 1000 * 50 / 1e6)
    row = {
        "backend": "tensorrt",
        "precision": "tf32",
        "slots": 50,
        "step_ms": {"p50": 400.0, "p99": 500.0},
        "sessions_at_deadline": 6,
    }
    assert " 25.0% " in compared([row], work, slow_arithmetic)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert peak_of("NVIDIA GeForce RTX 4090 Laptop") is PEAKS["RTX 4090"]
    with pytest.raises(UsageError, match=r"no data sheet of 'GTX 970'.*--flops"):
        peak_of("GTX 970")
    folder = str(tiny_artifact(tmp_path / "tiny"))
    assert main([folder, "--slots", "1,8"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main([folder, "--gpu", "GTX 970"]) == 2
    assert capsys.readouterr().err.startswith("roofline: no data sheet")
    assert main([folder, "--gpu", "GTX 970", "--flops", "4e12", "--bandwidth", "2e11"]) == 0
