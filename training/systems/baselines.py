"""The baselines without style as trained systems (baselines.md 3 to 5 and 7)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.diffgesture import DiffGesture, SamplingNoise
from models.joint_embedding import CODE, JointEmbedding
from models.seq2seq import Seq2Seq
from models.speech2gesture import PatchDiscriminator, Speech2GestureGenerator
from streamer.skeleton import Skeleton
from training.loop.parallel import world
from training.losses import (
    joint_embedding_loss,
    seq2seq_terms,
    speech2gesture_discriminator,
    speech2gesture_generator,
)
from training.systems.base import FRAMES, SEEDS, Batch, Draws, Outcome, System, normal, take

_SEQ2SEQ: Mapping[str, Any] = {"squared": 250.0, "continuity": 0.1, "variance": 25.0}


class Seq2SeqSystem(System):
    """Attention seq2seq; a sample depends on the longest text beside it, as published."""

    features = ("listed",)
    network: Seq2Seq

    def __init__(
        self,
        settings: Mapping[str, Any],
        weights: Mapping[str, float],
        skeleton: Skeleton,
        *,
        words: int,
    ) -> None:
        take(settings, "network", {})
        super().__init__(Seq2Seq(3 * skeleton.vectors, words=words))
        self.weights = take(weights, "weights", _SEQ2SEQ)

    def forward(self, batch: Batch, draws: Draws, adversarial: bool) -> Outcome:
        """Return the terms of baselines.md 3.4."""
        poses = self.generate(batch, draws)
        terms, w = seq2seq_terms(poses.float(), batch["poses"]), self.weights
        return {
            "terms": {
                "squared": w["squared"] * terms.squared,
                "continuity": w["continuity"] * terms.continuity,
                "variance": w["variance"] * terms.variance,
            }
        }

    def generate(self, batch: Batch, draws: Draws) -> Tensor:
        """Return poses; frame 0 is the first seed."""
        return self.network(batch["listed"], batch["lengths"], batch["poses"][:, :SEEDS])[0]


class Speech2GestureSystem(System):
    """Speech2Gesture: L1 and a least-squares GAN on motion, from the first step on."""

    features = ("mel",)
    network: Speech2GestureGenerator

    def __init__(
        self, settings: Mapping[str, Any], weights: Mapping[str, float], skeleton: Skeleton
    ) -> None:
        take(settings, "network", {})
        take(weights, "weights", {})
        self.pose_dim = 3 * skeleton.vectors
        super().__init__(Speech2GestureGenerator(3 * skeleton.vectors))

    def forward(self, batch: Batch, draws: Draws, adversarial: bool) -> Outcome:
        """Return the L1 term; the one pass is judged, too (baselines.md 4.4)."""
        poses = self.generate(batch, draws)
        nothing = poses.new_zeros(1)
        regression, _ = speech2gesture_generator(poses.float(), batch["poses"], nothing)
        return {"terms": {"regression": regression}, "poses": poses, "fake": poses.detach()}

    def judge(self) -> nn.Module:
        """Return the discriminator of motion."""
        return PatchDiscriminator(self.pose_dim)

    def fooling(self, judge: nn.Module, poses: Tensor) -> Tensor:
        """Return the weighted least-squares term."""
        _, fooled = speech2gesture_generator(poses, poses, judge(poses.diff(dim=1)))
        return fooled

    def judging(self, judge: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss, on motion."""
        return speech2gesture_discriminator(judge(real.diff(dim=1)), judge(fake.diff(dim=1)))

    def generate(self, batch: Batch, draws: Draws) -> Tensor:
        """Return poses."""
        return self.network(batch["mel"], batch["poses"][:, :SEEDS])


class JointEmbeddingSystem(System):
    """Joint Embedding: one coin a step decides from which code all windows are decoded."""

    features = ("samples", "words")
    network: JointEmbedding

    def __init__(
        self,
        settings: Mapping[str, Any],
        weights: Mapping[str, float],
        skeleton: Skeleton,
        *,
        words: int,
    ) -> None:
        take(settings, "network", {})
        take(weights, "weights", {})
        super().__init__(JointEmbedding(3 * skeleton.vectors, words=words))

    def draws(self, size: int, generator: torch.Generator) -> Draws:
        """Draw the code's noise and the coin."""
        coin = torch.rand(1, generator=generator) < 0.5
        return {"noise": normal(size, CODE, generator=generator), "speech": coin.expand(size)}

    def forward(self, batch: Batch, draws: Draws, adversarial: bool) -> Outcome:
        """Return the loss, a sum over all processes' windows (baselines.md 5.4)."""
        target, seeds = batch["poses"], batch["poses"][:, :SEEDS]
        if bool(draws["speech"][0]):
            poses = self.generate(batch, draws)
        else:
            poses, _ = self.network.from_pose(target, seeds)
        return {"terms": {"regression": world() * joint_embedding_loss(poses.float(), target)}}

    def generate(self, batch: Batch, draws: Draws) -> Tensor:
        """Return poses from speech."""
        seeds, noise = batch["poses"][:, :SEEDS], draws["noise"] if draws else None
        return self.network(batch["heard"], batch["samples"], seeds, noise)


class DiffGestureSystem(System):
    """DiffGesture: noise estimation; its validation is the loss at drawn steps."""

    features = ("samples",)
    network: DiffGesture

    def __init__(
        self, settings: Mapping[str, Any], weights: Mapping[str, float], skeleton: Skeleton
    ) -> None:
        values = take(settings, "network", {"width": 512, "steps": 500})
        take(weights, "weights", {})
        self.pose_dim = 3 * skeleton.vectors
        width, steps = int(values["width"]), int(values["steps"])
        super().__init__(DiffGesture(self.pose_dim, width=width, steps=steps))

    def draws(self, size: int, generator: torch.Generator) -> Draws:
        """Draw the diffusion steps, which contexts are dropped, and the noise."""
        steps = self.network.schedule.steps
        return {
            "t": torch.randint(1, steps + 1, (size,), generator=generator),
            "dropped": torch.rand(size, generator=generator) < 0.1,
            "noise": normal(size, FRAMES, self.pose_dim, generator=generator),
        }

    def forward(self, batch: Batch, draws: Draws, adversarial: bool) -> Outcome:
        """Return the loss of baselines.md 7.3."""
        poses = batch["poses"]
        context = self.network.context(batch["samples"], poses[:, :SEEDS])
        loss = self.network.loss(poses, context, draws["t"], draws["dropped"], draws["noise"])
        return {"terms": {"noise": loss}}

    def generate(self, batch: Batch, draws: Draws) -> Tensor:
        """Return poses by the whole reverse process, in evaluation mode."""
        shape = (len(batch["poses"]), FRAMES, self.pose_dim)
        noise = SamplingNoise.drawn(shape, self.network.schedule.steps)
        return self.network.sample(batch["samples"], batch["poses"][:, :SEEDS], noise)

    def validation(self, batch: Batch, draws: Draws) -> Tensor:
        """Return the loss for every window: 500 reverse steps a validation would be too many."""
        poses, network = batch["poses"], self.network
        context = network.context(batch["samples"], poses[:, :SEEDS])
        kept = network.schedule.alpha_bar[draws["t"]][:, None, None]
        noisy = kept.sqrt() * poses + (1 - kept).sqrt() * draws["noise"]
        out = network.denoiser(noisy, network.schedule.beta[draws["t"]], context)
        return ((out - draws["noise"]) ** 2).mean((1, 2))
