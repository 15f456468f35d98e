"""What several processes must share so that they equal one with the whole batch.

Each process takes its rows of every batch. Gradients are averaged, so a mean
over the batch needs nothing; what does: batch statistics, the contrast of every
frame with every other, speakers permuted over the batch, and sums.
"""

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F


def world() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return which of them this is."""
    return dist.get_rank() if world() > 1 else 0


def rows(tensor: Tensor) -> Tensor:
    """Return this process's share of rows that belong to the whole batch."""
    size = len(tensor) // world()
    return tensor[rank() * size : (rank() + 1) * size]


def gather(tensor: Tensor) -> Tensor:
    """Return the rows of all processes, in order of rank; gradients flow back to each."""
    if world() == 1:
        return tensor
    return cast(Tensor, _Gather.apply(tensor))


def total(tensor: Tensor) -> Tensor:
    """Return the sum over all processes; gradients flow back to each."""
    return tensor if world() == 1 else cast(Tensor, _Total.apply(tensor))


def synchronise(module: nn.Module) -> nn.Module:
    """Return the module with batch norms over all processes, if there are several.

    PyTorch's own layer for it runs on GPUs only; on CPUs ours takes its place.
    Names of parameters stay.
    """
    if world() == 1:
        return module
    if next(module.parameters()).device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(parent, name, SharedBatchNorm.of(child))
    return module


class SharedBatchNorm(nn.Module):
    """Batch norm whose statistics are those of all processes' rows, on any device."""

    def __init__(self, channels: int, eps: float, momentum: float) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.num_batches_tracked: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    @classmethod
    def of(cls, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> "SharedBatchNorm":
        """Return one with the parameters and statistics of a plain norm."""
        assert norm.momentum is not None
        shared = cls(norm.num_features, norm.eps, norm.momentum)
        shared.load_state_dict(norm.state_dict())
        return shared.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C] or [B, C, ...]."""
        if not self.training:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        axes = [0, *range(2, x.dim())]
        wide = x.float()
        count = world() * x.numel() // x.shape[1]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        mean = total(wide.sum(axes)) / count
        centred = wide - mean.view(shape)
        variance = total((centred * centred).sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / max(1, count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(world())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous().clone()
        dist.all_reduce(summed)
        return rows(summed)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        summed = tensor.contiguous().clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous().clone()
        dist.all_reduce(summed)
        return summed
