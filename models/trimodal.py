"""Trimodal (Yoon et al. 2020): the baseline of both papers (ha2g.md 2.7, baselines.md 6)."""

import torch
from torch import Tensor, nn

from models.layers import (
    FEATURE,
    STYLE,
    Style,
    StyleEncoder,
    SummedGRU,
    TextEncoder,
    WaveEncoder,
    over_time,
)


class TrimodalGenerator(nn.Module):
    """Audio, words, speaker and seed poses to poses; bi-directional over the window."""

    def __init__(self, pose_dim: int, *, words: int, speakers: int) -> None:
        super().__init__()
        self.audio = WaveEncoder()
        self.text = TextEncoder(words)
        self.style = StyleEncoder(speakers)
        self.recurrent = SummedGRU(pose_dim + 1 + 2 * FEATURE + STYLE, 300, 4, dropout=0.3)
        # The published activation has slope 1, so the head is linear (ha2g.md 2.7).
        self.head = nn.Sequential(nn.Linear(300, 150), nn.Identity(), nn.Linear(150, pose_dim))

    def forward(
        self,
        pre_seq: Tensor,
        samples: Tensor,
        words: Tensor,
        speaker: Tensor,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Style]:
        """Return poses [B, 34, D] and the style draw.

        pre_seq: [B, 34, D + 1], see `layers.seed_sequence`; samples: [B, 36267];
        words: int64 [B, 34]; speaker: int64 [B]; noise: [B, 16] or None.
        """
        style = self.style(speaker, noise)
        z = over_time(style.z, pre_seq.shape[1])
        parts = (pre_seq, self.audio(samples), self.text(words), z)
        return self.head(self.recurrent(torch.cat(parts, dim=-1))), style
