"""The pose auto-encoders whose latent space FGD measures (ha2g.md 6.1).

Both encode 34 frames. TED Gesture's is variational (latent 32, feature = mean),
TED Expressive's is not (latent 128). The activations between the dense layers
are the identity: the published code sets a slope of 1 there (ha2g.md 2.7).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

FRAMES = 34


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoseCode:
    """An encoded window: feature [B, L] and, if variational, its log-variance."""

    feature: Tensor
    log_variance: Tensor | None


class PoseEncoder(nn.Module):
    """Poses to a feature. Joint Embedding uses the variational one as well."""

    def __init__(self, pose_dim: int, latent: int, *, variational: bool) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            _conv(pose_dim, 32, 3),
            _conv(32, 64, 3),
            _conv(64, 64, 4, stride=2),
            nn.Conv1d(64, 32, 3),
        )
        self.dense = nn.Sequential(
            nn.Linear(32 * 12, 256),
            nn.BatchNorm1d(256),
            nn.Identity(),
            nn.Linear(256, 128),
            nn.BatchNorm1d(128),
            nn.Identity(),
            nn.Linear(128, latent),
        )
        self.mean = nn.Linear(latent, latent) if variational else None
        self.log_variance = nn.Linear(latent, latent) if variational else None

    def forward(self, poses: Tensor) -> PoseCode:
        """poses: [B, 34, D] mean-subtracted."""
        x = self.dense(self.convs(poses.transpose(1, 2)).flatten(1))
        if self.mean is None or self.log_variance is None:
            return PoseCode(feature=x, log_variance=None)
        return PoseCode(feature=self.mean(x), log_variance=self.log_variance(x))


class PoseDecoder(nn.Module):
    """A feature back to 34 frames; FGD does not use it."""

    def __init__(self, pose_dim: int, latent: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(
            nn.Linear(latent, 64), nn.BatchNorm1d(64), nn.Identity(), nn.Linear(64, 4 * FRAMES)
        )
        self.convs = nn.Sequential(
            nn.ConvTranspose1d(4, 32, 3),
            nn.BatchNorm1d(32),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose1d(32, 32, 3),
            nn.BatchNorm1d(32),
            nn.LeakyReLU(0.2),
            nn.Conv1d(32, 32, 3),
            nn.Conv1d(32, pose_dim, 3),
        )

    def forward(self, feature: Tensor) -> Tensor:
        """feature: [B, L]. Result: [B, 34, D]."""
        return self.convs(self.dense(feature).unflatten(1, (4, FRAMES))).transpose(1, 2)


class PoseAutoEncoder(nn.Module):
    """Encoder and decoder; the code that is decoded is the feature, unless sampled."""

    def __init__(self, pose_dim: int, latent: int, *, variational: bool) -> None:
        super().__init__()
        self.encoder = PoseEncoder(pose_dim, latent, variational=variational)
        self.decoder = PoseDecoder(pose_dim, latent)

    def forward(self, poses: Tensor) -> tuple[Tensor, PoseCode]:
        """poses: [B, 34, D]. Result: reconstruction and code."""
        code = self.encoder(poses)
        return self.decoder(code.feature), code

    @torch.no_grad()
    def features(self, poses: Tensor) -> Tensor:
        """Return the FGD features [B, L]; call in evaluation mode."""
        return self.encoder(poses).feature


def _conv(inputs: int, channels: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, channels, kernel, stride=stride),
        nn.BatchNorm1d(channels),
        nn.LeakyReLU(0.2),
    )
