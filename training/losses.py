"""The loss terms of HA2G, Trimodal, HOP and the other baselines (ha2g.md 3, hop.md 6).

Single terms first, then each system's sum. Poses are mean-subtracted
direction vectors, [B, T, D].
"""

from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ha2g import HA2G, Cascade
from models.ha2g_audio import AudioFeatures
from models.layers import Style
from training.angles import Angles

_TINY = 1e-8


def huber(out: Tensor, target: Tensor, delta: float = 0.1) -> Tensor:
    """Return delta * smooth_l1(out / delta, target / delta), the mean over everything."""
    return F.smooth_l1_loss(out / delta, target / delta) * delta


def divergence(style: Style) -> Tensor:
    """Return the KLD of the style to a standard normal, the mean over batch and width."""
    return -0.5 * (1 + style.log_variance - style.mean**2 - style.log_variance.exp()).mean()


def style_diversity(out: Tensor, style: Style, other: Tensor, other_style: Style) -> Tensor:
    """Return the term that rewards other poses for other styles: at least -1000.

    other: poses of the same window with the batch's speakers permuted; it and
    both z are constants here, as published.
    """
    apart = 0.05 * F.smooth_l1_loss(out / 0.05, other.detach() / 0.05, reduction="none")
    codes = (style.z - other_style.z).detach().abs().mean(1)
    return (-apart.sum((1, 2)) / (codes + 1e-5)).clamp(min=-1000).mean()


def adversarial(fake: Tensor) -> Tensor:
    """Return the generator's term of the probabilities that its poses got."""
    return -torch.log(fake + _TINY).mean()


def discrimination(real: Tensor, fake: Tensor) -> Tensor:
    """Return the discriminator's loss; `fake` must come from detached poses."""
    return -(torch.log(real + _TINY) + torch.log(1 - fake + _TINY)).mean()


def contrastive(text: Tensor, audio: Tensor, *, first: int = 0) -> Tensor:
    """Return the frame-level contrast of two features [B, T, C] (ha2g.md 3.3).

    audio may hold the windows of all processes; then `first` is where text's begin.

    Logits are 1 / distance of the normalised rows, the right answer is the same
    frame of the same clip. Distances come from a matrix product: the plain form
    needs 9.7 GB at batch 256. The published TED Gesture code guards against
    distance 0 by 1e-8, TED Expressive's does not; this one always does.
    """
    rows = F.normalize(text.flatten(0, 1), dim=-1)
    columns = F.normalize(audio.flatten(0, 1), dim=-1)
    distance = torch.cdist(rows, columns, compute_mode="use_mm_for_euclid_dist")
    right = torch.arange(len(rows), device=rows.device) + first * text.shape[1]
    return F.cross_entropy(1 / (distance + _TINY), right)


def physical(poses: Tensor, mean: Tensor, angles: Angles) -> Tensor:
    """Return how far the angles are from the data's (ha2g.md 3.4).

    poses: [B, T, D]; mean: [V, 3], the mean directions. Sum over the pairs.
    """
    directions = poses.unflatten(-1, (-1, 3)) + mean
    off = (angles.of(directions, margin=1e-7) - poses.new_tensor(angles.mean)) ** 2
    return (off / (2 * poses.new_tensor(angles.variance))).mean((0, 1)).sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowWeights:
    """Weights of Trimodal's and HOP's terms, and the epochs before the GAN starts."""

    regression: float
    divergence: float
    diversity: float
    adversarial: float = 5.0
    warm_up_epochs: int = 10

    @classmethod
    def published(
        cls, network: Literal["trimodal", "hop"], skeleton: str = "ted_gesture"
    ) -> "WindowWeights":
        """Return the weights of the released code (hop.md 6)."""
        match (network, skeleton):
            case ("trimodal", _):
                return cls(regression=500, divergence=0.1, diversity=0.05)
            case ("hop", "ted_gesture"):
                return cls(regression=600, divergence=0.6, diversity=0.4)
            case ("hop", _):
                return cls(regression=2100, divergence=0.8, diversity=0.5)

    def adversarial_at(self, epoch: int) -> bool:
        """Say whether the GAN terms count in an epoch (from 0): after the warm-up only."""
        return epoch > self.warm_up_epochs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowTerms:
    """Weighted terms of one generator step; their sum is the loss."""

    regression: Tensor
    divergence: Tensor
    diversity: Tensor
    adversarial: Tensor

    def total(self) -> Tensor:
        """Return the loss."""
        return _total(self)


