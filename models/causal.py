"""Causal building blocks with two equal forms: whole sequence, and one step.

`forward` runs a sequence that starts fresh; `step` runs one pose frame with the
state that the block declared. Both give the same numbers (spec/hop.md 14b). A
block reads `state[name]` and writes `new[name]`; the names are the artifact's.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

SE_FRAMES = 34
"""Time constant of the causal squeeze: the training window of HA2G."""


class CausalConv2d(nn.Module):
    """3x3 convolution over [B, C, H, T], frequency padded, time seen backwards.

    Its state is the last `context` input columns. `stride` is (frequency,
    time); with a time stride of 2 output n sees columns 2n-1, 2n and 2n+1.
    """

    def __init__(
        self,
        name: str,
        inputs: int,
        outputs: int,
        height: int,
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.name, self.inputs, self.height = name, inputs, height
        self.context = 2 * dilation - (stride[1] - 1)
        self.conv = nn.Conv2d(
            inputs,
            outputs,
            3,
            stride=stride,
            padding=(1, 0),
            dilation=(1, dilation),
            bias=False,
        )

    def shapes(self) -> Shapes:
        """Return the shape of its state."""
        return {self.name: (self.inputs, self.height, self.context)}

    def forward(self, x: Tensor) -> Tensor:
        """Convolve a whole sequence [B, C, H, T]."""
        return self.conv(functional.pad(x, (self.context, 0)))

    def step(self, x: Tensor, state: State, new: State) -> Tensor:
        """Convolve the columns [S, C, H, t] of one frame."""
        joined = torch.cat([state[self.name], x], -1)
        new[self.name] = joined[..., -self.context :]
        return self.conv(joined)


class CausalSqueeze(nn.Module):
    """Squeeze-and-excitation gate whose mean runs over the past only.

    m_n = m_{n-1} + (x_n - m_{n-1}) / min(n + 1, 34), x_n the mean of frame n
    over frequency and its columns (spec/hop.md 14b).
    """

    def __init__(self, name: str, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.name, self.channels = name, channels
        self.down = nn.Linear(channels, channels // reduction)
        self.up = nn.Linear(channels // reduction, channels)

    def shapes(self) -> Shapes:
        """Return the shape of its state."""
        return {self.name: (self.channels,)}

    def _gate(self, mean: Tensor) -> Tensor:
        return torch.sigmoid(self.up(functional.relu(self.down(mean))))

    def forward(self, x: Tensor, columns: int) -> Tensor:
        """Gate a sequence [B, C, H, T * columns]."""
        b, c, h, n = x.shape
        frames = x.reshape(b, c, h, n // columns, columns).mean((2, 4)).transpose(1, 2)
        mean = running_mean_matrix(n // columns, x.device) @ frames
        gate = self._gate(mean).transpose(1, 2).repeat_interleave(columns, -1)
        return x * gate[:, :, None]

    def step(self, x: Tensor, weight: Tensor, state: State, new: State) -> Tensor:
        """Gate the columns [S, C, H, t] of one frame; weight [S, 1] = 1 / min(n + 1, 34)."""
        mean = state[self.name]
        mean = mean + (x.mean((2, 3)) - mean) * weight
        new[self.name] = mean
        return x * self._gate(mean)[:, :, None, None]


def running_mean_matrix(frames: int, device: torch.device | None = None) -> Tensor:
    """Return L [T, T] with (L x)_n = the causal mean of `CausalSqueeze` at frame n."""
    n = torch.arange(frames, dtype=torch.float64)
    weight = 1.0 / torch.clamp(n + 1, max=SE_FRAMES)
    # log of the product of (1 - w) over frames s+1 .. t; w is 1 only at frame 0
    keep = torch.cumsum(torch.log1p(-weight[1:]), 0)
    keep = torch.cat([torch.zeros(1, dtype=torch.float64), keep])
    rows = torch.exp(keep[:, None] - keep[None, :]) * weight[None, :]
    return torch.tril(rows).to(device=device, dtype=torch.float32)


class SqueezeBlock(nn.Module):
    """HA2G's residual block (ha2g.md 2.1) in causal form: conv, ReLU, norm, conv, norm, SE."""

    def __init__(
        self,
        name: str,
        inputs: int,
        outputs: int,
        height: int,
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.stride = stride
        out_height = height // stride[0]
        self.conv1 = CausalConv2d(
            f"{name}.conv1", inputs, outputs, height, stride=stride, dilation=dilation
        )
        self.conv2 = CausalConv2d(f"{name}.conv2", outputs, outputs, out_height, dilation=dilation)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.squeeze = CausalSqueeze(f"{name}.mean", outputs)
        self.shortcut = (
            nn.Identity()
            if stride == (1, 1) and inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=(stride[0], 1), bias=False),
                nn.BatchNorm2d(outputs),
            )
        )

    def shapes(self) -> Shapes:
        """Return the shapes of its state."""
        return self.conv1.shapes() | self.conv2.shapes() | self.squeeze.shapes()

    def _finish(self, x: Tensor, y: Tensor) -> Tensor:
        # with a time stride of 2 the shortcut takes the later of the two columns
        kept = x[..., 1::2] if self.stride[1] == 2 else x
        return functional.relu(y + self.shortcut(kept))

    def forward(self, x: Tensor, columns: int) -> Tensor:
        """Run a sequence [B, C, H, T * columns]; columns counts those of the output."""
        y = self.norm1(functional.relu(self.conv1(x)))
        y = self.squeeze(self.norm2(self.conv2(y)), columns)
        return self._finish(x, y)

    def step(self, x: Tensor, weight: Tensor, state: State, new: State) -> Tensor:
        """Run one frame [S, C, H, t]."""
        y = self.norm1(functional.relu(self.conv1.step(x, state, new)))
        y = self.squeeze.step(self.norm2(self.conv2.step(y, state, new)), weight, state, new)
        return self._finish(x, y)


