"""HOP, Trimodal and the other baselines as trained systems (hop.md 6, baselines.md 3 to 7)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from models.diffgesture import DiffGesture, SamplingNoise
from models.discriminator import Discriminator
from models.hop import MEL_BANDS, Hop, HopConfig
from models.hop_graph import RHYTHM, GraphFeatures
from models.joint_embedding import CODE, JointEmbedding
from models.language import Kind, LanguageModel, Pieces, load_language
from models.layers import STYLE, Style, SummedGRU, WaveEncoder, seed_sequence
from models.seq2seq import Seq2Seq
from models.speech2gesture import PatchDiscriminator, Speech2GestureGenerator
from models.trimodal import TrimodalGenerator
from streamer.skeleton import Skeleton
from training.loop.parallel import gather, world
from training.losses import (
    WindowWeights,
    adversarial,
    discrimination,
    joint_embedding_loss,
    seq2seq_terms,
    speech2gesture_discriminator,
    speech2gesture_generator,
    window_terms,
)
from training.systems.base import (
    FRAMES,
    SEEDS,
    Batch,
    Draws,
    Outcome,
    System,
    choice,
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
            terms = window_terms((poses.float(), style), other, target, None, self.weights)
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


class PlainAudio(nn.Module):
    """HOP without re-programming: mel frames go to the language model by one linear map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(MEL_BANDS, width)

    def forward(self, mel: Tensor, table: Tensor) -> Tensor:
        """mel: [B, T, 128]; table is not read. Result: [B, T, width]."""
        return self.project(mel)


class PlainMotion(nn.Module):
    """HOP without its graph: seeds as they are, and Trimodal's waveform encoder (hop.md 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.audio = WaveEncoder()

    def forward(self, samples: Tensor, known: Tensor, given: Tensor) -> GraphFeatures:
        """samples: [B, n]; known: [B, T, 3 N]; given: [B, T, 1]."""
        return GraphFeatures(pose=torch.cat((known, given), -1), rhythm=self.audio(samples))


LANGUAGES: Final = ("minilm", "bert", "gpt2", "none", "random")
_HOP: Mapping[str, Any] = {
    "preset": "hop",
    "language": "minilm",
    "language_folder": "",
    "shuffle": False,
    "prototypes": 1500,
    "graph": True,
    "reprogramming": True,
}


def build_hop(
    settings: Mapping[str, Any], skeleton: Skeleton, *, speakers: int
) -> tuple[Hop, Pieces]:
    """Return a fresh HOP of a recipe and its rule from words to pieces."""
    values = take(settings, "network", _HOP)
    kind = cast(Kind, choice(values, "language", LANGUAGES))
    folder = Path(values["language_folder"]) if values["language_folder"] else None
    language, pieces = load_language(kind, folder, shuffle=0 if values["shuffle"] else None)
    preset: Any = choice(values, "preset", ("hop", "hop_released"))
    config = HopConfig(
        skeleton=skeleton, speakers=speakers, preset=preset, prototypes=int(values["prototypes"])
    )
    network = Hop(config, language)
    if not values["reprogramming"]:
        network.reprogramming = cast(Any, PlainAudio(language.width))
    if not values["graph"]:
        network.graph = cast(Any, PlainMotion())
        width = network.recurrent.gru.input_size - RHYTHM * skeleton.vectors + 32
        network.recurrent = SummedGRU(width, network.recurrent.hidden, 4)
    return network, pieces


class HopSystem(StyledSystem):
    """HOP: clean or as released; seeds as the preset has them."""

    network: Hop
    pieces: Pieces

    def __init__(
        self,
        settings: Mapping[str, Any],
        weights: Mapping[str, float],
        skeleton: Skeleton,
        *,
        speakers: int,
    ) -> None:
        network, pieces = build_hop(settings, skeleton, speakers=speakers)
        super().__init__(network, weights)
        released = network.config.preset == "hop_released"
        self.features = ("hop_released_mel" if released else "hop_mel", "samples", "pieces")
        self.pieces = pieces

    def run(self, batch: Batch, speaker: Tensor, noise: Tensor | None) -> tuple[Tensor, Style]:
        """Return poses and style of one pass."""
        seeds = batch["poses"][:, : self.network.config.seeds]
        mel, pieces, samples = batch["hop_mel"], batch["pieces"], batch["samples"]
        return self.network(mel, pieces, samples, speaker, seeds, noise)

    def judge(self) -> nn.Module:
        """Return the discriminator, which sees noisy poses (hop.md 5)."""
        return self.network.discriminator()


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


_SEQ2SEQ: Mapping[str, Any] = {"squared": 250.0, "continuity": 0.1, "variance": 25.0}


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