def window_terms(
    out: tuple[Tensor, Style],
    other: tuple[Tensor, Style],
    target: Tensor,
    fake: Tensor | None,
    weights: WindowWeights,
) -> WindowTerms:
    """Return Trimodal's or HOP's generator terms.

    out, other: poses and style of the true and of the permuted speakers; fake:
    the discriminator's probabilities of `out`, None during the warm-up.
    """
    poses, style = out
    return WindowTerms(
        regression=weights.regression * huber(poses, target),
        divergence=weights.divergence * divergence(style),
        diversity=weights.diversity * style_diversity(poses, style, *other),
        adversarial=_weighted(weights.adversarial, fake, poses),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HA2GWeights:
    """Weights of HA2G's terms (ha2g.md 3.1)."""

    regression: float
    divergence: float = 0.1
    diversity: float = 0.05
    adversarial: float = 5.0
    positive: float = 0.2
    negative: float = 0.005
    physical: float = 0.01
    warm_up_epochs: int = 10

    @classmethod
    def published(cls, skeleton: str) -> "HA2GWeights":
        """Return the weights of the published configuration of a TED skeleton."""
        return cls(regression=70 if skeleton == "ted_gesture" else 250)

    def adversarial_at(self, epoch: int) -> bool:
        """Say whether the GAN terms count in an epoch (from 0): after the warm-up only."""
        return epoch > self.warm_up_epochs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HA2GTerms:
    """Weighted terms of one HA2G generator step; their sum is the loss."""

    regression: Tensor
    divergence: Tensor
    diversity: Tensor
    adversarial: Tensor
    positive: Tensor
    negative: Tensor
    physical: Tensor

    def total(self) -> Tensor:
        """Return the loss."""
        return _total(self)


def ha2g_terms(
    model: HA2G,
    out: Cascade,
    other: Cascade,
    *,
    target: Tensor,
    text: Tensor,
    audio: AudioFeatures,
    fake: Tensor | None,
    angles: Angles,
    weights: HA2GWeights,
    first: int = 0,
) -> HA2GTerms:
    """Return HA2G's generator terms (ha2g.md 3.2).

    out, other: cascades of the true and of the permuted speakers, on the same
    audio; target: [B, 34, D]; text: the extra text encoder's feature; fake: the
    discriminator's probabilities of the finest poses, None during the warm-up;
    first: see `contrastive`.
    """
    levels = [
        huber(poses, target.index_select(-1, model.level_channels(k)))
        for k, poses in enumerate(out.poses)
    ]
    poses, style = out.poses[-1], out.styles[-1]
    mean = poses.new_tensor(model.config.skeleton.mean)
    diversity = style_diversity(poses, style, other.poses[-1], other.styles[-1])
    return HA2GTerms(
        regression=weights.regression * torch.stack(levels).sum(),
        divergence=weights.divergence * divergence(style),
        diversity=weights.diversity * diversity,
        adversarial=_weighted(weights.adversarial, fake, poses),
        positive=weights.positive * contrastive(text, audio.high, first=first),
        negative=-weights.negative * contrastive(text, audio.low, first=first),
        physical=weights.physical * physical(poses, mean, angles),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seq2SeqTerms:
    """seq2seq's terms before their weights (baselines.md 3.4)."""

    squared: Tensor
    continuity: Tensor
    variance: Tensor

    def total(self) -> Tensor:
        """Return 250 * squared + 0.1 * continuity + 25 * variance, the last being negative."""
        return 250 * self.squared + 0.1 * self.continuity + 25 * self.variance


def seq2seq_terms(out: Tensor, target: Tensor) -> Seq2SeqTerms:
    """Return seq2seq's terms; the variance term rewards large outputs, as published."""
    return Seq2SeqTerms(
        squared=F.mse_loss(out, target),
        continuity=out.diff(dim=1).abs().sum() / out.numel(),
        variance=-out.norm(dim=1).sum() / out.numel(),
    )


def speech2gesture_generator(out: Tensor, target: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted L1 and adversarial terms; fake: patch scores of the out motion."""
    return 100 * F.l1_loss(out, target), 10 * ((1 - fake) ** 2).mean()


def speech2gesture_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Return the least-squares loss of patch scores."""
    return ((1 - real) ** 2).mean() + (fake**2).mean()


def joint_embedding_loss(out: Tensor, target: Tensor) -> Tensor:
    """Return the sum over samples of the mean absolute error."""
    return (out - target).abs().mean((1, 2)).sum()


def _weighted(weight: float, fake: Tensor | None, like: Tensor) -> Tensor:
    return like.new_zeros(()) if fake is None else weight * adversarial(fake)


def _total(terms: WindowTerms | HA2GTerms) -> Tensor:
    return torch.stack([getattr(terms, f.name) for f in fields(terms)]).sum()