class TextStack(nn.Module):
    """The temporal convolutions of all K text encoders side by side (ha2g.md 2.2).

    Kernel 2, dilations 1, 2, 4, 8, residual; every level has weights of its
    own, run as one grouped product. [B, T, E] to [B, T, K, E].
    """

    def __init__(self, name: str, levels: int, width: int) -> None:
        super().__init__()
        self.name, self.levels, self.width = name, levels, width
        self.dilations = (1, 2, 4, 8)
        scale = (1.0 / (2 * width)) ** 0.5
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(levels, 2 * width, width) * scale) for _ in self.dilations
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.zeros(levels, 1, width)) for _ in self.dilations
        )

    def shapes(self) -> Shapes:
        """Return the shapes of its state."""
        return {f"{self.name}.{d}": (self.levels, d, self.width) for d in self.dilations}

    def forward(self, x: Tensor) -> Tensor:
        """Run a sequence [B, T, E]."""
        b, t, e = x.shape
        y = x[:, None].expand(b, self.levels, t, e)
        for d, weight, bias in zip(self.dilations, self.weights, self.biases, strict=True):
            past = functional.pad(y, (0, 0, d, 0))[:, :, :t]
            y = y + functional.relu(torch.cat([past, y], -1) @ weight + bias)
        return y.transpose(1, 2)

    def step(self, x: Tensor, state: State, new: State) -> Tensor:
        """Run one frame [S, E]; returns [S, K, E]."""
        y = x[:, None, None].expand(-1, self.levels, 1, -1)
        for d, weight, bias in zip(self.dilations, self.weights, self.biases, strict=True):
            buffer = state[f"{self.name}.{d}"]
            new[f"{self.name}.{d}"] = torch.cat([buffer[:, :, 1:], y], 2)
            y = y + functional.relu(torch.cat([buffer[:, :, :1], y], -1) @ weight + bias)
        return y[:, :, 0]


class StreamGru(nn.Module):
    """Uni-directional GRU with its cells written out for the step.

    TensorRT turns an ONNX GRU node into a loop without any speed-up
    (spec/tensorrt.md, traps), so a step is two matrix products and elementwise
    operations per layer. PyTorch gate order and conventions.
    """

    def __init__(self, name: str, inputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.name, self.hidden, self.layers = name, hidden, layers
        self.gru = nn.GRU(inputs, hidden, layers, batch_first=True)

    def shapes(self) -> Shapes:
        """Return the shapes of its state."""
        return {f"{self.name}.{layer}": (self.hidden,) for layer in range(self.layers)}

    def forward(self, x: Tensor) -> Tensor:
        """Run a sequence [B, T, I] to [B, T, hidden]."""
        return self.gru(x)[0]

    def step(self, x: Tensor, state: State, new: State) -> Tensor:
        """Run one frame [S, I] to [S, hidden]."""
        for layer in range(self.layers):
            key = f"{self.name}.{layer}"
            h = state[key]
            weights = [getattr(self.gru, f"{n}_l{layer}") for n in _GRU_NAMES]
            gates_x = functional.linear(x, weights[0], weights[2])
            gates_h = functional.linear(h, weights[1], weights[3])
            n = self.hidden
            both = torch.sigmoid(gates_x[:, : 2 * n] + gates_h[:, : 2 * n])
            reset, update = both[:, :n], both[:, n:]
            candidate = torch.tanh(gates_x[:, 2 * n :] + reset * gates_h[:, 2 * n :])
            x = candidate + update * (h - candidate)
            new[key] = x
        return x


_GRU_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
