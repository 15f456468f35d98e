"""HOP, offline: audio re-programmed into words, a graph of bones, and a bi-GRU (hop.md 2-4).

Two presets. `hop` is the clean model: axes in order, the language model's own
words in their own frames, 4 seeds. `hop_released` has the tensors, sizes and
quirks of the released code, to study what they did.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.discriminator import Discriminator
from models.hop_graph import RHYTHM, AlignedGraph, ReleasedGraph, ReleasedQuirks
from models.language import LanguageModel
from models.layers import STYLE, Style, StyleEncoder, SummedGRU, over_time
from streamer.skeleton import Skeleton

FRAMES = 34
MEL_BANDS = 128
_HEADS = 8
_HEAD = 128
_HIDDEN = 350

Preset = Literal["hop", "hop_released"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HopConfig:
    """Sizes and choices of one HOP network.

    prototypes: V' of the re-programming layer. quirks: for `hop_released`.
    """

    skeleton: Skeleton
    speakers: int
    preset: Preset = "hop"
    prototypes: int = 1500
    quirks: ReleasedQuirks = field(default_factory=ReleasedQuirks)

    @property
    def seeds(self) -> int:
        """Given poses at the begin of a window: 4, in the released code 16."""
        return 4 if self.preset == "hop" else ReleasedGraph.SEEDS


class FoldedReprogramming(nn.Module):
    """Mel frames attend to constant word prototypes, each frame on its own (hop.md 2)."""

    keys: Tensor
    values: Tensor

    def __init__(self, query: nn.Linear, out: nn.Linear, keys: Tensor, values: Tensor) -> None:
        """keys, values: [prototypes, heads, head]."""
        super().__init__()
        self.query = query
        self.out = out
        self.register_buffer("keys", keys)
        self.register_buffer("values", values)

    def forward(self, mel: Tensor, table: Tensor) -> Tensor:
        """mel: [..., bands]; table is not read. Result: [..., width]."""
        return _attend(self.query, self.out, mel, self.keys, self.values, dropout=0.0)


class Reprogramming(nn.Module):
    """The same while the prototypes are trained: a linear map of the word table.

    bands: numbers of a mel frame; heads, head: how many and how wide.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        prototypes: int,
        *,
        bands: int = MEL_BANDS,
        heads: int = _HEADS,
        head: int = _HEAD,
    ) -> None:
        super().__init__()
        self.heads = (heads, head)
        self.prototypes = nn.Linear(vocabulary, prototypes)
        self.query = nn.Linear(bands, heads * head)
        self.key = nn.Linear(width, heads * head)
        self.value = nn.Linear(width, heads * head)
        self.out = nn.Linear(heads * head, width)

    def constants(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values [prototypes, heads, head] of a word table [V, width]."""
        words = self.prototypes(table.T).T
        keys, values = self.key(words), self.value(words)
        return keys.unflatten(-1, self.heads), values.unflatten(-1, self.heads)

    def forward(self, mel: Tensor, table: Tensor) -> Tensor:
        """mel: [..., bands]; table: [V, width]. Result: [..., width]."""
        keys, values = self.constants(table)
        dropout = 0.1 if self.training else 0.0
        return _attend(self.query, self.out, mel, keys, values, dropout=dropout)

    @torch.no_grad()
    def folded(self, table: Tensor) -> FoldedReprogramming:
        """Return the layer with its constants computed once; the large map is gone."""
        return FoldedReprogramming(self.query, self.out, *self.constants(table))


def _attend(
    query: nn.Linear, out: nn.Linear, mel: Tensor, keys: Tensor, values: Tensor, *, dropout: float
) -> Tensor:
    asked = query(mel).unflatten(-1, keys.shape[1:])
    scores = torch.einsum("...he,phe->...hp", asked, keys) * keys.shape[-1] ** -0.5
    weights = F.dropout(F.softmax(scores, dim=-1), dropout, training=dropout > 0)
    mixed = torch.einsum("...hp,phe->...he", weights, values)
    return out(F.relu(mixed.flatten(-2)))


class Hop(nn.Module):
    """Mel, words, raw audio, speaker and seed poses to a window of poses."""

    def __init__(self, config: HopConfig, language: LanguageModel) -> None:
        super().__init__()
        self.config = config
        self.language = language
        nodes, dim = config.skeleton.vectors, 3 * config.skeleton.vectors
        width = language.width
        self.reprogramming: Reprogramming | FoldedReprogramming = Reprogramming(
            len(language.table), width, config.prototypes
        )
        self.align = nn.Linear(2 * width, width)
        self.graph: AlignedGraph | ReleasedGraph
        match config.preset:
            case "hop":
                self.graph = AlignedGraph(nodes, FRAMES)
                slope = 0.2
            case "hop_released":
                self.graph = ReleasedGraph(nodes, FRAMES, config.quirks)
                slope = 1.0  # the released call sets the slope, not `inplace` (hop.md 4)
        self.style = StyleEncoder(config.speakers)
        fused = dim + 1 + RHYTHM * nodes + language.features + STYLE
        self.recurrent = SummedGRU(fused, _HIDDEN, 4)
        self.head = nn.Sequential(
            nn.Linear(_HIDDEN, _HIDDEN // 2), nn.LeakyReLU(slope), nn.Linear(_HIDDEN // 2, dim)
        )

    def spoken(self, mel: Tensor, pieces: Tensor) -> Tensor:
        """Return Z_wr, the language model's features of audio and words: [B, T, features]."""
        audio = self.reprogramming(mel, self.language.table)
        both = torch.cat((audio, self.language.embed(pieces)), dim=-1)
        return self.language(self.align(both))

    def moved(self, samples: Tensor, seeds: Tensor) -> Tensor:
        """Return the pose slots and Z_rg of the graph: [B, T, 3 N + 1 + 20 N]."""
        if isinstance(self.graph, ReleasedGraph):
            graph = self.graph(samples, seeds)
        else:
            later = (0, 0, 0, FRAMES - seeds.shape[1])
            given = F.pad(torch.ones_like(seeds[..., :1]), later)
            graph = self.graph(samples, F.pad(seeds, later), given)
        return torch.cat((graph.pose, graph.rhythm), dim=-1)

    def forward(
        self,
        mel: Tensor,
        pieces: Tensor,
        samples: Tensor,
        speaker: Tensor,
        seeds: Tensor,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Style]:
        """Return poses [B, 34, D], mean-subtracted, the seed frames included, and the style.

        mel: [B, 34, 128], see `melspectrogram.hop_log_mel`; pieces: int64
        [B, 34, P], -1 for none; samples: [B, 36267]; speaker: int64 [B]; seeds:
        [B, config.seeds, D]; noise: [B, 16], drawn if None, zero for the mean.
        """
        style = self.style(speaker, noise)
        parts = (
            self.moved(samples, seeds),
            self.spoken(mel, pieces),
            over_time(style.z, FRAMES),
        )
        return self.head(self.recurrent(torch.cat(parts, dim=-1))), style

    def fold(self) -> None:
        """Make the re-programming constant, for inference: 45.8 M numbers less with BERT."""
        if isinstance(self.reprogramming, Reprogramming):
            self.reprogramming = self.reprogramming.folded(self.language.table)

    def discriminator(self) -> Discriminator:
        """Return a fresh discriminator for this preset (hop.md 5)."""
        slope = 0.2 if self.config.preset == "hop" else 1.0
        return Discriminator(3 * self.config.skeleton.vectors, slope=slope, noise=0.1)
