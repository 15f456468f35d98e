"""Validation in the loop: the error of held windows, and FGD where an auto-encoder is given."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from streamer.errors import InputError, UsageError
from training.loop.runs import load_run
from training.loop.saving import load_trained, trained_tensors
from training.loop.windows import WindowSet, collate
from training.metrics import frechet_distance
from training.systems.autoencoder import AutoEncoderSystem
from training.systems.base import Batch, System

_BATCH = 64
_MOST = 4096
"""Windows at most: enough for a choice between checkpoints, published evaluation has its own."""


class Validation:
    """Held windows, always the same ones with the same draws.

    decides: the figure by which one set of weights is better than another.
    """

    def __init__(self, windows: WindowSet, fgd: Path | None) -> None:
        if not len(windows):
            raise InputError("the validation split has no window; --set validate_every=0 to go on")
        self.windows = windows
        self.encoder: AutoEncoderSystem | None = None
        self.decides = "error"
        if fgd is not None:
            run = load_run(fgd)
            if not isinstance(run.system, AutoEncoderSystem):
                raise UsageError(f"{fgd}: a run of {run.recipe.name}, expected autoencoder")
            if run.facts.skeleton != windows.store.skeleton:
                raise UsageError(f"{fgd}: trained on other directions than this store's")
            self.encoder, self.decides = run.system, "fgd"
            if len(windows) < 2:
                raise InputError("FGD needs two validation windows or more")

    @torch.no_grad()
    def run(
        self, system: System, weights: Mapping[str, Tensor], fabric: Fabric
    ) -> dict[str, float]:
        """Return the figures of some weights; the system's own come back afterwards."""
        kept = {k: v.clone() for k, v in trained_tensors(system.network).items()}
        load_trained(system.network, weights, "validation")
        system.eval()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return self._figures(system, fabric)
        finally:
            load_trained(system.network, kept, "validation")
            system.train()

    def _figures(self, system: System, fabric: Fabric) -> dict[str, float]:
        errors: list[Tensor] = []
        made: list[Any] = []
        real: list[Any] = []
        generator = torch.Generator().manual_seed(0)
        for batch in self._batches(fabric):
            drawn = system.draws(len(batch["poses"]), generator)
            draws = {k: v.to(fabric.device) for k, v in drawn.items()}
            with fabric.autocast():
                errors.append(system.validation(batch, draws).float().cpu())
                if self.encoder is not None:
                    poses = system.generate(batch, draws).float()
                    encoder = self.encoder.network.to(fabric.device)
                    made.append(encoder.features(poses).cpu().numpy())
                    real.append(encoder.features(batch["poses"]).cpu().numpy())
        figures = {"error": float(torch.cat(errors).mean())}
        if made:
            figures["fgd"] = frechet_distance(np.concatenate(made), np.concatenate(real))
        return figures

    def _batches(self, fabric: Fabric) -> Iterator[Batch]:
        keys = [(i, i) for i in range(min(len(self.windows), _MOST))]
        for first in range(0, len(keys), _BATCH):
            batch = collate([self.windows[key] for key in keys[first : first + _BATCH]])
            yield cast(Batch, fabric.to_device(batch))
