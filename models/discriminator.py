"""The pose discriminator of Trimodal, HA2G and HOP (ha2g.md 2.6, hop.md 5)."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import SummedGRU

FRAMES = 34
_STEPS = FRAMES - 6


class Discriminator(nn.Module):
    """Poses to the probability that they are real; text and audio are not seen.

    slope: of the leaky ReLUs: 0.01 in HA2G, 1 (the identity) in Trimodal and
    the released HOP, whose call sets the slope by mistake (ha2g.md 2.7).
    noise: deviation of the Gaussian noise added to its input while training
    (0.1 in HOP).
    """

    def __init__(self, pose_dim: int, *, slope: float, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise
        self.convs = nn.Sequential(
            nn.Conv1d(pose_dim, 16, 3),
            nn.BatchNorm1d(16),
            nn.LeakyReLU(slope),
            nn.Conv1d(16, 8, 3),
            nn.BatchNorm1d(8),
            nn.LeakyReLU(slope),
            nn.Conv1d(8, 8, 3),
        )
        self.recurrent = SummedGRU(8, 64, 4, dropout=0.3)
        self.frame = nn.Linear(64, 1)
        self.window = nn.Linear(_STEPS, 1)

    def forward(self, poses: Tensor) -> Tensor:
        """poses: [B, T, D] mean-subtracted. Result: probabilities [B, 1].

        34 frames use the trained weighting of the steps; any other length the
        mean of the step logits (hop.md 5).
        """
        if self.training and self.noise:
            poses = poses + self.noise * torch.randn_like(poses)
        steps = self.convs(poses.transpose(1, 2)).transpose(1, 2)
        logits = cast(Tensor, self.frame(self.recurrent(steps))).squeeze(-1)
        if logits.shape[1] == _STEPS:
            return F.sigmoid(self.window(logits))
        return F.sigmoid(logits.mean(dim=1, keepdim=True))
