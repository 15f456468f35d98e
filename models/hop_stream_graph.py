"""HOP's spatio-temporal graph in causal form, with ring buffers (hop.md 3 and 11).

The same network as `models.hop_graph.GraphNetwork`, written for the stream:
nodes lead in whole sequences, so that the graph products are one large matrix
product, and every layer of dilation d keeps its last d inputs as its state.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.causal import Shapes, State
from models.hop_graph import DILATIONS

_EMBEDDING = 10


class StreamGraphLayer(nn.Module):
    """A gated dilated convolution over time, then a graph convolution of order 2.

    last: nothing reads the graph convolution of the last layer, so it has none.
    """

    def __init__(self, name: str, nodes: int, channels: int, dilation: int, *, last: bool) -> None:
        super().__init__()
        self.name, self.dilation = name, dilation
        self.shape = (dilation, nodes, channels)
        # of the input d frames ago and of the present one: filter, then gate
        self.gates = nn.Linear(2 * channels, 2 * channels)
        self.mix = None if last else nn.Linear(channels, 3 * channels, bias=False)
        self.norm = None if last else nn.BatchNorm1d(channels)

    def _gated(self, past: Tensor, x: Tensor) -> Tensor:
        filtered, gate = self.gates(torch.cat([past, x], -1)).chunk(2, -1)
        return torch.tanh(filtered) * torch.sigmoid(gate)

    def _normed(self, x: Tensor) -> Tensor:
        assert self.norm is not None
        return self.norm(x.flatten(0, -2)).view(x.shape)

    def forward(self, x: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        """x: [N, B, T, C]; adjacency [N, N]. Result: next x, gated [N, B, T, C]."""
        past = F.pad(x, (0, 0, self.dilation, 0))[:, :, : x.shape[2]]
        y = self._gated(past, x)
        if self.mix is None:
            return y, y
        none, once, twice = self.mix(y).chunk(3, -1)
        # (y, yA, yAA) mixed = y W0 + A'(y W1 + A' y W2)
        spread = adjacency.T @ twice.flatten(1) + once.flatten(1)
        spread = (adjacency.T @ spread).view(x.shape)
        return self._normed(none + spread + x), y

    def step(self, x: Tensor, adjacency: Tensor, state: State, new: State) -> tuple[Tensor, Tensor]:
        """One frame, x: [S, N, C]; result as `forward`'s, [S, N, C]."""
        buffer = state[self.name]
        new[self.name] = torch.cat([buffer[:, 1:], x[:, None]], 1)
        y = self._gated(buffer[:, 0], x)
        if self.mix is None:
            return y, y
        none, once, twice = self.mix(y).chunk(3, -1)
        spread = adjacency.T @ (adjacency.T @ twice + once)
        return self._normed(none + spread + x), y


class StreamGraph(nn.Module):
    """Graph WaveNet over the body's nodes with a learnt adjacency and no fixed ones.

    channels: residual and gated; skip, end: of the output head; outputs: per node.
    """

    def __init__(
        self, name: str, nodes: int, *, channels: int, skip: int, end: int, outputs: int
    ) -> None:
        super().__init__()
        self.source = nn.Parameter(torch.randn(nodes, _EMBEDDING))
        self.target = nn.Parameter(torch.randn(_EMBEDDING, nodes))
        self.layers = nn.ModuleList(
            StreamGraphLayer(f"{name}.{i}", nodes, channels, d, last=i == len(DILATIONS) - 1)
            for i, d in enumerate(DILATIONS)
        )
        # one product for the skips of all layers
        self.skip = nn.Linear(len(DILATIONS) * channels, skip)
        self.hidden = nn.Linear(skip, end)
        self.end = nn.Linear(end, outputs)

    def shapes(self) -> Shapes:
        """Return the shapes of its ring buffers."""
        return {layer.name: layer.shape for layer in self._layers()}

    def _layers(self) -> list[StreamGraphLayer]:
        return list(self.layers)  # type: ignore[arg-type]

    def adjacency(self) -> Tensor:
        """Return A = softmax(relu(E1 E2)) over each row: [N, N]."""
        return F.softmax(F.relu(self.source @ self.target), dim=1)

    def _head(self, gated: list[Tensor]) -> Tensor:
        skips = self.skip(torch.cat(gated, -1))
        return self.end(F.relu(self.hidden(F.relu(skips))))

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, B, T, channels]. Result: [N, B, T, outputs]."""
        adjacency, gated = self.adjacency(), list[Tensor]()
        for layer in self._layers():
            x, y = layer(x, adjacency)
            gated.append(y)
        return self._head(gated)

    def step(self, x: Tensor, state: State, new: State) -> Tensor:
        """One frame, x: [S, N, channels]. Result: [S, N, outputs]."""
        adjacency, gated = self.adjacency(), list[Tensor]()
        for layer in self._layers():
            x, y = layer.step(x, adjacency, state, new)
            gated.append(y)
        return self._head(gated)


class AudioFeature(nn.Module):
    """The audio node feature: the last frames' image to one vector, the same for every node.

    hop.md 3 has 3400 raw samples (212 ms); here three frames (200 ms) of the
    front end's image, so that the level tracker has set them right.
    """

    FRAMES = 3

    def __init__(self, name: str, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.name, self.inputs = name, inputs
        self.net = nn.Sequential(
            nn.Linear(self.FRAMES * inputs, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, outputs)
        )

    def shapes(self) -> Shapes:
        """Return the shape of its state."""
        return {self.name: (self.FRAMES - 1, self.inputs)}

    def forward(self, image: Tensor) -> Tensor:
        """image: [B, T, inputs]. Result: [B, T, outputs]."""
        padded = F.pad(image, (0, 0, self.FRAMES - 1, 0))
        frames = image.shape[1]
        past = [padded[:, i : i + frames] for i in range(self.FRAMES)]
        return self.net(torch.cat(past, -1))

    def step(self, image: Tensor, state: State, new: State) -> Tensor:
        """One frame, image: [S, inputs]. Result: [S, outputs]."""
        joined = torch.cat([state[self.name], image[:, None]], 1)
        new[self.name] = joined[:, 1:]
        return self.net(joined.flatten(1))
