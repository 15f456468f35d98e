"""Blocks that several networks share: causal text, speaker style, waveform, summed GRU.

Shapes: B batch, T pose frames, N words of a vocabulary, S speakers.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

STYLE = 16
"""Width of the speaker style z (ha2g.md 2.3)."""

FEATURE = 32
"""Width of the text and the audio feature of a frame (ha2g.md 2.1, 2.2)."""


class TemporalBlock(nn.Module):
    """Two causal weight-normed convolutions of kernel 2 and a shortcut (ha2g.md 2.2)."""

    def __init__(self, inputs: int, channels: int, dilation: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.dilation = dilation
        self.conv1 = weight_norm(nn.Conv1d(inputs, channels, 2, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(channels, channels, 2, dilation=dilation))
        self.shortcut = nn.Conv1d(inputs, channels, 1) if inputs != channels else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, inputs, T]. Result: [B, channels, T]; frame t sees t - 2*dilation .. t."""
        y = x
        for conv in (self.conv1, self.conv2):
            y = self.dropout(F.relu(conv(F.pad(y, (self.dilation, 0)))))
        return F.relu(y + self.shortcut(x))


class TextEncoder(nn.Module):
    """Word indices to a feature per frame, past only (ha2g.md 2.2).

    `blocks` dilations 1, 2, 4, ...: with 4 blocks a frame sees 31 frames.
    """

    def __init__(self, words: int, *, channels: int = 300, blocks: int = 4) -> None:
        super().__init__()
        width = 300
        self.embedding = nn.Embedding(words, width)
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(
            TemporalBlock(width if i == 0 else channels, channels, 2**i) for i in range(blocks)
        )
        self.project = nn.Linear(channels, FEATURE)
        nn.init.normal_(self.project.weight, std=0.01)  # baselines.md 6.1
        nn.init.zeros_(self.project.bias)
        for block in self.blocks:
            if isinstance(shortcut := block.get_submodule("shortcut"), nn.Conv1d):
                nn.init.normal_(shortcut.weight, std=0.01)

    def forward(self, words: Tensor) -> Tensor:
        """words: int64 [B, T], 0 where no word begins. Result: [B, T, 32]."""
        x = self.dropout(self.embedding(words)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.project(x.transpose(1, 2))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Style:
    """A draw of a Gaussian code and its parameters, each [B, width]."""

    z: Tensor
    mean: Tensor
    log_variance: Tensor


def draw(mean: Tensor, log_variance: Tensor, noise: Tensor | None) -> Style:
    """Return z = mean + noise * exp(log_variance / 2); standard normal noise if not given."""
    noise = torch.randn_like(mean) if noise is None else noise
    z = mean + noise * torch.exp(log_variance / 2)
    return Style(z=z, mean=mean, log_variance=log_variance)


class StyleEncoder(nn.Module):
    """Speaker index to a variational style code (ha2g.md 2.3)."""

    def __init__(self, speakers: int) -> None:
        super().__init__()
        self.table = nn.Embedding(speakers, STYLE)
        self.project = nn.Linear(STYLE, STYLE)
        self.mean = nn.Linear(STYLE, STYLE)
        self.log_variance = nn.Linear(STYLE, STYLE)

    def forward(self, speaker: Tensor, noise: Tensor | None = None) -> Style:
        """speaker: int64 [B]; noise: [B, 16], drawn if not given, in evaluation too."""
        return self.encode(self.table(speaker), noise)

    def encode(self, row: Tensor, noise: Tensor | None = None) -> Style:
        """Return the style of a table row [B, 16], or of a mixture of rows."""
        code = self.project(row)
        return draw(self.mean(code), self.log_variance(code), noise)


class SummedGRU(nn.Module):
    """A bi-directional GRU whose two directions are added."""

    def __init__(self, inputs: int, hidden: int, layers: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = hidden
        self.gru = nn.GRU(
            inputs, hidden, layers, batch_first=True, bidirectional=True, dropout=dropout
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, T, inputs]. Result: [B, T, hidden]."""
        y, _ = self.gru(x)
        return y[..., : self.hidden] + y[..., self.hidden :]


class WaveEncoder(nn.Module):
    """Raw 16 kHz audio to 32 features per frame (ha2g.md 2.7).

    36267 (or 36266) samples give 34 frames; one frame spans 1080 samples.
    """

    def __init__(self) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        channels = (1, 16, 32, 64, 32)
        for i, (a, b) in enumerate(pairwise(channels)):
            stride, padding = (5, 1600) if i == 0 else (6, 0)
            steps.append(nn.Conv1d(a, b, 15, stride=stride, padding=padding))
            if i < 3:
                steps += [nn.BatchNorm1d(b), nn.LeakyReLU(0.3)]
        self.net = nn.Sequential(*steps)

    def forward(self, samples: Tensor) -> Tensor:
        """samples: [B, n]. Result: [B, T, 32]."""
        return self.net(samples.unsqueeze(1)).transpose(1, 2)


def seed_sequence(seeds: Tensor, frames: int) -> Tensor:
    """Return the pose input of a window: seeds with indicator 1, then zeros (ha2g.md 2.5).

    seeds: [B, s, D], mean-subtracted. Result: [B, frames, D + 1].
    """
    marked = F.pad(seeds, (0, 1), value=1.0)
    return F.pad(marked, (0, 0, 0, frames - seeds.shape[1]))


def over_time(code: Tensor, frames: int) -> Tensor:
    """Repeat a code [B, C] over the frames: [B, frames, C]."""
    return code.unsqueeze(1).expand(-1, frames, -1)
