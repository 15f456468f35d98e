"""How far two back ends wander apart, on back ends whose difference is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from export.drift import angles, main, speech_windows, wandering, with_half
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.types import StepInputs, Tensors
from tests.fakes import NumpyBackend, tiny_artifact


class Turned(NumpyBackend):
    """Turns every direction about the z axis, more from step to step."""

    def __init__(self, degrees: float) -> None:
        super().__init__()
        self._each, self._angle = np.radians(degrees), 0.0

    def step(
        self, inputs: StepInputs, state: dict[str, np.ndarray]
    ) -> tuple[Tensors, dict[str, np.ndarray]]:
        outputs, state = super().step(inputs, state)
        sine, cosine = np.sin(self._angle), np.cos(self._angle)
        self._angle += self._each
        turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        flat = outputs["directions"] * [1, 1, 0]  # in the plane, the angle is the turn
        return {**outputs, "directions": (flat @ turn.T).astype(np.float32)}, state


class Flat(Turned):
    def __init__(self) -> None:
        super().__init__(0.0)


def test_a_turn_that_grows_is_measured_as_it_is() -> None:
    windows = speech_windows(NumpyBackend().spec, 90)
    found = wandering(Flat(), Turned(0.01), windows)
    steps = len(windows)
    assert found.worst == pytest.approx(0.01 * (steps - 1), abs=2e-3)
    assert found.mean == pytest.approx((0.01 * 449.5, 0.01 * (900 + steps - 1) / 2), abs=2e-3)
    assert found.far == pytest.approx((1 - 501 / 900, 1.0), abs=2e-3)  # 5 degrees after 500 steps
    assert wandering(Flat(), Flat(), windows[:20]).worst == 0.0


def test_angles_of_any_length() -> None:
    one = np.array([[2.0, 0, 0], [0, 1, 0]], np.float32)
    other = np.array([[0, 0.5, 0], [0, 3, 0]], np.float32)
    np.testing.assert_allclose(angles(one, other), [90, 0])


def test_the_command_makes_a_half_graph_where_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_artifact(tmp_path / "tiny")
    assert main([str(folder), "--minutes", "0.1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["backend"], told["precision"]) == ("onnxruntime", "float16")
    assert 0 < told["worst"] < 3, "half precision shows, and not too much"
    assert not (folder / "model.fp16.onnx").exists(), "the artifact itself stays as it is"
    made = with_half(folder, tmp_path / "half")
    assert OnnxRuntimeBackend(made, precision="float16").precision == "float16"
    assert with_half(made, tmp_path / "again") == made
    assert main([str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.startswith("drift: model ")
