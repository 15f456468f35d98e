"""HA2G's hierarchical audio encoder: log-mel to low, mid and high features (ha2g.md 2.1)."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import FEATURE, STYLE

MEL_BANDS = 128
CHANNELS = (32, 64, 128, 256)
BLOCKS = (3, 4, 6, 3)
"""Sizes of the published encoder."""
_SQUEEZE = 8


class ConvReluNorm(nn.Module):
    """Convolution, ReLU, batch norm: in this order, unlike the usual one."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, kernel, stride=stride, padding=padding, bias=bias)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, inputs, F, T]."""
        return self.norm(F.relu(self.conv(x)))


class ChannelGate(nn.Module):
    """Squeeze and excitation: channels scaled by their mean over frequency and time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // _SQUEEZE)
        self.excite = nn.Linear(channels // _SQUEEZE, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, F, T]; the gate of every column depends on all columns."""
        gate = F.sigmoid(self.excite(F.relu(self.squeeze(x.mean(dim=(2, 3))))))
        return x * gate[:, :, None, None]


class GatedBlock(nn.Module):
    """A residual block with a channel gate."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = ConvReluNorm(inputs, channels, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.gate = ChannelGate(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, inputs, F, T]. Result: [B, channels, F/stride, T/stride], rounded up."""
        y = self.gate(self.norm(self.second(self.first(x))))
        return F.relu(y + self.shortcut(x))


class Tap(nn.Module):
    """One level's feature map to 32 numbers per pose frame.

    shuffle: pixel-shuffle factor that undoes the stage's time stride down to 2
    columns per frame.
    """

    def __init__(self, channels: int, bands: int, kernel: int, shuffle: int) -> None:
        super().__init__()
        self.shuffle = nn.PixelShuffle(shuffle)
        inner = channels // shuffle**2
        self.conv = ConvReluNorm(inner, inner, kernel)
        self.project = nn.Linear(inner * (bands * shuffle - kernel + 1), FEATURE)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, F, T']. Result: [B, T, 32]."""
        y = self.conv(self.shuffle(x))
        return self.project(y.permute(0, 3, 1, 2).flatten(2))  # channel-major per frame


class StyleCoordinator(nn.Module):
    """Speaker to the weights of low, mid and high for each level; constant over time."""

    def __init__(self, speakers: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.table = nn.Embedding(speakers, STYLE)
        self.project = nn.Linear(STYLE, STYLE)
        self.hidden = nn.Linear(STYLE, 32)
        self.mix = nn.Linear(32, 3 * levels)

    def forward(self, speaker: Tensor) -> Tensor:
        """speaker: int64 [B]. Result: [B, 3, K], summing to 1 over the three."""
        return self.blend(self.table(speaker))

    def blend(self, code: Tensor) -> Tensor:
        """code: [B, 16], a row of the table or a mixture of rows. Result: [B, 3, K]."""
        x = F.elu(self.project(code))
        x = self.mix(F.elu(self.hidden(x)))
        return F.softmax(x.unflatten(1, (3, self.levels)), dim=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioFeatures:
    """What the encoder returns.

    weights: [B, 3, K]; low, mid, high: [B, T, 32]; blends: K of [B, T, 32].
    """

    weights: Tensor
    low: Tensor
    mid: Tensor
    high: Tensor
    blends: tuple[Tensor, ...]


class AudioEncoder(nn.Module):
    """Log-mel spectrogram and speaker to the blended audio feature of each level.

    69 or 70 columns give 34 frames. Other counts run only if they are 5 or 6
    modulo 8: elsewhere the three taps differ in length.
    """

    def __init__(
        self,
        speakers: int,
        levels: int,
        *,
        channels: tuple[int, int, int, int] = CHANNELS,
        blocks: tuple[int, int, int, int] = BLOCKS,
    ) -> None:
        super().__init__()
        self.stem = ConvReluNorm(1, channels[0], 3, padding=1)
        stages: list[nn.Module] = []
        inputs = channels[0]
        for i, (width, count) in enumerate(zip(channels, blocks, strict=True)):
            first = GatedBlock(inputs, width, 1 if i == 0 else 2)
            rest = [GatedBlock(width, width, 1) for _ in range(count - 1)]
            stages.append(nn.Sequential(first, *rest))
            inputs = width
        self.stages = nn.ModuleList(stages)
        self.low = Tap(channels[1], MEL_BANDS // 2, kernel=2, shuffle=1)
        self.mid = Tap(channels[2], MEL_BANDS // 4, kernel=3, shuffle=2)
        self.high = Tap(channels[3], MEL_BANDS // 8, kernel=3, shuffle=4)
        self.coordinator = StyleCoordinator(speakers, levels)

    def forward(self, mel: Tensor, speaker: Tensor) -> AudioFeatures:
        """mel: [B, 128, columns] in decibels (-80..0); speaker: int64 [B]."""
        return self.blended(mel, self.coordinator(speaker))

    def blended(self, mel: Tensor, weights: Tensor) -> AudioFeatures:
        """Return the features under given weights [B, 3, K] of low, mid and high."""
        x = self.stem(mel.unsqueeze(1))
        maps: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        low, mid, high = self.low(maps[1]), self.mid(maps[2]), self.high(maps[3])
        if not low.shape[1] == mid.shape[1] == high.shape[1]:
            raise ValueError(
                f"{mel.shape[-1]} mel columns: the taps have {low.shape[1]}, {mid.shape[1]} and "
                f"{high.shape[1]} frames; the count of columns must be 5 or 6 modulo 8"
            )
        blends = tuple(
            weights[:, 0, k, None, None] * low
            + weights[:, 1, k, None, None] * mid
            + weights[:, 2, k, None, None] * high
            for k in range(self.coordinator.levels)
        )
        return AudioFeatures(weights=weights, low=low, mid=mid, high=high, blends=blends)
