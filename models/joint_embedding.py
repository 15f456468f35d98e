"""Joint Embedding (Ahuja and Morency 2019) as the gesture repositories have it (baselines.md 5)."""

import torch
from torch import Tensor, nn

from models.autoencoder import PoseCode, PoseEncoder
from models.layers import FEATURE, Style, SummedGRU, TextEncoder, WaveEncoder, draw, over_time

FRAMES = 34
SEEDS = 4
CODE = 32


class ContextEncoder(nn.Module):
    """Words and audio of a window to a Gaussian code, sampled on every call."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.text = TextEncoder(words, channels=200, blocks=2)
        self.audio = WaveEncoder()
        self.gru = nn.GRU(2 * FEATURE, 256, 2, batch_first=True)
        self.dense = nn.Sequential(
            nn.Linear(256, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, CODE)
        )
        self.mean = nn.Linear(CODE, CODE)
        self.log_variance = nn.Linear(CODE, CODE)

    def forward(self, words: Tensor, samples: Tensor, noise: Tensor | None = None) -> Style:
        """words: int64 [B, 34]; samples: [B, 36267]; noise: [B, 32] or None."""
        hidden, _ = self.gru(torch.cat((self.audio(samples), self.text(words)), dim=-1))
        code = self.dense(hidden[:, -1])
        return draw(self.mean(code), self.log_variance(code), noise)


class PoseGenerator(nn.Module):
    """A code and seed poses to poses; all change over time comes from the GRU."""

    def __init__(self, pose_dim: int) -> None:
        super().__init__()
        self.seeds = nn.Sequential(
            nn.Linear(SEEDS * pose_dim, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32)
        )
        self.recurrent = SummedGRU(32 + CODE, 300, 4, dropout=0.3)
        # The published activation has slope 1 (ha2g.md 2.7).
        self.head = nn.Sequential(nn.Linear(300, 150), nn.Identity(), nn.Linear(150, pose_dim))

    def forward(self, code: Tensor, seeds: Tensor) -> Tensor:
        """code: [B, 32]; seeds: [B, 4, D]. Result: [B, 34, D]."""
        x = torch.cat((self.seeds(seeds.flatten(1)), code), dim=1)
        return self.head(self.recurrent(over_time(x, FRAMES)))


class JointEmbedding(nn.Module):
    """Two encoders, speech and pose, that share one decoder."""

    def __init__(self, pose_dim: int, *, words: int) -> None:
        super().__init__()
        self.context = ContextEncoder(words)
        self.pose = PoseEncoder(pose_dim, CODE, variational=True)
        self.decoder = PoseGenerator(pose_dim)

    def from_speech(
        self, words: Tensor, samples: Tensor, seeds: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Style]:
        """Return poses [B, 34, D] from words and audio, and the sampled code."""
        code = self.context(words, samples, noise)
        return self.decoder(code.z, seeds), code

    def from_pose(self, poses: Tensor, seeds: Tensor) -> tuple[Tensor, PoseCode]:
        """Return poses [B, 34, D] re-made from poses, and their code (its mean, unsampled)."""
        code = self.pose(poses)
        return self.decoder(code.feature, seeds), code

    def forward(
        self, words: Tensor, samples: Tensor, seeds: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Return poses from speech, as in evaluation."""
        return self.from_speech(words, samples, seeds, noise)[0]
