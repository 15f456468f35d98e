"""HA2G, offline: hierarchical audio to hierarchical gestures, 34-frame windows (ha2g.md 2).

The number of levels and their dimensions come from the skeleton. `HA2G` holds
what a checkpoint's generator side holds; the discriminator is a module apart.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ha2g_audio import AudioEncoder, AudioFeatures
from models.layers import FEATURE, STYLE, Style, StyleEncoder, SummedGRU, TextEncoder, over_time
from streamer.skeleton import Skeleton

FRAMES = 34
SEEDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class HA2GConfig:
    """Sizes of one HA2G network.

    shifted_vectors: how many of the last vectors the cascade writes one column
    too far right. 0 is right; weights published for TED Expressive were
    trained with 5, the face (ha2g.md 2.5), and need it.
    """

    skeleton: Skeleton
    words: int
    speakers: int
    shifted_vectors: int = 0

    @classmethod
    def published(cls, skeleton: Skeleton, *, words: int, speakers: int) -> "HA2GConfig":
        """Return the configuration of weights published for a TED skeleton."""
        shifted = 5 if skeleton.name == "ted_expressive" else 0
        return cls(skeleton=skeleton, words=words, speakers=speakers, shifted_vectors=shifted)


def channels(vectors: tuple[int, ...]) -> list[int]:
    """Return the pose channels of direction vectors: three per vector, in order."""
    return [3 * v + axis for v in vectors for axis in range(3)]


def cascade_columns(
    before: tuple[int, ...], level: tuple[int, ...], shifted_vectors: int
) -> list[int]:
    """Return where each column of a level's pose input comes from, after the seeds.

    Result: D_k + 1 indices into the previous level's output with one zero
    column appended; that column feeds new vectors and the indicator.
    """
    source = channels(before)
    zero = len(source)
    position = {channel: i for i, channel in enumerate(source)}
    columns = [position.get(channel, zero) for channel in channels(level)] + [zero]
    if width := 3 * shifted_vectors:
        # Quirk of the TED Expressive release: the face lands one column late, over the
        # indicator, and its first column stays zero (ha2g.md 2.5).
        columns[-1 - width :] = [zero, *columns[-1 - width : -1]]
    return columns


class LevelGenerator(nn.Module):
    """The pose generator of one level (ha2g.md 2.3)."""

    def __init__(self, pose_dim: int, *, words: int, speakers: int) -> None:
        super().__init__()
        self.text = TextEncoder(words)
        self.style = StyleEncoder(speakers)
        self.recurrent = SummedGRU(pose_dim + 1 + 2 * FEATURE + STYLE, 300, 4, dropout=0.3)
        self.head = nn.Sequential(nn.Linear(300, 150), nn.LeakyReLU(0.01), nn.Linear(150, pose_dim))

    def forward(
        self,
        pre_seq: Tensor,
        audio: Tensor,
        words: Tensor,
        speaker: Tensor,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Style]:
        """pre_seq: [B, T, D + 1]; audio: [B, T, 32]; words: [B, T]; noise: [B, 16].

        Result: poses [B, T, D], the seed frames included, and the style.
        """
        style = self.style(speaker, noise)
        z = over_time(style.z, pre_seq.shape[1])
        hidden = self.recurrent(torch.cat((pre_seq, audio, self.text(words), z), dim=-1))
        return self.head(hidden), style


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cascade:
    """Outputs of all levels, coarse to fine.

    poses and pre_seqs: per level [B, T, D_k] and [B, T, D_k + 1].
    """

    poses: tuple[Tensor, ...]
    pre_seqs: tuple[Tensor, ...]
    styles: tuple[Style, ...]


class HA2G(nn.Module):
    """Audio encoder, one generator per level, and the contrastive loss's text encoder."""

    def __init__(self, config: HA2GConfig) -> None:
        super().__init__()
        self.config = config
        levels = config.skeleton.levels
        self.audio = AudioEncoder(config.speakers, len(levels))
        self.generators = nn.ModuleList(
            LevelGenerator(3 * len(level), words=config.words, speakers=config.speakers)
            for level in levels
        )
        self.contrast_text = TextEncoder(config.words)
        for k, level in enumerate(levels):
            self.register_buffer(f"_channels_{k}", _index(channels(level)), persistent=False)
            if k:
                columns = cascade_columns(levels[k - 1], level, config.shifted_vectors)
                self.register_buffer(f"_columns_{k}", _index(columns), persistent=False)

    def level_channels(self, level: int) -> Tensor:
        """Return the indices of a level's channels in the full pose, int64 [D_k]."""
        return self.get_buffer(f"_channels_{level}")

    def pre_seq(self, level: int, seeds: Tensor, coarser: Tensor | None) -> Tensor:
        """Return the pose input of a level (ha2g.md 2.5).

        seeds: [B, s, D] full poses; coarser: output of the level before,
        [B, T, D_(k-1)], None at the first. Result: [B, T, D_k + 1].
        """
        head = F.pad(seeds.index_select(-1, self.level_channels(level)), (0, 1), value=1.0)
        if coarser is None:
            return F.pad(head, (0, 0, 0, FRAMES - head.shape[1]))
        later = F.pad(coarser[:, seeds.shape[1] :], (0, 1))
        return torch.cat((head, later.index_select(-1, self.get_buffer(f"_columns_{level}"))), 1)

    def generate(
        self,
        audio: AudioFeatures,
        words: Tensor,
        speaker: Tensor,
        seeds: Tensor,
        noise: Tensor | None = None,
    ) -> Cascade:
        """Run all levels.

        words: int64 [B, 34]; speaker: int64 [B], may differ from the one the
        audio was blended for; seeds: [B, 4, D]; noise: [B, K, 16] or None.
        """
        poses: list[Tensor] = []
        pre_seqs: list[Tensor] = []
        styles: list[Style] = []
        for k, generator in enumerate(self.generators):
            pre_seq = self.pre_seq(k, seeds, poses[-1] if poses else None)
            eps = None if noise is None else noise[:, k]
            out, style = generator(pre_seq, audio.blends[k], words, speaker, eps)
            poses.append(out)
            pre_seqs.append(pre_seq)
            styles.append(style)
        return Cascade(poses=tuple(poses), pre_seqs=tuple(pre_seqs), styles=tuple(styles))

    def forward(
        self,
        mel: Tensor,
        words: Tensor,
        speaker: Tensor,
        seeds: Tensor,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Return the finest level's poses [B, 34, D], mean-subtracted.

        mel: [B, 128, 70]; words: int64 [B, 34]; speaker: int64 [B]; seeds:
        [B, 4, D]; noise: [B, K, 16], drawn if not given.
        """
        return self.generate(self.audio(mel, speaker), words, speaker, seeds, noise).poses[-1]


def _index(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)
