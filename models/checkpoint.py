"""Trained weights on disk: `weights.safetensors` beside `checkpoint.json`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from models.ha2g_stream import Ha2gStream, StreamConfig
from streamer.errors import ArtifactError
from streamer.skeleton import Skeleton


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A network with what made it.

    provenance: JSON-ready facts for the manifest: data, seed, steps, figures.
    """

    name: str
    preset: str
    network: Ha2gStream
    provenance: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint folder; the weights are replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    network = checkpoint.network
    tensors = {k: v.detach().contiguous().cpu() for k, v in network.state_dict().items()}
    part = folder / "weights.part"
    save_file(tensors, part)
    part.replace(folder / "weights.safetensors")
    described = {
        "network": "ha2g_stream",
        "name": checkpoint.name,
        "preset": checkpoint.preset,
        "config": asdict(network.config),
        "skeleton": network.skeleton.to_json(),
        "provenance": checkpoint.provenance,
    }
    text = json.dumps(described, indent=1)
    (folder / "checkpoint.json").write_text(text + "\n", encoding="utf-8")


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder; raises `ArtifactError` where it does not fit."""
    path = folder / "checkpoint.json"
    if not path.is_file():
        raise ArtifactError(f"{folder}: no checkpoint.json; expected a training run's checkpoint")
    described = json.loads(path.read_text("utf-8"))
    config = StreamConfig(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in described["config"].items()}
    )
    weights = load_file(folder / "weights.safetensors")
    network = Ha2gStream(
        config, Skeleton.from_json(described["skeleton"]), torch.zeros_like(weights["codes"])
    )
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(f"{folder.name}: weights do not fit checkpoint.json: {error}") from None
    return Checkpoint(
        name=described["name"],
        preset=described["preset"],
        network=network.eval(),
        provenance=described["provenance"],
    )
