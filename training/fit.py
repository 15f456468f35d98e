"""`python -m training fit`: corpus to checkpoint."""

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import Checkpoint, save_checkpoint
from models.families import Family, fresh_network, presets
from models.ha2g_stream import Ha2gStream, StreamConfig
from training.dataset import Batch, CorpusTensors
from training.loop.average import Average
from training.losses_stream import LossWeights, StreamLoss
from training.progress import track


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """Settings of a run; all of them end up in the artifact's manifest.

    family, preset: the network (`models/families.py`); steps: optimiser steps;
    crop: frames per crop; held: shards kept apart; keep: steps between two points
    from which a killed run goes on; code_numbers: of the gesture code that are used.
    """

    family: Family = "ha2g_stream"
    preset: str = "small"
    steps: int = 3000
    batch: int = 24
    crop: int = 160
    rate: float = 2e-3
    seed: int = 1
    held: int = 4
    ema: float = 0.998
    keep: int = 200
    code_numbers: int = 12


def fit(
    corpus: Path,
    out: Path,
    options: FitOptions,
    weights: LossWeights,
    *,
    config: StreamConfig | None = None,
) -> Path:
    """Train a streaming network and write its checkpoint folder; returns the folder.

    config: sizes of an `ha2g_stream` other than its preset's.
    Progress goes to standard error, losses to `log.jsonl`; a run that finds
    `resume.pt` in `out` goes on from there with the same random draws.
    """
    out.mkdir(parents=True, exist_ok=True)
    hearing = config or presets(options.family)[options.preset]
    train = CorpusTensors.load(corpus, hearing, only=slice(options.held, None))
    held = CorpusTensors.load(corpus, hearing, only=slice(0, options.held))
    for part in (train, held):
        part.codes[:, options.code_numbers :] = 0.0
    torch.manual_seed(options.seed)
    network = (
        Ha2gStream(config, train.skeleton, train.codes)
        if config
        else fresh_network(options.family, options.preset, train.skeleton, train.codes)
    )
    loss = StreamLoss(train.skeleton, weights)
    learnt = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learnt, lr=options.rate, weight_decay=1e-4)
    average = Average(network.state_dict(), options.ema)
    first, spent = _resume(out, network, optimiser, average)
    began = time.perf_counter() - spent
    # the held set is fixed, so that its figures can be compared between runs
    probe = held.batch(16, options.crop, np.random.default_rng(0))
    log = (out / "log.jsonl").open("a", encoding="utf-8")
    with log:
        for step in track(range(first, options.steps), options.steps - first, "fit"):
            generator = np.random.default_rng((options.seed, step))
            for group in optimiser.param_groups:
                group["lr"] = _rate(step, options)
            batch = train.batch(options.batch, options.crop, generator)
            terms = _terms(network, loss, batch)
            total = torch.stack(list(terms.values())).sum()
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(learnt, 1.0)
            optimiser.step()
            average.update(network.state_dict())
            last = step + 1 == options.steps
            if step % 50 == 49 or last:
                row = {"step": step + 1, "seconds": round(time.perf_counter() - began, 1)}
                row |= {k: round(float(v.detach()), 5) for k, v in terms.items()}
                if step % 200 == 199 or last:
                    row["held"] = _held(network, average, loss, probe)
                log.write(json.dumps(row) + "\n")
                log.flush()
            if step % options.keep == options.keep - 1 or last:
                _keep(out, step + 1, time.perf_counter() - began, network, optimiser, average)
    network.load_state_dict(average.tensors)
    provenance = {
        "corpus": json.loads((corpus / "corpus.json").read_text("utf-8")),
        "corpus_hours": round(train.hours, 3),
        "options": asdict(options),
        "losses": asdict(weights),
        "seconds": round(time.perf_counter() - began),
        "torch": torch.__version__,
    }
    name = f"{options.family.replace('_', '-')}-{options.preset}"
    save_checkpoint(
        out,
        Checkpoint(name=name, preset=options.preset, network=network.eval(), provenance=provenance),
    )
    return out


def _terms(network: torch.nn.Module, loss: StreamLoss, batch: Batch) -> dict[str, Tensor]:
    drawn = network(
        batch.image,
        batch.level,
        batch.word,
        batch.word_info,
        batch.lookahead,
        batch.style,
        batch.code,
        batch.course,
    )
    return loss(drawn, batch)


def _rate(step: int, options: FitOptions) -> float:
    warm = min(1.0, (step + 1) / 100)
    cosine = 0.5 * (1 + math.cos(math.pi * step / options.steps))
    return options.rate * warm * (0.01 + 0.99 * cosine)


@torch.no_grad()
def _held(
    network: torch.nn.Module, average: Average, loss: StreamLoss, probe: Batch
) -> dict[str, float]:
    """Return the averaged network's losses on the held batch."""
    kept = {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(average.tensors)
    network.eval()
    terms = _terms(network, loss, probe)
    network.train()
    network.load_state_dict(kept)
    return {k: round(float(v), 5) for k, v in terms.items()}


def _keep(
    out: Path,
    step: int,
    spent: float,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    average: Average,
) -> None:
    saved = {
        "step": step,
        "spent": spent,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average.tensors,
        "averaged": average.steps,
    }
    torch.save(saved, out / "resume.part")
    (out / "resume.part").replace(out / "resume.pt")


def _resume(
    out: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer, average: Average
) -> tuple[int, float]:
    path = out / "resume.pt"
    if not path.is_file():
        return 0, 0.0
    saved = torch.load(path, weights_only=True)
    network.load_state_dict(saved["network"])
    optimiser.load_state_dict(saved["optimiser"])
    average.load(saved["average"], saved["averaged"])
    return int(saved["step"]), float(saved["spent"])


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `fit` to the training command line."""
    parser = commands.add_parser("fit", help="train a streaming network on a corpus")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    defaults = FitOptions()
    parser.add_argument("--family", choices=get_args(Family), default=defaults.family)
    parser.add_argument("--preset", default=defaults.preset, help="sizes of the family")
    for name in ("steps", "batch", "crop", "seed", "held", "keep", "code_numbers"):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=getattr(defaults, name))
    for name in ("rate", "ema"):
        parser.add_argument(f"--{name}", type=float, default=getattr(defaults, name))
    terms = LossWeights()
    for name in asdict(terms):
        parser.add_argument(f"--{name}", type=float, default=getattr(terms, name))
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    options = FitOptions(**{k: getattr(args, k) for k in asdict(FitOptions())})
    weights = LossWeights(**{k: getattr(args, k) for k in asdict(LossWeights())})
    print(fit(args.corpus, args.out, options, weights))
    return 0
