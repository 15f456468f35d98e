"""HOP's audio-action branch: a spatio-temporal graph of bones (hop.md 3).

Two forms share one graph network: `AlignedGraph` of the clean preset, causal
and one step per frame, and `ReleasedGraph` with what the released code does.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.melspectrogram import frame_end

AUDIO_FEATURE = 170
WINDOW = 3400
RHYTHM = 20
"""Rhythm features per node and frame."""

_CHANNELS = 64
_SKIP = 256
_END = 512
_EMBEDDING = 10
DILATIONS = (1, 2) * 4
FIELD = 1 + sum(DILATIONS)
"""Frames that one output sees: 13."""


class GraphLayer(nn.Module):
    """A gated dilated convolution over time, then a graph convolution of order 2.

    last: nothing reads the graph convolution of the last layer, so it has none.
    """

    def __init__(self, dilation: int, *, last: bool) -> None:
        super().__init__()
        self.dilation = dilation
        self.filter = nn.Conv2d(_CHANNELS, _CHANNELS, (1, 2), dilation=(1, dilation))
        self.gate = nn.Conv2d(_CHANNELS, _CHANNELS, (1, 2), dilation=(1, dilation))
        self.skip = nn.Conv2d(_CHANNELS, _SKIP, 1)
        self.mix = None if last else nn.Conv2d(3 * _CHANNELS, _CHANNELS, 1)
        self.norm = None if last else nn.BatchNorm2d(_CHANNELS)

    def forward(self, x: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        """x: [B, 64, N, T + dilation]. Result: next x [B, 64, N, T], skip [B, 256, N, T]."""
        y = torch.tanh(self.filter(x)) * F.sigmoid(self.gate(x))
        skip = self.skip(y)
        if self.mix is None or self.norm is None:
            return y, skip
        once = torch.einsum("bcvt,vw->bcwt", y, adjacency)
        twice = torch.einsum("bcvt,vw->bcwt", once, adjacency)
        mixed = self.mix(torch.cat((y, once, twice), dim=1))
        return self.norm(mixed + x[..., self.dilation :]), skip


class GraphNetwork(nn.Module):
    """Graph WaveNet with a learnt adjacency and no fixed ones."""

    def __init__(self, nodes: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.source = nn.Parameter(torch.randn(nodes, _EMBEDDING))
        self.target = nn.Parameter(torch.randn(_EMBEDDING, nodes))
        self.start = nn.Conv2d(inputs, _CHANNELS, 1)
        self.layers = nn.ModuleList(
            GraphLayer(d, last=i == len(DILATIONS) - 1) for i, d in enumerate(DILATIONS)
        )
        self.hidden = nn.Conv2d(_SKIP, _END, 1)
        self.end = nn.Conv2d(_END, outputs, 1)

    def adjacency(self) -> Tensor:
        """Return A = softmax(relu(E1 E2)) over each row: [N, N]."""
        return F.softmax(F.relu(self.source @ self.target), dim=1)

    def forward(self, x: Tensor, *, causal: bool) -> Tensor:
        """x: [B, C, N, T]. Result: [B, outputs, N, T'].

        causal: each layer is padded with zeros on the left, T' = T and output n
        sees n - 12 .. n. Otherwise nothing is padded and T' = T - 12.
        """
        adjacency = self.adjacency()
        x = self.start(x)
        skips: list[Tensor] = []
        for layer in self.layers:
            assert isinstance(layer, GraphLayer)
            x, skip = layer(F.pad(x, (layer.dilation, 0)) if causal else x, adjacency)
            skips.append(skip)
        frames = x.shape[-1]
        total = torch.stack([skip[..., -frames:] for skip in skips]).sum(0)
        return self.end(F.relu(self.hidden(F.relu(total))))


class AudioNode(nn.Module):
    """A raw window of 212.5 ms to 170 numbers, the same for every node."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(WINDOW, WINDOW // 2),
            nn.LeakyReLU(0.2),
            nn.Linear(WINDOW // 2, AUDIO_FEATURE),
        )

    def forward(self, windows: Tensor) -> Tensor:
        """windows: [B, T, 3400]. Result: [B, T, 170]."""
        return self.net(windows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphFeatures:
    """pose: [B, T, 3 N + 1], the predicted directions and the indicator; rhythm: [B, T, 20 N]."""

    pose: Tensor
    rhythm: Tensor


class AlignedGraph(nn.Module):
    """The clean branch: at frame n the audio that ends with n, and the pose known at n."""

    def __init__(self, nodes: int, frames: int) -> None:
        super().__init__()
        self.nodes = nodes
        self.frames = frames
        self.audio = AudioNode()
        self.graph = GraphNetwork(nodes, 3 + 1 + AUDIO_FEATURE, 3 + RHYTHM)

    def windows(self, samples: Tensor) -> Tensor:
        """Return the 3400 samples that end with each frame: [B, frames, 3400].

        samples: [B, n]; before the first and after the last are zeros.
        """
        last = frame_end(self.frames - 1)
        padded = F.pad(samples, (WINDOW, max(0, last - samples.shape[1])))
        ends = [frame_end(n) for n in range(self.frames)]
        return torch.stack([padded[:, end : end + WINDOW] for end in ends], dim=1)

    def forward(self, samples: Tensor, known: Tensor, given: Tensor) -> GraphFeatures:
        """samples: [B, n]; known: poses [B, T, 3 N], 0 where not given; given: [B, T, 1]."""
        audio = self.audio(self.windows(samples)).transpose(1, 2)
        audio = audio.unsqueeze(2).expand(-1, -1, self.nodes, -1)
        pose = known.unflatten(-1, (self.nodes, 3)).permute(0, 3, 2, 1)
        mark = given.transpose(1, 2).unsqueeze(2).expand(-1, -1, self.nodes, -1)
        out = self.graph(torch.cat((pose, mark, audio), dim=1), causal=True)
        per_frame = out.permute(0, 3, 2, 1)
        directions, rhythm = per_frame.split((3, RHYTHM), dim=-1)
        return GraphFeatures(
            pose=torch.cat((directions.flatten(2), given), dim=-1), rhythm=rhythm.flatten(2)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedQuirks:
    """What the released graph branch does that the paper does not say (hop.md 9).

    nodes_mixed_with_time: finding 4, the audio of the nodes is reinterpreted
    without a transpose. channels_mixed_with_time: finding 5, the same for the
    graph's output. Switched off, the axes stay in order at the same sizes.
    """

    nodes_mixed_with_time: bool = True
    channels_mixed_with_time: bool = True


class ReleasedGraph(nn.Module):
    """The released branch: 16 real poses, 16 audio windows over the whole clip, 4 outputs.

    The windows span 2.27 s and the poses 1.07 s, yet they are paired one to one
    (finding 6); 34 frames of 20 N numbers are cut from 4 steps of 170 N.
    """

    SEEDS = 16
    STRIDE = 2191
    STEPS = SEEDS - FIELD + 1

    def __init__(self, nodes: int, frames: int, quirks: ReleasedQuirks) -> None:
        super().__init__()
        self.nodes = nodes
        self.frames = frames
        self.quirks = quirks
        self.audio = AudioNode()
        self.graph = GraphNetwork(nodes, 3 + AUDIO_FEATURE, 3 + AUDIO_FEATURE)

    def forward(self, samples: Tensor, seeds: Tensor) -> GraphFeatures:
        """samples: [B, 36267]; seeds: [B, 16, 3 N]."""
        batch, nodes = samples.shape[0], self.nodes  # a length would be a constant of the trace
        audio = self.audio(samples.unfold(1, WINDOW, self.STRIDE)[:, : self.SEEDS])
        per_node = audio.unsqueeze(1).expand(-1, nodes, -1, -1)
        if self.quirks.nodes_mixed_with_time:
            per_step = per_node.reshape(batch, self.SEEDS, nodes, AUDIO_FEATURE)
        else:
            per_step = per_node.transpose(1, 2)
        pose = seeds.unflatten(-1, (nodes, 3)).permute(0, 3, 2, 1)
        x = torch.cat((pose, per_step.permute(0, 3, 2, 1)), dim=1)
        directions, rest = self.graph(x, causal=False).split((3, AUDIO_FEATURE), dim=1)
        if not self.quirks.channels_mixed_with_time:
            rest = rest.permute(0, 3, 2, 1)
        slots = F.pad(directions.permute(0, 3, 2, 1).flatten(2), (0, 1), value=1.0)
        return GraphFeatures(
            pose=F.pad(slots, (0, 0, 0, self.frames - self.STEPS)),
            rhythm=rest.reshape(batch, self.frames, RHYTHM * nodes),
        )
