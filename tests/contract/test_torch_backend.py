"""The torch back end and the fp16 graph of a freshly exported tiny network."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export.artifact import build, example_inputs, model_spec, step_module
from export.parity import verify
from export.program import export_program
from models.checkpoint import Checkpoint, load_checkpoint
from streamer.backends.base import StepBackend
from streamer.backends.loading import BACKENDS, choose_backend
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.backends.torch import TorchBackend
from streamer.spec import load_manifest, sha256, write_manifest
from tests.contract.laws import run, speechlike, verify_step_contract
from tests.contract.test_ha2g_stream_artifact import CHECKPOINT, SHIPPED, whole_sequence
from tests.stream_networks import tiny_network
from tests.unit.test_onnxruntime_gpu import Machine as ProviderMachine
from tests.unit.test_tensorrt import Machine
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


def test_state_moves_between_all_back_ends(made: tuple[Path, Checkpoint], tmp_path: Path) -> None:
    """Saved on each, restored on each other; the GPU's over a fake one."""
    folder, _ = made
    tensorrt, provider = Machine(folder, tmp_path), ProviderMachine(folder, tmp_path)
    tensorrt.build()
    provider.build()
    backends: list[StepBackend[Any]] = [
        OnnxRuntimeBackend(folder),
        TorchBackend(folder, device="cpu"),
        tensorrt.backend(),
        provider.backend("onnxruntime-cuda"),
        provider.backend("onnxruntime-tensorrt"),
    ]
    assert {backend.name for backend in backends} == set(BACKENDS) - {"auto"}
    inputs = speechlike(backends[0].spec, 24, seed=5)
    whole, _ = run(backends[0], inputs)
    for one in backends:
        _, state = run(one, inputs[:11])
        saved = one.save(state, 0)
        for other in backends:
            restored = other.restore(other.initial_state(1), 0, saved)
            rest, _ = run(other, inputs[11:], restored, first=False)
            np.testing.assert_allclose(
                rest["directions"],
                whole["directions"][11:],
                atol=1e-5,
                rtol=0,
                err_msg=f"{one.name} to {other.name}",
            )
    for backend in backends:
        backend.close()


def test_the_shipped_models_program_over_a_minute(tmp_path: Path) -> None:
    """`model.pt2` of the weights that ship, step by step against offline, within 1e-5."""
    checkpoint = load_checkpoint(CHECKPOINT)
    folder = tmp_path / "shipped"
    shutil.copytree(SHIPPED, folder)
    spec = model_spec(checkpoint)
    export_program(
        step_module(checkpoint.network, spec), example_inputs(spec), folder / "model.pt2"
    )
    manifest = load_manifest(folder)
    files = {**manifest.files, "model.pt2": sha256(folder / "model.pt2")}
    write_manifest(folder, replace(manifest, files=files))
    parity = verify(checkpoint.network, folder, seconds=60.0)
    assert parity.frames == 900
    assert parity.program is not None
    assert 0 < parity.program <= 1e-5


def test_the_command_line_takes_it(made: tuple[Path, Checkpoint]) -> None:
    choice = choose_backend("torch", made[0])
    assert choice.name == choice.make().name == "torch"
    assert [make().name for make in choice.fallback] == ["onnxruntime"]


def test_fresh_graphs_hold_only_what_tensorrt_reads(made: tuple[Path, Checkpoint]) -> None:
    for name in ("model.onnx", "model.fp16.onnx"):
        assert offences(onnx.load(made[0] / name)) == []
