"""`hop_stream` exported: the six laws, all graphs, and what spec/hop.md 15 asks of a stream."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.artifact import build
from export.parity import verify
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.backends.torch import TorchBackend
from streamer.cli import main
from streamer.spec import load_manifest, write_manifest
from tests.contract.laws import run, saved_state_continues, speechlike, verify_step_contract
from tests.contract.test_ha2g_stream_artifact import whole_sequence
from tests.stream_networks import tiny_hop
from tests.unit.test_tensorrt_api import offences

pytestmark = pytest.mark.timeout(900)  # three exports in its fixture, on machines that share a core


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    folder = tmp_path_factory.mktemp("artifact") / "tiny-hop"
    checkpoint = Checkpoint(name="tiny-hop", preset="tiny", network=tiny_hop(), provenance={})
    parity = build(checkpoint, folder, "card", "licence", half=True, program=True, seconds=4.0)
    assert parity.frames == 60
    assert parity.step_to_offline <= 1e-5
    assert parity.program is not None
    assert parity.program <= 1e-5
    assert parity.half is not None
    assert 1e-7 < parity.half.worst <= 0.02
    assert parity.half.flips <= 0.01
    return folder, checkpoint


def test_a_minute_of_steps_equals_the_whole(made: tuple[Path, Checkpoint], tmp_path: Path) -> None:
    """Law 1 of hop.md 15, for the graph that everybody runs."""
    folder, checkpoint = made
    manifest = load_manifest(folder)
    shutil.copy(folder / "model.onnx", tmp_path)
    files = {"model.onnx": manifest.files["model.onnx"]}
    write_manifest(tmp_path, replace(manifest, files=files))
    parity = verify(checkpoint.network, tmp_path, seconds=60.0)
    assert parity.frames == 900
    assert parity.step_to_offline <= 1e-5


def test_exported_step_keeps_every_law(made: tuple[Path, Checkpoint]) -> None:
    folder, checkpoint = made
    verify_step_contract(
        lambda: OnnxRuntimeBackend(folder), lambda inputs: whole_sequence(checkpoint, inputs)
    )


def test_a_state_moves_between_back_ends(made: tuple[Path, Checkpoint]) -> None:
    folder, _ = made
    saved_state_continues(
        lambda: OnnxRuntimeBackend(folder), lambda: TorchBackend(folder), atol=1e-5
    )


def test_prefix(made: tuple[Path, Checkpoint]) -> None:
    """Logs of audio and words that agree up to a time give the same frames up to it."""
    folder, _ = made
    backend = OnnxRuntimeBackend(folder)
    one, other = (speechlike(backend.spec, 50, seed=seed) for seed in (7, 8))
    for name in ("lookahead", "style", "seed"):
        other = [{**x, name: one[0][name]} for x in other]
    mixed, _ = run(backend, [*one[:30], *other[30:]])
    whole, _ = run(backend, one)
    assert np.array_equal(mixed["directions"][:30], whole["directions"][:30])
    assert not np.array_equal(mixed["directions"][30:], whole["directions"][30:])


def test_the_manifest_names_the_network_and_no_prototype_map_travels(
    made: tuple[Path, Checkpoint],
) -> None:
    folder, checkpoint = made
    spec = load_manifest(folder).spec
    assert (spec.network, spec.words.kind) == ("hop_stream", "hashed")
    names = [name for name, _ in checkpoint.network.named_parameters()]  # type: ignore[attr-defined]
    assert "reprogramming.prototypes.weight" in names, "the network itself was folded"
    assert b"prototypes" not in (folder / "model.onnx").read_bytes()


@pytest.mark.parametrize("graph", ["model.onnx", "model.fp16.onnx"])
def test_its_graphs_hold_what_tensorrt_reads(made: tuple[Path, Checkpoint], graph: str) -> None:
    import onnx

    folder, _ = made
    assert offences(onnx.load(folder / graph)) == []


def test_gesture_runs_it(
    made: tuple[Path, Checkpoint], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = made
    recording = tmp_path / "a.npz"
    words = ["render", "demo", "--duration", "2", "-o", str(recording), "--model", str(folder)]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["frames"], told["skipped"]) == ("tiny-hop", 30, 0)
    with np.load(recording) as data:
        directions = data["directions"]
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1, atol=1e-5)
    live = ["live", "--source", "demo", "--duration", "0.8", "--no-server", "--lookahead", "4"]
    assert main([*live, "--model", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["frames"], told["lookahead"]) == ("tiny-hop", 12, 4)


def test_a_checkpoint_holds_the_network_folded(tmp_path: Path) -> None:
    network = tiny_hop(3, positions=24)
    save_checkpoint(
        tmp_path / "run", Checkpoint(name="x", preset="tiny", network=network, provenance={})
    )
    again = load_checkpoint(tmp_path / "run")
    assert (again.family, again.network.config) == ("hop_stream", network.config)
    assert "reprogramming.prototypes.weight" in network.state_dict()
    network.fold()
    want = network.state_dict()
    assert again.network.state_dict().keys() == want.keys()
    for key, value in want.items():
        assert torch.equal(again.network.state_dict()[key], value), key
