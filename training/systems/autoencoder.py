"""The FGD auto-encoders as a trained system, both architectures (ha2g.md 6.1)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from models.autoencoder import PoseAutoEncoder
from streamer.skeleton import Skeleton
from training.loop.parallel import world
from training.systems.base import Batch, Draws, Outcome, System, choice, take

_SETTINGS: Mapping[str, Any] = {"kind": "plain", "latent": 0}
LATENT: Mapping[str, int] = {"variational": 32, "plain": 128}


class AutoEncoderSystem(System):
    """Poses to poses: absolute error, error of frame differences, and of directions.

    kind: `variational` is TED Gesture's (latent 32, its feature the mean),
    `plain` TED Expressive's (latent 128). The loss is a sum over windows, as
    published; the cosine term is TED Expressive's alone.
    """

    network: PoseAutoEncoder

    def __init__(
        self, settings: Mapping[str, Any], weights: Mapping[str, float], skeleton: Skeleton
    ) -> None:
        values = take(settings, "network", _SETTINGS)
        kind = choice(values, "kind", tuple(LATENT))
        latent = int(values["latent"]) or LATENT[kind]
        super().__init__(
            PoseAutoEncoder(3 * skeleton.vectors, latent, variational=kind == "variational")
        )
        self.weights = take(weights, "weights", {"pose": 1.0, "speed": 1.0, "cosine": 0.001})

    def forward(self, batch: Batch, draws: Draws, adversarial: bool) -> Outcome:
        """Return the weighted terms."""
        target = batch["poses"]
        out = self.generate(batch, draws).float()
        cosine = F.cosine_similarity(out.unflatten(-1, (-1, 3)), target.unflatten(-1, (-1, 3)), -1)
        terms = {
            "pose": (out - target).abs().mean((1, 2)).sum(),
            "speed": (out.diff(dim=1) - target.diff(dim=1)).abs().mean((1, 2)).sum(),
            "cosine": (1 - cosine).sum(),
        }
        return {"terms": {k: world() * self.weights[k] * v for k, v in terms.items()}}

    def generate(self, batch: Batch, draws: Draws) -> Tensor:
        """Return the windows made again."""
        return self.network(batch["poses"])[0]
