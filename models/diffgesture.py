"""DiffGesture (Zhu et al. 2023): a diffusion transformer over poses (baselines.md 7)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import FEATURE, WaveEncoder, seed_sequence

FRAMES = 34
GUIDANCE = 1.15
_STABLE_BELOW = 25
_HEADS = 8


class Schedule(nn.Module):
    """Noise schedule; entry 0 of each buffer is padding, t runs from 1.

    `sigma` is the posterior deviation that sampling uses; `sigma_flexible` is
    in published checkpoints with weight 0.
    """

    def __init__(self, steps: int = 500) -> None:
        super().__init__()
        beta = torch.cat((torch.zeros(1), torch.linspace(1e-4, 0.02, steps)))
        alpha = 1 - beta
        # A running sum in float32, as published; torch's cumsum keeps more digits.
        running = np.cumsum(torch.log(alpha).numpy(), dtype=np.float32)
        alpha_bar = torch.from_numpy(running).exp()
        ratio = (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])
        self.beta: Tensor
        self.alpha: Tensor
        self.alpha_bar: Tensor
        self.sigma: Tensor
        self.register_buffer("beta", beta)
        self.register_buffer("alpha", alpha)
        self.register_buffer("alpha_bar", alpha_bar)
        self.register_buffer("sigma_flexible", beta.sqrt())
        self.register_buffer("sigma", F.pad((ratio * beta[1:]).sqrt(), (1, 0)))

    @property
    def steps(self) -> int:
        """The number of diffusion steps."""
        return len(self.beta) - 1


class Attention(nn.Module):
    """Multi-head self-attention over all frames, no mask."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, T, H]."""
        q, k, v = self.qkv(x).unflatten(-1, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        return self.project(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, T, H]."""
        x = x + self.attention(self.norm1(x))
        return x + self.contract(F.gelu(self.expand(self.norm2(x))))


class Denoiser(nn.Module):
    """Noisy poses, step and context to the noise estimate."""

    def __init__(self, pose_dim: int, width: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(2 * pose_dim + 4 + FEATURE, width)
        self.positions = nn.Parameter(torch.randn(1, FRAMES, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(4))
        self.norm = nn.LayerNorm(width)
        self.late_blocks = nn.ModuleList(Block(width) for _ in range(4))
        self.late_norm = nn.LayerNorm(width)
        # The published activation has slope 1 (baselines.md 7.1).
        self.head = nn.Sequential(
            nn.Linear(width, width // 2), nn.Identity(), nn.Linear(width // 2, pose_dim)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, beta: Tensor, context: Tensor) -> Tensor:
        """x: [B, 34, D]; beta: [B], the step as published; context: [B, 34, D + 33]."""
        step = torch.stack((beta, beta.sin(), beta.cos()), dim=-1)
        step = step.unsqueeze(1).expand(-1, x.shape[1], -1)
        y = self.inputs(torch.cat((x, step, context), dim=-1)) + self.positions
        for block in self.blocks:
            y = block(y)
        y = self.norm(y)
        for block in self.late_blocks:
            y = block(y)
        return self.head(self.late_norm(y))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SamplingNoise:
    """Every draw of one reverse process.

    start: x_T, [B, 34, D]; frame: [steps + 1, B, 34, D] by t; shared: [25, B, D]
    by t, the part that all frames share at t < 25. Rows 0 and 1 are not used.
    """

    start: Tensor
    frame: Tensor
    shared: Tensor

    @classmethod
    def drawn(
        cls, shape: tuple[int, int, int], steps: int, generator: torch.Generator | None = None
    ) -> "SamplingNoise":
        """Draw noise for poses of `shape` (B, 34, D)."""
        return cls(
            start=torch.randn(shape, generator=generator),
            frame=torch.randn((steps + 1, *shape), generator=generator),
            shared=torch.randn((_STABLE_BELOW, shape[0], shape[2]), generator=generator),
        )

    def at(self, t: int) -> Tensor:
        """Return the step noise at t: unit variance, more alike over frames as t falls."""
        if t >= _STABLE_BELOW:
            return self.frame[t]
        share = ((_STABLE_BELOW - t) / _STABLE_BELOW) ** 2
        return share * self.shared[t].unsqueeze(1) + (1 - share**2) ** 0.5 * self.frame[t]


class DiffGesture(nn.Module):
    """Audio and seed poses to poses; no words, no speaker.

    width: 256 for TED Gesture, 512 for TED Expressive. The repository samples
    with the audio encoder in training mode, that is with the statistics of the
    test batch: `model.audio.train()` before `sample` reproduces its numbers.
    """

    def __init__(self, pose_dim: int, *, width: int, steps: int = 500) -> None:
        super().__init__()
        self.audio = WaveEncoder()
        self.null_context = nn.Parameter(torch.randn(1, pose_dim + 1 + FEATURE))
        self.denoiser = Denoiser(pose_dim, width)
        self.schedule = Schedule(steps)

    def context(self, samples: Tensor, seeds: Tensor) -> Tensor:
        """samples: [B, 36267]; seeds: [B, 4, D]. Result: [B, 34, D + 33]."""
        return torch.cat((seed_sequence(seeds, FRAMES), self.audio(samples)), dim=-1)

    def estimate(self, x: Tensor, t: int, context: Tensor, guidance: float = GUIDANCE) -> Tensor:
        """Return the guided noise estimate [B, 34, D] at step t."""
        null = self.null_context.unsqueeze(1).expand_as(context)
        beta = self.schedule.beta[t].expand(2 * len(x))
        both = self.denoiser(torch.cat((x, x)), beta, torch.cat((null, context)))
        without, given = both.chunk(2)
        return without + guidance * (given - without)

    def loss(
        self, poses: Tensor, context: Tensor, t: Tensor, dropped: Tensor, noise: Tensor
    ) -> Tensor:
        """Return the training loss (baselines.md 7.3).

        poses, noise: [B, 34, D]; t: int64 [B] in 1..steps; dropped: bool [B],
        true where the context is replaced by the null vector.
        """
        context = torch.where(dropped[:, None, None], self.null_context.unsqueeze(1), context)
        kept = self.schedule.alpha_bar[t][:, None, None]
        noisy = kept.sqrt() * poses + (1 - kept).sqrt() * noise
        return F.mse_loss(self.denoiser(noisy, self.schedule.beta[t], context), noise)

    def reverse(self, x: Tensor, t: int, context: Tensor, noise: SamplingNoise) -> Tensor:
        """Return x at t - 1 from x at t."""
        s = self.schedule
        estimate = self.estimate(x, t, context)
        part = (1 - s.alpha[t]) / (1 - s.alpha_bar[t]).sqrt()
        mean = 1 / s.alpha[t].sqrt() * (x - part * estimate)
        return mean if t == 1 else mean + s.sigma[t] * noise.at(t)

    @torch.no_grad()
    def sample(self, samples: Tensor, seeds: Tensor, noise: SamplingNoise) -> Tensor:
        """Return poses [B, 34, D]; the seeds are a condition, frames 0..3 are generated."""
        context = self.context(samples, seeds)
        x = noise.start
        for t in range(self.schedule.steps, 0, -1):
            x = self.reverse(x, t, context, noise)
        return x
