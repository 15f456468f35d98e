"""Trimodal's iteration, which HOP shares, and Trimodal as a trained system (baselines.md 6)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.discriminator import Discriminator
from models.layers import STYLE, Style, seed_sequence
from models.trimodal import TrimodalGenerator
from streamer.skeleton import Skeleton
from training.loop.parallel import gather
from training.losses import WindowWeights, adversarial, discrimination, window_terms
from training.systems.base import (
    FRAMES,
    SEEDS,
    Batch,
    Draws,
    Outcome,
    System,
    in_full,
    normal,
    take,
)

_STYLED: Mapping[str, Any] = {
    "regression": None,
    "divergence": None,
    "diversity": None,
    "adversarial": 5.0,
}


class StyledSystem(System):
    """Trimodal's iteration, which HOP shares: two noisy passes and a judged one."""

    def __init__(self, network: nn.Module, weights: Mapping[str, float]) -> None:
        super().__init__(network)
        self.weights = WindowWeights(**take(weights, "weights", _STYLED))

    def run(self, batch: Batch, speaker: Tensor, noise: Tensor | None) -> tuple[Tensor, Style]:
        """Return poses and style of one pass."""
        raise NotImplementedError

    def draws(self, size: int, generator: torch.Generator) -> Draws:
        """Draw the style noise of each pass and who is permuted with whom."""
        return {
            "judged": normal(size, STYLE, generator=generator),
            "noise": normal(size, STYLE, generator=generator),
            "shuffled": normal(size, STYLE, generator=generator),
            "permutation": torch.randperm(size, generator=generator),
        }

    def forward(self, batch: Batch, draws: Draws, adversarial: bool) -> Outcome:
        """Return the terms of baselines.md 6.1."""
        speaker, target = batch["speaker"], batch["poses"]
        outcome: Outcome = {}
        if adversarial:
            with torch.no_grad():
                outcome["fake"], _ = self.run(batch, speaker, draws["judged"])
        poses, style = self.run(batch, speaker, draws["noise"])
        others = gather(speaker)[draws["permutation"]]
        other = self.run(batch, others, draws["shuffled"])
        with torch.autocast(target.device.type, enabled=False):
            out = (poses.float(), in_full(style))
            terms = window_terms(out, other, target, None, self.weights)
        names = ("regression", "divergence", "diversity")
        outcome["terms"] = {name: getattr(terms, name) for name in names}
        outcome["poses"] = poses
        return outcome

    def fooling(self, judge: nn.Module, poses: Tensor) -> Tensor:
        """Return the weighted adversarial term."""
        return self.weights.adversarial * adversarial(judge(poses))

    def judging(self, judge: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss."""
        return discrimination(judge(real), judge(fake))

    def generate(self, batch: Batch, draws: Draws) -> Tensor:
        """Return poses, with drawn style noise as published."""
        return self.run(batch, batch["speaker"], draws["noise"] if draws else None)[0]


class TrimodalSystem(StyledSystem):
    """Trimodal (Yoon et al. 2020)."""

    features = ("samples", "words")
    network: TrimodalGenerator

    def __init__(
        self,
        settings: Mapping[str, Any],
        weights: Mapping[str, float],
        skeleton: Skeleton,
        *,
        words: int,
        speakers: int,
    ) -> None:
        take(settings, "network", {})
        self.pose_dim = 3 * skeleton.vectors
        super().__init__(
            TrimodalGenerator(3 * skeleton.vectors, words=words, speakers=speakers), weights
        )

    def run(self, batch: Batch, speaker: Tensor, noise: Tensor | None) -> tuple[Tensor, Style]:
        """Return poses and style of one pass."""
        pre_seq = seed_sequence(batch["poses"][:, :SEEDS], FRAMES)
        return self.network(pre_seq, batch["samples"], batch["heard"], speaker, noise)

    def judge(self) -> nn.Module:
        """Return the discriminator; its activations have slope 1, as published."""
        return Discriminator(self.pose_dim, slope=1.0)
