"""HOP and its ablations as a trained system (hop.md 2 to 8)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from models.hop import MEL_BANDS, Hop, HopConfig
from models.hop_graph import RHYTHM, GraphFeatures
from models.language import Kind, Pieces, load_language
from models.layers import FEATURE, Style, SummedGRU, WaveEncoder
from streamer.skeleton import Skeleton
from training.systems.base import Batch, choice, take
from training.systems.styled import StyledSystem


class PlainAudio(nn.Module):
    """HOP without re-programming: mel frames go to the language model by one linear map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(MEL_BANDS, width)

    def forward(self, mel: Tensor, table: Tensor) -> Tensor:
        """mel: [B, T, 128]; table is not read. Result: [B, T, width]."""
        return self.project(mel)


class PlainMotion(nn.Module):
    """HOP without its graph: seeds as they are, and Trimodal's waveform encoder (hop.md 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.audio = WaveEncoder()

    def forward(self, samples: Tensor, known: Tensor, given: Tensor) -> GraphFeatures:
        """samples: [B, n]; known: [B, T, 3 N]; given: [B, T, 1]."""
        return GraphFeatures(pose=torch.cat((known, given), -1), rhythm=self.audio(samples))


LANGUAGES: Final = ("minilm", "bert", "gpt2", "none", "random")
_HOP: Mapping[str, Any] = {
    "preset": "hop",
    "language": "minilm",
    "language_folder": "",
    "shuffle": False,
    "prototypes": 1500,
    "graph": True,
    "reprogramming": True,
}


def build_hop(
    settings: Mapping[str, Any], skeleton: Skeleton, *, speakers: int
) -> tuple[Hop, Pieces]:
    """Return a fresh HOP of a recipe and its rule from words to pieces."""
    values = take(settings, "network", _HOP)
    kind = cast(Kind, choice(values, "language", LANGUAGES))
    folder = Path(values["language_folder"]) if values["language_folder"] else None
    language, pieces = load_language(kind, folder, shuffle=0 if values["shuffle"] else None)
    preset: Any = choice(values, "preset", ("hop", "hop_released"))
    config = HopConfig(
        skeleton=skeleton, speakers=speakers, preset=preset, prototypes=int(values["prototypes"])
    )
    network = Hop(config, language)
    if not values["reprogramming"]:
        network.reprogramming = cast(Any, PlainAudio(language.width))
    if not values["graph"]:
        network.graph = cast(Any, PlainMotion())
        width = network.recurrent.gru.input_size - RHYTHM * skeleton.vectors + FEATURE
        network.recurrent = SummedGRU(width, network.recurrent.hidden, 4)
    return network, pieces


class HopSystem(StyledSystem):
    """HOP: clean or as released; seeds as the preset has them."""

    network: Hop
    pieces: Pieces

    def __init__(
        self,
        settings: Mapping[str, Any],
        weights: Mapping[str, float],
        skeleton: Skeleton,
        *,
        speakers: int,
    ) -> None:
        network, pieces = build_hop(settings, skeleton, speakers=speakers)
        super().__init__(network, weights)
        released = network.config.preset == "hop_released"
        self.features = ("hop_released_mel" if released else "hop_mel", "samples", "pieces")
        self.pieces = pieces

    def run(self, batch: Batch, speaker: Tensor, noise: Tensor | None) -> tuple[Tensor, Style]:
        """Return poses and style of one pass."""
        seeds = batch["poses"][:, : self.network.config.seeds]
        mel, pieces, samples = batch["hop_mel"], batch["pieces"], batch["samples"]
        return self.network(mel, pieces, samples, speaker, seeds, noise)

    def judge(self) -> nn.Module:
        """Return the discriminator, which sees noisy poses (hop.md 5)."""
        return self.network.discriminator()
