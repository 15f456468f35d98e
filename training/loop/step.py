"""The one training step: generate, teach the discriminator, teach the generator.

Every system goes through it, with or without a discriminator. The generator
side runs once; the discriminator learns from that pass's fakes before it judges
the poses, as in the published iterations.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from training.systems.base import Batch, Draws, Outcome, System


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """Both sides; `system` and `judge` are the plain modules, `run_*` what Fabric made of them."""

    system: System
    run_system: nn.Module
    optimiser: Any
    judge: nn.Module | None = None
    run_judge: nn.Module | None = None
    judge_optimiser: Any = None


class JudgeLoss(nn.Module):
    """The discriminator's loss as a module, so that Fabric can wrap and spread it."""

    def __init__(self, system: System, judge: nn.Module) -> None:
        super().__init__()
        self.judge = judge
        self._loss = system.judging

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of real and generated poses."""
        return self._loss(_Floating(self.judge), real, fake)


class _Floating(nn.Module):
    """A module whose output is float32 whatever ran inside."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = [module]  # not a child: its parameters are its owner's

    def forward(self, poses: Tensor) -> Tensor:
        return self._module[0](poses).float()


def gan_step(
    fabric: Fabric, sides: Sides, batch: Batch, draws: Draws, *, adversarial: bool, clip: float
) -> dict[str, Tensor]:
    """Run one step of both sides; return the terms, `judge` among them where it learnt.

    adversarial: past the warm-up; before it only the generator's own terms count.
    """
    adversarial = adversarial and sides.judge is not None
    outcome: Outcome = sides.run_system(batch, draws, adversarial)
    terms = dict(outcome["terms"])
    logged: dict[str, Tensor] = {}
    if adversarial:
        assert sides.judge is not None
        assert sides.run_judge is not None
        loss = sides.run_judge(batch["poses"], outcome["fake"].detach())
        _descend(fabric, sides.run_judge, sides.judge_optimiser, loss, clip)
        logged["judge"] = loss.detach()
        with frozen(sides.judge), fabric.autocast():
            terms["adversarial"] = sides.system.fooling(_Floating(sides.judge), outcome["poses"])
    _descend(
        fabric, sides.run_system, sides.optimiser, torch.stack(list(terms.values())).sum(), clip
    )
    return {name: term.detach() for name, term in terms.items()} | logged


def _descend(fabric: Fabric, module: nn.Module, optimiser: Any, loss: Tensor, clip: float) -> None:
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    if clip:
        fabric.clip_gradients(module, optimiser, max_norm=clip, error_if_nonfinite=False)
    optimiser.step()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let gradients pass through a module without reaching its parameters."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in module.parameters():
            parameter.requires_grad_(True)


def without_dropout(module: nn.Module) -> None:
    """Switch dropout off for good, where two runs are to be compared."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        elif isinstance(part, nn.GRU):
            part.dropout = 0.0


def recurrent_in_full(module: nn.Module) -> None:
    """Keep GRUs in float32 under mixed precision: their state adds up over the frames."""
    for part in module.modules():
        if isinstance(part, nn.GRU):
            part.forward = _in_full(part.forward)  # type: ignore[method-assign]


def _in_full(forward: Any) -> Any:
    def run(x: Any, hidden: Tensor | None = None) -> Any:
        tensor = x.data if isinstance(x, nn.utils.rnn.PackedSequence) else x
        with torch.autocast(tensor.device.type, enabled=False):
            full = x.to(torch.float32) if isinstance(x, nn.utils.rnn.PackedSequence) else x.float()
            return forward(full, None if hidden is None else hidden.float())

    return run
