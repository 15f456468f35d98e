"""What the loop sees of a network: terms, poses for the discriminator, and its draws.

A system is the generator side as one module. Its `forward` is everything of a
step that must be inside data-parallel and compiled code: all passes and all
loss terms but the adversarial one, which waits for the discriminator's step.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from models.layers import Style
from streamer.errors import UsageError

FRAMES, SEEDS = 34, 4

Feature = Literal["mel", "samples", "hop_mel", "hop_released_mel", "words", "pieces", "listed"]
"""What a system reads beside poses and speaker; the data reader computes no other."""

Draws = dict[str, Tensor]
"""Everything random of a step but dropout, [B, ...] for the whole batch of all processes."""


class Batch(TypedDict, total=False):
    """One batch; B windows of T = 34 frames, longer for streaming networks.

    poses: [B, T, D] mean-subtracted; speaker: int64 [B], from 1. mel: [B, 128,
    70] in decibels; samples: [B, 36267]; hop_mel: [B, 34, 128], of either
    preset. words: int64
    [B, 34], where they were spoken; heard: the same, where and as they reached
    the generators. pieces: int64 [B, 34, P], heard too. listed: int64 [B, L]
    with lengths [B], the longest first. image to lookahead, style and voiced: as
    `Ha2gStream.forward` takes them; code and move: int64 [B, T], rows of the
    network's table and decisions; known: bool [B, T], rows with a target.
    """

    poses: Tensor
    speaker: Tensor
    mel: Tensor
    samples: Tensor
    hop_mel: Tensor
    words: Tensor
    heard: Tensor
    pieces: Tensor
    listed: Tensor
    lengths: Tensor
    image: Tensor
    level: Tensor
    word: Tensor
    word_info: Tensor
    lookahead: Tensor
    style: Tensor
    code: Tensor
    move: Tensor
    known: Tensor
    voiced: Tensor


class Outcome(TypedDict, total=False):
    """What one forward pass returns.

    terms: weighted, their sum is the loss; poses: what the adversarial term
    judges; fake: what the discriminator learns from, without gradient.
    """

    terms: dict[str, Tensor]
    poses: Tensor
    fake: Tensor


class System(nn.Module):
    """A network with its losses; `network` is what a run is about.

    features: what its batches must hold. Subclasses take every weight they
    know from the recipe and refuse others.
    """

    features: tuple[Feature, ...] = ()

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def draws(self, size: int, generator: torch.Generator) -> Draws:
        """Draw what a step of `size` windows needs."""
        return {}

    def forward(self, batch: Batch, draws: Draws, adversarial: bool) -> Outcome:
        """Return terms, and poses to judge where `adversarial`."""
        raise NotImplementedError

    def judge(self) -> nn.Module | None:
        """Return a fresh discriminator, None for systems that have none."""
        return None

    def fooling(self, judge: nn.Module, poses: Tensor) -> Tensor:
        """Return the generator's weighted adversarial term."""
        raise NotImplementedError

    def judging(self, judge: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss."""
        raise NotImplementedError

    def generate(self, batch: Batch, draws: Draws) -> Tensor:
        """Return poses [B, 34, D] as in evaluation; call in evaluation mode."""
        raise NotImplementedError

    def validation(self, batch: Batch, draws: Draws) -> Tensor:
        """Return one loss per window [B]: the mean absolute error of all frames, as published."""
        return (self.generate(batch, draws) - batch["poses"]).abs().mean((1, 2))


def take(given: Mapping[str, Any], what: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings `given` over their defaults; raises `UsageError` for others.

    known: name to default; None where a recipe must say it.
    """
    if unknown := sorted(set(given) - set(known)):
        listed = ", ".join(known) or "none"
        raise UsageError(f"recipe: no setting {what}.{unknown[0]}; there are {listed}")
    values = {**known, **given}
    if missing := [name for name, value in values.items() if value is None]:
        raise UsageError(f"recipe: {what}.{missing[0]} not given")
    return values


def choice(settings: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    """Return a setting that must be one of `choices`; raises `UsageError`."""
    value = settings[name]
    if value not in choices:
        raise UsageError(f"recipe: network.{name} is {value!r}, expected {', '.join(choices)}")
    return str(value)


def normal(size: int, *shape: int, generator: torch.Generator) -> Tensor:
    """Return standard normal numbers [size, *shape]."""
    return torch.randn(size, *shape, generator=generator)


def in_full(style: Style) -> Style:
    """Return a style in float32, whatever precision it was computed in."""
    return Style(
        z=style.z.float(), mean=style.mean.float(), log_variance=style.log_variance.float()
    )
