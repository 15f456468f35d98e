"""`python -m training throughput`: windows a second of the loop beside a plain eager one.

Both train the same HA2G on the same batches, in turns, in one run, so that
whatever else the machine does falls on both. On a CPU the ratio is that of
processor time, which a busy machine changes least. The plain loop is the published
iteration written down directly: every pass keeps its graph, one optimiser a
network, the contrast of all frames as one N x N x 32 difference, float32.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.discriminator import Discriminator
from streamer.bench import machine
from training.loop.train import Machine, Training
from training.loop.windows import collate
from training.losses import discrimination, ha2g_terms
from training.recipe import Recipe, load_recipe
from training.store.example import write_example
from training.store.reader import Store
from training.systems.base import SEEDS, Batch
from training.systems.build import Facts, build_system
from training.systems.ha2g import HA2GSystem

Step = Callable[[int, Batch], Any]


class PlainLoop:
    """The published iteration without anything of ours but the networks and terms."""

    def __init__(self, store: Store, recipe: Recipe, device: torch.device) -> None:
        system = cast(HA2GSystem, build_system(recipe, Facts.of(store)))
        self.network = system.network.to(device).train()
        self.angles, self.weights = system.angles, system.weights
        pose_dim = 3 * self.network.config.skeleton.vectors
        self.judge = Discriminator(pose_dim, slope=0.01).to(device).train()
        parts: list[nn.Module] = [
            self.network.audio,
            self.network.contrast_text,
            *self.network.generators,
        ]
        self.optimisers = [
            torch.optim.Adam(part.parameters(), lr=5e-4, betas=(0.5, 0.999)) for part in parts
        ]
        self.judge_optimiser = torch.optim.Adam(
            self.judge.parameters(), lr=1e-4, betas=(0.5, 0.999)
        )

    def step(self, number: int, batch: Batch) -> None:
        """Run one iteration past the warm-up (ha2g.md 3.2)."""
        network, judge, target = self.network, self.judge, batch["poses"]
        heard, speaker, seeds = batch["heard"], batch["speaker"], target[:, :SEEDS]
        audio = network.audio(batch["mel"], speaker)
        text = network.contrast_text(batch["words"])
        fake = network.generate(audio, heard, speaker, seeds).poses[-1]
        self.judge_optimiser.zero_grad()
        discrimination(judge(target), judge(fake.detach())).backward()
        self.judge_optimiser.step()
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        out = network.generate(audio, heard, speaker, seeds)
        permuted = speaker[torch.randperm(len(speaker), device=speaker.device)]
        other = network.generate(audio, heard, permuted, seeds)
        terms = ha2g_terms(
            network,
            out,
            other,
            target=target,
            text=text[:1],  # the contrast of one window here; the whole one follows as published
            audio=audio,
            fake=judge(out.poses[-1]),
            angles=self.angles,
            weights=self.weights,
        )
        own = (terms.regression, terms.divergence, terms.diversity, terms.adversarial)
        positive = self.weights.positive * plain_contrast(text, audio.high)
        negative = self.weights.negative * plain_contrast(text, audio.low)
        (torch.stack((*own, terms.physical)).sum() + positive - negative).backward()
        for optimiser in self.optimisers:
            optimiser.step()


def plain_contrast(text: Tensor, audio: Tensor) -> Tensor:
    """Return the contrast of ha2g.md 3.3 with every difference in memory at once."""
    rows, columns = (F.normalize(x.flatten(0, 1), dim=-1) for x in (text, audio))
    distance = (rows[:, None] - columns[None]).norm(dim=-1) + 1e-8
    return F.cross_entropy(1 / distance, torch.arange(len(rows), device=rows.device))


def compare(store: Store, recipe: Recipe, accelerator: str, rounds: int) -> list[dict[str, Any]]:
    """Return one row a loop: windows a second (median of `rounds` steps) and ratio to plain."""
    variants = {"ours fp32": "precision=fp32", "ours bf16": "precision=bf16"}
    steps: dict[str, Step] = {}
    with tempfile.TemporaryDirectory() as scratch:
        training: Training | None = None
        for name, change in variants.items():
            settings = [f"batch={recipe.batch}", "warm_up=0", "validate_every=0", change]
            settings += [f"network.{k}={json.dumps(v)}" for k, v in recipe.network.items()]
            varied = load_recipe(recipe.system, store.skeleton.name, settings)
            place = Path(scratch) / name.replace(" ", "-")
            training = Training(store, place, varied, Machine(accelerator=accelerator))
            steps[name] = training.step
        assert training is not None
        device = training.fabric.device
        steps = {"plain eager": PlainLoop(store, recipe, device).step, **steps}
        keys = training.order.of(0)
        batch = training.fabric.to_device(collate([training.windows[key] for key in keys]))
        took = _timed(steps, batch, rounds, device)
    on_cpu = device.type == "cpu"
    plain = statistics.median(_spent(times, on_cpu) for times in took["plain eager"])
    rows: list[dict[str, Any]] = []
    for name, times in took.items():
        wall = statistics.median(each.wall for each in times)
        spent = statistics.median(_spent(each, on_cpu) for each in times)
        row: dict[str, Any] = {"loop": name, "windows_per_second": recipe.batch / wall}
        if on_cpu:
            row["windows_per_cpu_second"] = recipe.batch / spent
        row["to_plain"] = plain / spent
        rows.append({k: v if isinstance(v, str) else round(v, 3) for k, v in row.items()})
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Took:
    """Seconds of one step, by the clock and of the processor."""

    wall: float
    cpu: float


def _spent(took: _Took, on_cpu: bool) -> float:
    return took.cpu if on_cpu else took.wall


def _timed(
    steps: dict[str, Step], batch: Batch, rounds: int, device: torch.device
) -> dict[str, list[_Took]]:
    """Return what each step of each loop took, in turns; the first round warms up."""
    took: dict[str, list[_Took]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            began, used = time.perf_counter(), time.process_time()
            step(number, batch)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:
                wall, cpu = time.perf_counter() - began, time.process_time() - used
                took[name].append(_Took(wall=wall, cpu=cpu))
    return took


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `throughput` to the training command line."""
    parser = commands.add_parser("throughput", help="windows a second beside a plain eager loop")
    parser.add_argument("--store", type=Path, help="default: a made-up one")
    parser.add_argument("--skeleton", default="ted_gesture", help="of the made-up store")
    parser.add_argument("--recipe", default="ha2g", choices=("ha2g", "ha2g/narrow"))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--accelerator", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = args.store or Path(scratch) / "store"
        if args.store is None:
            write_example(folder, skeleton=args.skeleton, recordings=12)
        store = Store(folder)
        recipe = load_recipe(args.recipe, store.skeleton.name, [f"batch={args.batch}"])
        rows = compare(store, recipe, args.accelerator, args.rounds)
    for row in rows:
        line = f"{row['loop']:>12}  {row['windows_per_second']:>8} windows/s"
        if "windows_per_cpu_second" in row:
            line += f"  {row['windows_per_cpu_second']:>8} per CPU second"
        print(f"{line}  {row['to_plain']:.2f} x plain", file=sys.stderr)
    if args.json:
        described = {"machine": machine(), "threads": torch.get_num_threads()}
        print(json.dumps({**described, "recipe": args.recipe, "batch": args.batch, "rows": rows}))
    return 0
