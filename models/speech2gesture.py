"""Speech2Gesture (Ginosar et al. 2019) as the gesture repositories have it (baselines.md 4)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FRAMES = 34
SEEDS = 4
_WIDTH = 256
Padding = Literal["same", "valid"]


def same_padding(sizes: Sequence[int], kernel: int, stride: int) -> list[int]:
    """Return `F.pad` amounts of TensorFlow's SAME padding, last axis first.

    The output of each axis has ceil(n / stride) entries; the odd one goes after.
    """
    amounts: list[int] = []
    for n in reversed(sizes):
        total = max(0, ((n + stride - 1) // stride - 1) * stride + kernel - n)
        amounts += [total // 2, total - total // 2]
    return amounts


class ConvBlock(nn.Module):
    """Convolution (SAME or none), batch norm, leaky ReLU 0.2."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        axes: Literal[1, 2] = 1,
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        conv, norm = (nn.Conv1d, nn.BatchNorm1d) if axes == 1 else (nn.Conv2d, nn.BatchNorm2d)
        self.conv = conv(inputs, channels, kernel, stride=stride)
        self.norm = norm(channels)
        self.kernel, self.stride, self.axes, self.padding = kernel, stride, axes, padding

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, inputs, n] or [B, inputs, F, T]."""
        if self.padding == "same":
            x = F.pad(x, same_padding(x.shape[-self.axes :], self.kernel, self.stride))
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


def down(inputs: int, *, axes: Literal[1, 2] = 1) -> ConvBlock:
    """Return a block that halves every axis and keeps the channels."""
    return ConvBlock(inputs, inputs, 4, 2, axes=axes)


class AudioNet(nn.Module):
    """Spectrogram to 256 channels over 34 frames.

    The published resize turns the *mel* axis into the frames and keeps the
    middle time column only (baselines.md 4.1); it is done here as published.
    """

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.ModuleList(
            (
                ConvBlock(1, 64, axes=2),
                down(64, axes=2),
                ConvBlock(64, 128, axes=2),
                down(128, axes=2),
                ConvBlock(128, _WIDTH, axes=2),
                down(_WIDTH, axes=2),
                ConvBlock(_WIDTH, _WIDTH, axes=2),
                ConvBlock(_WIDTH, _WIDTH, axes=2, padding="valid"),
            )
        )
        first = nn.Sequential(ConvBlock(_WIDTH, _WIDTH), ConvBlock(_WIDTH, _WIDTH))
        self.down = nn.ModuleList((first, *(down(_WIDTH) for _ in range(5))))
        self.up = nn.ModuleList(ConvBlock(_WIDTH, _WIDTH) for _ in range(5))

    def convolved(self, mel: Tensor) -> Tensor:
        """mel: [B, 128, columns] in decibels. Result: [B, 256, 14, about columns / 10]."""
        x = mel.unsqueeze(1)
        for block in self.image:
            x = block(x)
        return x

    def resized(self, x: Tensor) -> Tensor:
        """Return [B, 256, 34] of the image map [B, 256, F, T]: the axis quirk."""
        return F.interpolate(x, size=(FRAMES, 1), mode="bilinear", align_corners=False).squeeze(-1)

    def forward(self, mel: Tensor) -> Tensor:
        """mel: [B, 128, 70 or 71]. Result: [B, 256, 34]."""
        x = self.resized(self.convolved(mel))
        skips: list[Tensor] = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            skip = skips.pop()
            x = block(x.repeat_interleave(2, dim=-1)[..., : skip.shape[-1]] + skip)
        return x


class Speech2GestureGenerator(nn.Module):
    """Spectrogram and seed poses to poses; deterministic, no words, no speaker."""

    def __init__(self, pose_dim: int) -> None:
        super().__init__()
        self.audio = AudioNet()
        self.seeds = nn.Sequential(
            nn.Linear(SEEDS * pose_dim, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16)
        )
        self.decoder = nn.Sequential(
            ConvBlock(_WIDTH + 16, _WIDTH), *(ConvBlock(_WIDTH, _WIDTH) for _ in range(3))
        )
        self.head = nn.Conv1d(_WIDTH, pose_dim, 1)

    def forward(self, mel: Tensor, seeds: Tensor) -> Tensor:
        """mel: [B, 128, 70]; seeds: [B, 4, D]. Result: [B, 34, D]."""
        pose = self.seeds(seeds.flatten(1)).unsqueeze(-1).expand(-1, -1, FRAMES)
        x = torch.cat((self.audio(mel), pose), dim=1)
        return self.head(self.decoder(x)).transpose(1, 2)


class PatchDiscriminator(nn.Module):
    """Motion to a score per patch of time (baselines.md 4.3)."""

    def __init__(self, pose_dim: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(pose_dim, 64, 4, stride=2)
        self.second = ConvBlock(64, 128, 4, 2)
        self.third = ConvBlock(128, _WIDTH, 4, 1)
        self.last = nn.Conv1d(_WIDTH, 1, 4)

    def forward(self, motion: Tensor) -> Tensor:
        """motion: frame differences [B, 33, D], differenced once more here. Result: [B, 1, 8]."""
        x = motion.diff(dim=1).transpose(1, 2)
        x = F.leaky_relu(self.first(F.pad(x, same_padding(x.shape[-1:], 4, 2))), 0.2)
        x = self.third(self.second(x))
        return self.last(F.pad(x, same_padding(x.shape[-1:], 4, 1)))
