"""The streaming networks on a store of recordings, with an offline network as their teacher.

Terms are those of `fit`; with a teacher comes the Huber distance to what the
offline network makes of the same speech, 0.3 of the pose term (hop.md 13).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from models.families import Family, fresh_network, presets
from models.rhythm import true_course
from streamer.errors import UsageError
from streamer.skeleton import Skeleton
from training.dataset import Batch as StreamBatch
from training.losses import huber
from training.losses_stream import LossWeights, StreamLoss
from training.systems.base import FRAMES, SEEDS, Batch, Draws, Outcome, System, take
from training.systems.gestures import CODES

_WEIGHTS: Mapping[str, Any] = {
    "pose": 1.0,
    "speed": 2.0,
    "shake": 2.0,
    "place": 1.0,
    "move": 0.2,
    "voice": 0.05,
    "teacher": 0.3,
}
STRIDE = FRAMES - SEEDS


class StreamSystem(System):
    """`ha2g_stream` or `hop_stream`; batches are crops of 34 + 30 k frames.

    teacher: the system that an offline run trained, None for none. It is no
    part of this one: it is not trained and not kept.
    """

    def __init__(
        self,
        family: Family,
        settings: Mapping[str, Any],
        weights: Mapping[str, float],
        skeleton: Skeleton,
    ) -> None:
        values = take(settings, "network", {"preset": "small", "teacher": ""})
        if skeleton.name != "upper_body":
            raise UsageError(
                f"{family} is trained on upper_body, the store has {skeleton.name}; convert "
                "again with --skeleton upper_body"
            )
        preset = str(values["preset"])
        if preset not in presets(family):
            known = ", ".join(presets(family))
            raise UsageError(f"recipe: network.preset is {preset!r}, expected {known}")
        network: Any = fresh_network(family, preset, skeleton, torch.zeros(CODES, 12))
        super().__init__(network)
        self.family, self.preset, self.skeleton = family, preset, skeleton
        self.config = network.config
        self.weights = take(weights, "weights", _WEIGHTS)
        own = {k: float(v) for k, v in self.weights.items() if k != "teacher"}
        self.loss = StreamLoss(skeleton, LossWeights(**own))
        self._teacher = [_teacher(Path(values["teacher"]), skeleton)] if values["teacher"] else []

    @property
    def teacher(self) -> System | None:
        """The offline system."""
        return self._teacher[0] if self._teacher else None

    def forward(self, batch: Batch, draws: Draws, adversarial: bool) -> Outcome:
        """Return the terms of `fit`, and the teacher's where there is one."""
        drawn, crops = self._run(batch)
        with torch.autocast(crops.target.device.type, enabled=False):
            terms = self.loss(drawn, crops)
            if self.teacher is not None:
                shown = teacher_poses(self.teacher, batch)
                wanted = shifted(shown, batch["lookahead"])
                known = batch["known"].unsqueeze(-1)
                terms["teacher"] = self.weights["teacher"] * huber(
                    torch.where(known, drawn.poses[-1].float(), wanted), wanted
                )
        return {"terms": terms}

    def _run(self, batch: Batch) -> tuple[Any, StreamBatch]:
        """Return what the network draws, and the batch as `fit` has it."""
        codes = cast(Tensor, self.network.codes)
        self._to(codes.device)
        code = codes[batch["code"]]
        target = shifted(batch["poses"], batch["lookahead"]).unflatten(-1, (-1, 3))
        crops = StreamBatch(
            image=batch["image"],
            level=batch["level"],
            word=batch["word"],
            word_info=batch["word_info"],
            lookahead=batch["lookahead"],
            style=batch["style"],
            code=code,
            course=true_course(batch["move"], code),
            target=target + self.loss.mean,
            known=batch["known"],
            voiced=batch["voiced"],
        )
        drawn = self.network(
            crops.image,
            crops.level,
            crops.word,
            crops.word_info,
            crops.lookahead,
            crops.style,
            crops.code,
            crops.course,
        )
        return drawn, crops

    def _to(self, device: torch.device) -> None:
        """Keep the loss's constants and the teacher where the network is."""
        if self.loss.mean.device != device:
            for name in ("mean", "vector", "chains"):
                setattr(self.loss, name, getattr(self.loss, name).to(device))
        if self.teacher is not None:
            self.teacher.to(device)

    def generate(self, batch: Batch, draws: Draws) -> Tensor:
        """Return poses [B, T, D] under the true decisions; row m shows frame m - lookahead."""
        return self._run(batch)[0].poses[-1]

    def validation(self, batch: Batch, draws: Draws) -> Tensor:
        """Return the mean absolute error of each crop's known rows [B]."""
        error = (self.generate(batch, draws) - shifted(batch["poses"], batch["lookahead"])).abs()
        known = batch["known"].float()
        return (error.mean(-1) * known).sum(1) / known.sum(1)


def shifted(poses: Tensor, lookahead: Tensor) -> Tensor:
    """Return poses [B, T, D] as steps emit them: row m is frame m - lookahead [B, 1]."""
    frames = torch.arange(poses.shape[1], device=poses.device) - lookahead
    return torch.gather(poses, 1, frames.clamp(min=0)[..., None].expand(-1, -1, poses.shape[2]))


@torch.no_grad()
def teacher_poses(teacher: System, batch: Batch) -> Tensor:
    """Return what an offline system makes of crops of 34 + 30 k frames: [B, T, D].

    Window after window, each seeded by the last four frames of the one before
    and cross-faded with it (`models.longform`); the first by the crop's own.
    The windows' inputs are in the batch under `window_NAME`, [B, k + 1, ...].
    """
    fields = cast(Mapping[str, Tensor], batch)
    inputs = {k.removeprefix("window_"): v for k, v in fields.items() if k.startswith("window_")}
    seeds, parts = batch["poses"][:, :SEEDS], list[Tensor]()
    weight = (torch.arange(1, SEEDS + 1, device=seeds.device) / (SEEDS + 1))[:, None]
    count = 1 + (batch["poses"].shape[1] - FRAMES) // STRIDE
    for number in range(count):
        window = {name: value[:, number] for name, value in inputs.items()}
        window |= {"poses": seeds, "speaker": batch["speaker"]}
        poses = teacher.generate(cast(Batch, window), {}).float()
        if parts:
            parts[-1] = parts[-1] * (1 - weight) + poses[:, :SEEDS] * weight
            parts.append(poses[:, SEEDS:STRIDE])
        else:
            parts.append(poses[:, :STRIDE])
        seeds = poses[:, STRIDE:]
        parts.append(seeds)
    return torch.cat(parts, 1)


def _teacher(folder: Path, skeleton: Skeleton) -> System:
    from training.loop.runs import load_run  # it builds systems, this one among them

    run = load_run(folder)
    if run.facts.skeleton != skeleton:
        raise UsageError(f"{folder}: the teacher was trained on another store's directions")
    if isinstance(run.system, StreamSystem) or run.recipe.system in ("autoencoder", "seq2seq"):
        raise UsageError(f"{folder}: a run of {run.recipe.name}, expected an offline generator")
    return run.system.requires_grad_(False).eval()
