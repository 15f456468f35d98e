"""The torch back end and the fp16 graph of a freshly exported tiny network."""

from pathlib import Path

import onnx
import pytest

from export.artifact import build
from models.checkpoint import Checkpoint
from streamer.backends.loading import choose_backend
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.backends.torch import TorchBackend
from tests.contract.laws import saved_state_continues, verify_step_contract
from tests.contract.test_ha2g_stream_artifact import whole_sequence
from tests.stream_networks import tiny_network
from tests.unit.test_tensorrt_api import offences

SECONDS = 4.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    folder = tmp_path_factory.mktemp("artifact") / "tiny"
    checkpoint = Checkpoint(name="tiny", preset="tiny", network=tiny_network(), provenance={})
    parity = build(checkpoint, folder, "card", "licence", half=True, program=True, seconds=SECONDS)
    assert parity.frames == 15 * SECONDS
    assert parity.step_to_offline <= 1e-5
    assert parity.program is not None
    assert parity.program <= 1e-5
    assert parity.half is not None
    assert 1e-7 < parity.half.worst <= 0.02, "half precision must show, and not too much"
    assert parity.half.flips <= 0.01
    return folder, checkpoint


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_it_keeps_every_law_of_a_step(made: tuple[Path, Checkpoint], device: str) -> None:
    folder, checkpoint = made
    verify_step_contract(
        lambda: TorchBackend(folder, device=device),  # type: ignore[arg-type]
        lambda inputs: whole_sequence(checkpoint, inputs),
        steps=20,
        slots=3,
    )


def test_state_moves_to_and_from_onnxruntime(made: tuple[Path, Checkpoint]) -> None:
    folder, _ = made
    saved_state_continues(
        lambda: TorchBackend(folder), lambda: OnnxRuntimeBackend(folder), atol=1e-5
    )
    saved_state_continues(
        lambda: OnnxRuntimeBackend(folder), lambda: TorchBackend(folder), atol=1e-5
    )


def test_the_command_line_takes_it(made: tuple[Path, Checkpoint]) -> None:
    choice = choose_backend("torch", made[0])
    assert choice.name == choice.make().name == "torch"
    assert [make().name for make in choice.fallback] == ["onnxruntime"]


def test_fresh_graphs_hold_only_what_tensorrt_reads(made: tuple[Path, Checkpoint]) -> None:
    for name in ("model.onnx", "model.fp16.onnx"):
        assert offences(onnx.load(made[0] / name)) == []
