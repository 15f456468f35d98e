"""Trained weights on disk: `weights.safetensors` beside `checkpoint.json`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from models.families import Family, StreamNetwork, deployed, family_of
from models.ha2g_stream import Ha2gStream, StreamConfig
from models.hop_stream import HopStream, HopStreamConfig
from streamer.errors import ArtifactError
from streamer.skeleton import Skeleton


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A network with what made it.

    provenance: JSON-ready facts for the manifest: data, seed, steps, figures.
    """

    name: str
    preset: str
    network: StreamNetwork
    provenance: dict[str, Any]

    @property
    def family(self) -> Family:
        """The network's family."""
        return family_of(self.network)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint folder; the weights are replaced atomically.

    It holds the network as it is deployed: what only training needs is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = deployed(checkpoint.network)
    tensors = {k: v.detach().contiguous().cpu() for k, v in network.state_dict().items()}
    part = folder / "weights.part"
    save_file(tensors, part)
    part.replace(folder / "weights.safetensors")
    described = {
        "network": checkpoint.family,
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
    sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in described["config"].items()}
    skeleton = Skeleton.from_json(described["skeleton"])
    weights = load_file(folder / "weights.safetensors")
    codes = torch.zeros_like(weights["codes"])
    network: Ha2gStream | HopStream
    try:
        match described["network"]:
            case "ha2g_stream":
                network = Ha2gStream(StreamConfig(**sizes), skeleton, codes)
            case "hop_stream":
                network = HopStream(HopStreamConfig(**sizes), skeleton, codes)
                network.fold()
            case other:
                raise ArtifactError(f"{folder.name}: network {other!r} is no streaming network")
    except TypeError as error:
        raise ArtifactError(
            f"{folder.name}: checkpoint.json is of another version ({error}); train it again"
        ) from None
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
