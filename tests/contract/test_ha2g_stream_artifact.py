"""`ha2g_stream` exported: the six laws, with torch's whole-sequence form as the offline side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from export.artifact import build
from export.parity import verify
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.spec import load_manifest
from streamer.types import Tensors
from tests.contract.laws import verify_step_contract
from tests.stream_networks import tiny_network

CHECKPOINT = Path(__file__).parents[2] / "training" / "checkpoints" / "ha2g-stream-small"
SHIPPED = Path(__file__).parents[2] / "streamer" / "data" / "models" / "ha2g-stream-small"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    folder = tmp_path_factory.mktemp("artifact") / "tiny"
    facts = {"licence": "CC0-1.0"}
    checkpoint = Checkpoint(name="tiny", preset="tiny", network=tiny_network(), provenance=facts)
    build(checkpoint, folder, "card", "licence")
    return folder, checkpoint


@torch.no_grad()
def whole_sequence(checkpoint: Checkpoint, inputs: Sequence[Tensors]) -> Tensors:
    """Run one session's step inputs through the network's whole-sequence form."""
    from export.parity import draw

    network = checkpoint.network
    stacked = {k: torch.tensor(np.stack([x[k] for x in inputs])) for k in inputs[0]}
    image, level = network.features(stacked["audio"])
    codes = network.codes[draw(network.dice, len(inputs), inputs[0]["seed"])]
    drawn = network.generate(
        image[None],
        level[None],
        stacked["word"][None],
        stacked["word_info"][None],
        stacked["lookahead"][:1],
        stacked["style"][:1],
        codes[None],
        stacked["seed"][:1],
    )
    directions = drawn.poses[-1][0].unflatten(-1, (-1, 3)) + network.mean
    voice = torch.sigmoid(drawn.voice[0])[:, None]
    return {"directions": directions.numpy(), "voice": voice.numpy()}


def test_the_licence_is_the_data_s(artifact: tuple[Path, Checkpoint]):
    assert load_manifest(artifact[0]).licence == "CC0-1.0"


def test_exported_step_keeps_every_law(artifact: tuple[Path, Checkpoint]):
    folder, checkpoint = artifact
    verify_step_contract(
        lambda: OnnxRuntimeBackend(folder), lambda inputs: whole_sequence(checkpoint, inputs)
    )


def test_an_artifact_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("export.parity.TOLERANCE", 0.0)
    checkpoint = Checkpoint(name="off", preset="tiny", network=tiny_network(), provenance={})
    with pytest.raises(RuntimeError, match="differs from offline"):
        build(checkpoint, tmp_path / "off", "card", "licence")
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_round_trip(tmp_path: Path):
    checkpoint = Checkpoint(
        name="x", preset="tiny", network=tiny_network(3), provenance={"seed": 3}
    )
    save_checkpoint(tmp_path / "run", checkpoint)
    again = load_checkpoint(tmp_path / "run")
    for key, value in checkpoint.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[key], value), key
    assert again.provenance == {"seed": 3}
    assert again.network.config == checkpoint.network.config


def test_shipped_artifact_equals_its_checkpoint_over_a_minute():
    """Law 1 of hop.md 15 for the weights that ship: within 1e-5 over 60 s."""
    parity = verify(load_checkpoint(CHECKPOINT).network, SHIPPED, seconds=60.0)
    assert parity.frames == 900
    assert parity.step_to_offline <= 1e-5
