"""HA2G and its ablations as a trained system (ha2g.md 2, 3)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from models.discriminator import Discriminator
from models.ha2g import HA2G, HA2GConfig, LevelGenerator
from models.ha2g_audio import BLOCKS, CHANNELS, AudioEncoder, AudioFeatures
from models.layers import FEATURE, STYLE, SummedGRU, TextEncoder
from streamer.errors import UsageError
from streamer.skeleton import Skeleton
from training.angles import Angles
from training.loop.parallel import gather, rank
from training.losses import HA2GWeights, adversarial, discrimination, ha2g_terms
from training.systems.base import (
    SEEDS,
    Batch,
    Draws,
    Outcome,
    System,
    choice,
    in_full,
    normal,
    take,
)

AUDIO: Final = ("mixed", "single", "no_high", "same")
LEVELS: Final = ("all", "holistic", "no_hand", "no_body")
SIZES: Final = ("published", "narrow")

WEIGHTS: Mapping[str, Any] = {
    "regression": None,
    "divergence": 0.1,
    "diversity": 0.05,
    "adversarial": 5.0,
    "positive": 0.2,
    "negative": 0.005,
    "physical": 0.01,
}
NETWORK: Mapping[str, Any] = {"size": "published", "audio": "mixed", "levels": "all"}


class VariedAudioEncoder(AudioEncoder):
    """The audio encoder with the papers' ablations, all of them a change of the mix.

    single: every level reads the high features alone; no_high: low and mid
    only; same: the first level's mix serves all levels.
    """

    variation: str = "mixed"

    def blended(self, mel: Tensor, weights: Tensor) -> AudioFeatures:
        """Return the features under the varied weights [B, 3, K]."""
        match self.variation:
            case "single":
                only = torch.zeros_like(weights)
                only[:, 2] = 1.0
                weights = only
            case "no_high":
                kept = weights[:, :2] / weights[:, :2].sum(1, keepdim=True)
                weights = torch.cat((kept, torch.zeros_like(weights[:, :1])), 1)
            case "same":
                weights = weights[..., :1].expand(-1, -1, weights.shape[2])
            case _:
                pass
        return super().blended(mel, weights)


def ablated_levels(skeleton: Skeleton, levels: str) -> Skeleton:
    """Return the skeleton with fewer levels of the cascade.

    holistic: the whole pose at once; no_hand: no levels for fingers, which come
    with the last of the body; no_body: the body at once, then the fingers.
    """
    if levels == "all":
        return skeleton
    every = skeleton.levels
    fingers = [i for i, vectors in enumerate(every) if _has_fingers(skeleton, vectors)]
    match levels:
        case "holistic":
            return replace(skeleton, levels=every[-1:])
        case "no_hand" if fingers:
            return replace(skeleton, levels=(*every[: fingers[0]], every[-1]))
        case "no_body" if fingers and fingers[0]:
            return replace(skeleton, levels=every[fingers[0] - 1 :])
        case _:
            raise UsageError(
                f"recipe: network.levels {levels!r} needs a skeleton with hands, "
                f"{skeleton.name} has none"
            )


def _has_fingers(skeleton: Skeleton, vectors: tuple[int, ...]) -> bool:
    bones = [skeleton.bones[v] for v in vectors if v < len(skeleton.bones)]
    fingers = ("thumb", "index", "middle", "ring", "pinky", "little")
    return any(name in skeleton.joints[child] for _, child in bones for name in fingers)


def build_ha2g(
    settings: Mapping[str, Any], skeleton: Skeleton, *, words: int, speakers: int
) -> HA2G:
    """Return a fresh network of a recipe; speakers: rows of the tables, 0 being nobody.

    The narrow size has every part of the published one in widths for trying
    things out on a CPU.
    """
    values = take(settings, "network", NETWORK)
    size, variation = choice(values, "size", SIZES), choice(values, "audio", AUDIO)
    skeleton = ablated_levels(skeleton, choice(values, "levels", LEVELS))
    model = HA2G(HA2GConfig(skeleton=skeleton, words=words, speakers=speakers))
    narrow = size == "narrow"
    audio = VariedAudioEncoder(
        speakers,
        len(skeleton.levels),
        channels=(8, 16, 16, 32) if narrow else CHANNELS,
        blocks=(1, 1, 1, 1) if narrow else BLOCKS,
    )
    audio.variation = variation
    model.audio = audio
    if narrow:
        model.contrast_text = TextEncoder(words, channels=64, blocks=2)
        for module, level in zip(model.generators, skeleton.levels, strict=True):
            generator, dim = cast(LevelGenerator, module), 3 * len(level)
            generator.text = TextEncoder(words, channels=64, blocks=2)
            inputs = dim + 1 + 2 * FEATURE + STYLE
            generator.recurrent = SummedGRU(inputs, 64, 2, dropout=0.3)
            generator.head = nn.Sequential(
                nn.Linear(64, 32), nn.LeakyReLU(0.01), nn.Linear(32, dim)
            )
    return model


class HA2GSystem(System):
    """The published iteration: audio once, three passes, seven terms (ha2g.md 3.2)."""

    features = ("mel", "words")
    network: HA2G

    def __init__(
        self,
        settings: Mapping[str, Any],
        weights: Mapping[str, float],
        skeleton: Skeleton,
        angles: Angles,
        *,
        words: int,
        speakers: int,
    ) -> None:
        super().__init__(build_ha2g(settings, skeleton, words=words, speakers=speakers))
        self.weights = HA2GWeights(**take(weights, "weights", WEIGHTS))
        self.angles = angles

    def draws(self, size: int, generator: torch.Generator) -> Draws:
        """Draw the style noise of each pass and who is permuted with whom."""
        levels = len(self.network.generators)
        return {
            "judged": normal(size, levels, STYLE, generator=generator),
            "noise": normal(size, levels, STYLE, generator=generator),
            "shuffled": normal(size, levels, STYLE, generator=generator),
            "permutation": torch.randperm(size, generator=generator),
        }

    def forward(self, batch: Batch, draws: Draws, adversarial: bool) -> Outcome:
        """Return the terms of ha2g.md 3.2; the contrast is over all processes' frames."""
        network, speaker, target = self.network, batch["speaker"], batch["poses"]
        heard, seeds = batch["heard"], target[:, :SEEDS]
        audio = network.audio(batch["mel"], speaker)
        text = network.contrast_text(batch["words"])
        outcome: Outcome = {}
        if adversarial:
            with torch.no_grad():
                judged = network.generate(audio, heard, speaker, seeds, draws["judged"])
            outcome["fake"] = judged.poses[-1]
        out = network.generate(audio, heard, speaker, seeds, draws["noise"])
        others = gather(speaker)[draws["permutation"]]
        other = network.generate(audio, heard, others, seeds, draws["shuffled"])
        all_audio = replace(audio, high=gather(audio.high.float()), low=gather(audio.low.float()))
        with torch.autocast(target.device.type, enabled=False):
            terms = ha2g_terms(
                network,
                replace(
                    out,
                    poses=tuple(p.float() for p in out.poses),
                    styles=tuple(map(in_full, out.styles)),
                ),
                other,
                target=target,
                text=text.float(),
                audio=all_audio,
                fake=None,
                angles=self.angles,
                weights=self.weights,
                first=rank() * len(target),
            )
        names = ("regression", "divergence", "diversity", "positive", "negative", "physical")
        outcome["terms"] = {name: getattr(terms, name) for name in names}
        outcome["poses"] = out.poses[-1]
        return outcome

    def judge(self) -> nn.Module:
        """Return the discriminator of ha2g.md 2.6."""
        return Discriminator(3 * self.network.config.skeleton.vectors, slope=0.01)

    def fooling(self, judge: nn.Module, poses: Tensor) -> Tensor:
        """Return the weighted adversarial term."""
        return self.weights.adversarial * adversarial(judge(poses))

    def judging(self, judge: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss."""
        return discrimination(judge(real), judge(fake))

    def generate(self, batch: Batch, draws: Draws) -> Tensor:
        """Return the finest poses, with drawn style noise as published."""
        seeds = batch["poses"][:, :SEEDS]
        noise = draws["noise"] if draws else None
        return self.network(batch["mel"], batch["heard"], batch["speaker"], seeds, noise)
