"""The loop: batches in order, steps, validation, points to go on from."""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader

from streamer.errors import InputError, UsageError
from streamer.spec import sha256
from training.loop.average import Average
from training.loop.crops import CropSet
from training.loop.embeddings import fill_tables, read_vectors
from training.loop.log import RunLog
from training.loop.order import Order, Steps
from training.loop.parallel import rows, synchronise
from training.loop.runs import begin, keep_weights
from training.loop.saving import (
    Point,
    load_optimiser,
    load_trained,
    optimiser_tensors,
    read_point,
    trained_tensors,
    write_point,
)
from training.loop.step import JudgeLoss, Sides, gan_step, recurrent_in_full, without_dropout
from training.loop.validate import Validation
from training.loop.windows import Reading, WindowSet, collate
from training.progress import track
from training.recipe import Recipe
from training.store.manifest import MANIFEST
from training.store.reader import Store
from training.systems.base import FRAMES, Batch, Draws, System
from training.systems.build import Facts, build_system
from training.systems.stream import StreamSystem


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where a run takes place; none of it changes what is learnt.

    devices: processes on this machine; nodes: machines; workers: processes that
    read windows, 0 for none beside the loop itself.
    """

    accelerator: str = "auto"
    devices: int | str = 1
    nodes: int = 1
    workers: int = 0


def open_fabric(recipe: Recipe, machine: Machine) -> Fabric:
    """Return Fabric, launched: on one device, or data-parallel (also under `torchrun`)."""
    precision: Any = {"fp32": "32-true", "bf16": "bf16-mixed"}[recipe.precision]
    devices, nodes = _torchrun() or (machine.devices, machine.nodes)
    many = devices != 1 or nodes > 1
    fabric = Fabric(
        accelerator=machine.accelerator,
        devices=cast(Any, devices),
        num_nodes=nodes,
        # ablations leave parts of a network without gradient
        strategy=DDPStrategy(find_unused_parameters=True) if many else "auto",
        precision=precision,
    )
    fabric.launch()
    if recipe.batch % fabric.world_size:
        raise UsageError(
            f"batch {recipe.batch} is no multiple of {fabric.world_size} processes; "
            "change it by --set batch=N"
        )
    return fabric


def _torchrun() -> tuple[int, int] | None:
    """Return processes a machine and machines if `torchrun` started this process."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return local, int(os.environ["WORLD_SIZE"]) // local


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the share of the learning rate that a step (from 0) takes."""
    o = recipe.optimisation
    rise = min(1.0, (step + 1) / o.warm) if o.warm else 1.0
    match o.schedule:
        case "constant":
            return rise
        case "cosine":
            floor = o.last_rate / o.rate
            fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / recipe.steps)))
            return rise * (floor + (1 - floor) * fall)
        case "tenths":
            return rise * 0.1 ** (step // o.decay_every if o.decay_every else 0)


class Training:
    """One run. `run` may be called once; a process owns one."""

    def __init__(
        self,
        store: Store,
        out: Path,
        recipe: Recipe,
        machine: Machine,
        fgd: Path | None = None,
        embeddings: Path | None = None,
    ) -> None:
        """Build everything and read the newest point, if there is one.

        embeddings: word vectors to begin with (`training.loop.embeddings`).
        fgd: a run of recipe `autoencoder`; then the lowest FGD decides which
        weights are best, as in the papers, else the lowest mean absolute error.
        """
        self.out, self.recipe = out, recipe
        facts = Facts.of(store)
        self.fabric = open_fabric(recipe, machine)
        torch.manual_seed(recipe.seed)
        self.system: System = build_system(recipe, facts)
        if embeddings is not None:
            vectors = read_vectors(embeddings, facts.vocabulary)
            fill_tables(self.system.network, len(facts.vocabulary), vectors)
        judge = self.system.judge()
        if not recipe.dropout:
            for module in (self.system, judge):
                if module is not None:
                    without_dropout(module)
        windows, held = self._windows(store)
        self.order = Order(windows=len(windows), batch=recipe.batch, seed=recipe.seed)
        self.windows, self.workers = windows, machine.workers
        self.validation = None if held is None else Validation(held, fgd)
        if self.fabric.is_global_zero:
            described = _described(store, len(windows))
            described["embeddings"] = embeddings.name if embeddings else ""
            begin(out, recipe, facts, described)
        self.fabric.barrier()
        self._join(judge)

    def _windows(self, store: Store) -> tuple[WindowSet, WindowSet | None]:
        """Return what is trained on, and what validates it."""
        recipe, system = self.recipe, self.system
        reads: Any = system
        if isinstance(system, StreamSystem) and system.teacher is not None:
            reads = system.teacher  # what it hears goes into the batches too
        reading = Reading(
            features=reads.features,
            data=recipe.data,
            seed=recipe.seed,
            pieces=getattr(reads, "pieces", None),
        )
        held = replace(reading, speakers=len(store.speakers))
        if isinstance(system, StreamSystem):
            crops = CropSet(store, "train", reading, system)
            codes: Any = system.network.codes
            codes.copy_(torch.from_numpy(crops.codes))
            if not recipe.validate_every:
                return crops, None
            return crops, CropSet(store, "val", held, system, crops.codes)
        if recipe.data.frames != FRAMES:
            raise UsageError(
                f"recipe: data.frames is {recipe.data.frames}; {recipe.system} is made for {FRAMES}"
            )
        windows = WindowSet(store, "train", reading)
        return windows, WindowSet(store, "val", held) if recipe.validate_every else None

    def _join(self, judge: nn.Module | None) -> None:
        """Make both sides ready for Fabric and fill them from the newest point."""
        o = self.recipe.optimisation
        if self.recipe.precision == "bf16":
            recurrent_in_full(self.system)
        network = self.system.network
        point = read_point(self.out) if self.fabric.is_global_zero else None
        self.fabric.barrier()
        if not self.fabric.is_global_zero:
            point = read_point(self.out)
        if point:
            load_trained(network, point.parts["network"], "the run's newest point")
        self.average = None
        if o.ema:
            self.average = Average(trained_tensors(network), o.ema)
            if point:
                self.average.load(point.parts["average"], int(point.state["averaged"]))
        if judge is not None and point:
            load_trained(judge, point.parts["judge"], "the run's newest point")
        system = cast(System, synchronise(self.system))
        optimiser = _adam(system, o.rate, o.beta1, o.beta2)
        compiled: Any = torch.compile(system) if self.recipe.compile else system
        run_system, run_optimiser = self.fabric.setup(compiled, optimiser)
        sides = Sides(system=system, run_system=run_system, optimiser=run_optimiser)
        self.optimisers: dict[str, Any] = {"optimiser": optimiser}
        if judge is not None:
            wrapped = JudgeLoss(system, synchronise(judge))
            judge_optimiser = _adam(wrapped, o.judge_rate, o.beta1, o.beta2)
            run_judge, run_judge_optimiser = self.fabric.setup(wrapped, judge_optimiser)
            sides = replace(
                sides,
                judge=wrapped.judge,
                run_judge=run_judge,
                judge_optimiser=run_judge_optimiser,
            )
            self.optimisers["judge_optimiser"] = judge_optimiser
        if point:
            for name, each in self.optimisers.items():
                load_optimiser(each, point.parts.get(name, {}))
        self.sides = sides
        self.first = point.step if point else 0
        best = point.state["best"] if point else None
        self.best = math.inf if best is None else float(best)
        self.waited = int(point.state["waited"]) if point else 0

    def run(self) -> int:
        """Train to the end, or until validation no longer gets better; return the steps done."""
        recipe, fabric = self.recipe, self.fabric
        done, log = self.first, None
        if recipe.patience and self.waited >= recipe.patience:
            return done
        if fabric.is_global_zero:
            log = RunLog(self.out, self.first)
        began = time.monotonic()
        shown = self._batches()
        if fabric.is_global_zero:
            shown = track(shown, max(0, recipe.steps - self.first), recipe.name)
        try:
            for step, batch in enumerate(shown, self.first):
                terms = self.step(step, batch)
                done = step + 1
                ended = done == recipe.steps
                if done % recipe.log_every == 0 or ended:
                    self._report(log, done, terms, time.monotonic() - began)
                if recipe.validate_every and (done % recipe.validate_every == 0 or ended):
                    ended = self._validate(log, done) or ended
                if done % recipe.keep_every == 0 or ended:
                    self._keep(done)
                if ended:
                    break
        finally:
            if log is not None:
                log.close()
        if fabric.is_global_zero:
            keep_weights(self.out, "last", self.weights(), done)
        fabric.barrier()
        return done

    def step(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Run one step (from 0) on this process's rows."""
        recipe, device = self.recipe, self.fabric.device
        share = learning_rate(recipe, step)
        rates = {
            "optimiser": recipe.optimisation.rate,
            "judge_optimiser": recipe.optimisation.judge_rate,
        }
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = rates[name] * share
        # dropout differs between processes; everything else is drawn for the whole batch
        torch.manual_seed(_mixed(recipe.seed, step, self.fabric.global_rank))
        drawn = self.system.draws(recipe.batch, _generator(recipe.seed, step))
        draws: Draws = {name: rows(value).to(device) for name, value in drawn.items()}
        self.sides.run_system.train()
        if self.sides.run_judge is not None:
            self.sides.run_judge.train()
        terms = gan_step(
            self.fabric,
            self.sides,
            batch,
            draws,
            adversarial=recipe.adversarial_at(step),
            clip=recipe.optimisation.clip,
        )
        if self.average is not None:
            self.average.update(trained_tensors(self.system.network))
        return terms

    def weights(self) -> dict[str, Tensor]:
        """Return what the run is about: the averaged weights, if there are any."""
        if self.average is not None:
            return self.average.tensors
        return trained_tensors(self.system.network)

    def _batches(self) -> Iterator[Batch]:
        fabric = self.fabric
        steps = Steps(
            order=self.order,
            first=self.first,
            end=self.recipe.steps,
            rank=fabric.global_rank,
            world=fabric.world_size,
        )
        loader: Any = DataLoader(
            self.windows,
            batch_sampler=cast(Any, steps),
            collate_fn=cast(Any, collate),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=fabric.device.type == "cuda",
        )
        for batch in loader:
            yield fabric.to_device(batch)

    def _report(
        self, log: RunLog | None, step: int, terms: dict[str, Tensor], seconds: float
    ) -> None:
        names = list(terms)
        values = torch.stack([terms[name].float() for name in names])
        mean = cast(Tensor, self.fabric.all_reduce(values, reduce_op="mean")).tolist()
        row = dict(zip(names, mean, strict=True))
        if not all(map(math.isfinite, mean)):
            bad = next(name for name, value in row.items() if not math.isfinite(value))
            raise InputError(
                f"step {step}: loss term {bad!r} is {row[bad]}; the run stops before it keeps "
                "it; a lower rate (--set optimisation.rate=..) or optimisation.clip=1 helps"
            )
        if log is not None:
            log.row(step, "loss", row)
            log.row(step, "time", {"seconds": round(seconds, 3)})

    def _validate(self, log: RunLog | None, step: int) -> bool:
        """Validate in the first process; return whether to stop."""
        assert self.validation is not None
        stop = False
        if self.fabric.is_global_zero:
            figures = self.validation.run(self.system, self.weights(), self.fabric)
            score = figures[self.validation.decides]
            if log is not None:
                log.row(step, "validation", figures)
            self.waited += 1
            if score < self.best:
                self.best, self.waited = score, 0
                keep_weights(self.out, "best", self.weights(), step)
            stop = bool(self.recipe.patience) and self.waited >= self.recipe.patience
        stopping: bool = self.fabric.broadcast(stop)
        return stopping

    def _keep(self, step: int) -> None:
        if self.fabric.is_global_zero:
            parts = {"network": trained_tensors(self.system.network)}
            if self.sides.judge is not None:
                parts["judge"] = trained_tensors(self.sides.judge)
            if self.average is not None:
                parts["average"] = self.average.tensors
            for name, optimiser in self.optimisers.items():
                parts[name] = optimiser_tensors(optimiser)
            state = {
                "best": self.best if math.isfinite(self.best) else None,
                "waited": self.waited,
                "averaged": self.average.steps if self.average else 0,
            }
            write_point(self.out, Point(step=step, state=state, parts=parts))
        self.fabric.barrier()


def _described(store: Store, windows: int) -> dict[str, Any]:
    """Return what a run keeps about its data; a change of it is another run."""
    settings = store.manifest.settings
    return {
        "manifest": sha256(store.folder / MANIFEST),
        "kind": settings.kind,
        "origin": settings.origin,
        "licence": settings.licence,
        "windows": windows,
    }


def _adam(module: nn.Module, rate: float, beta1: float, beta2: float) -> torch.optim.Adam:
    trained = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.Adam(trained, lr=rate, betas=(beta1, beta2))


def _mixed(seed: int, step: int, rank: int) -> int:
    return (seed * 1_000_003 + step) * 1009 + rank


def _generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(_mixed(seed, step, 1008))
