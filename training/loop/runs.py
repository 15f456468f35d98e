"""A run's folder: what it is, its log, its weights, and how it is read again.

- `run.json`: recipe, data facts, versions; fixed when the run starts.
- `log.jsonl`: losses and validations, one object a line; `tensorboard/`: the same.
- `checkpoints/`: points to go on from (`training.loop.saving`).
- `best.safetensors`: the network at its best validation; `last.safetensors`: at
  the end; `result.json`: which is which, and when.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from streamer.errors import ArtifactError, InputError
from training.loop.saving import load_trained
from training.recipe import Recipe
from training.systems.base import System
from training.systems.build import Facts, build_system

RUN, LOG, RESULT = "run.json", "log.jsonl", "result.json"
Which = Literal["best", "last"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A trained system, in evaluation mode, and where it comes from.

    which: the weights that were read; step: when they were kept.
    """

    folder: Path
    recipe: Recipe
    facts: Facts
    system: System
    which: Which
    step: int


def begin(folder: Path, recipe: Recipe, facts: Facts, data: Mapping[str, Any]) -> None:
    """Write `run.json`, or compare it with the one that is there.

    Raises `InputError` where the folder holds a run of another recipe or other
    data: a run must not go on as something else. How long it is, may change.
    """
    described = {
        "recipe": recipe.to_json(),
        "data": dict(data),
        "torch": torch.__version__,
        "facts": facts.to_json(),
    }
    described = json.loads(json.dumps(described))
    path = folder / RUN
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, described)
        return
    before = _read(path)
    for part in ("recipe", "data", "facts"):
        if changed := _changed(before.get(part, {}), described[part]):
            raise InputError(
                f"{folder}: holds a run with another {part}.{changed}; use its settings, "
                "or another folder"
            )
    _write(path, described)


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    free = {"steps", "log_every", "keep_every", "validate_every", "patience"}
    for key in sorted({*before, *now} - free):
        if before.get(key) != now.get(key):
            return key
    return ""


def keep_weights(folder: Path, which: Which, tensors: Mapping[str, Tensor], step: int) -> None:
    """Write the network's weights under a name, with the step in their metadata."""
    part = folder / f"{which}.part"
    plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    try:
        save_file(plain, part, metadata={"step": str(step)})
        part.replace(folder / f"{which}.safetensors")
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{folder}: weights not written ({error}); make room") from error


def load_run(folder: Path, which: Which | None = None) -> Run:
    """Read a run: its best weights, or its last where nothing was validated.

    Raises `ArtifactError` where the folder holds no finished weights.
    """
    path = folder / RUN
    if not path.is_file():
        raise ArtifactError(f"{folder}: no {RUN}; expected a folder of `python -m training train`")
    described = _read(path)
    recipe = Recipe.from_json(described["recipe"])
    facts = Facts.from_json(described["facts"])
    choices: tuple[Which, ...] = (which,) if which else ("best", "last")
    for name in choices:
        weights = folder / f"{name}.safetensors"
        if weights.is_file():
            system = build_system(recipe, facts)
            load_trained(system.network, load_file(weights), f"{weights}")
            return Run(
                folder=folder,
                recipe=recipe,
                facts=facts,
                system=system.eval(),
                which=name,
                step=_step(weights),
            )
    raise ArtifactError(
        f"{folder}: no {' or '.join(f'{c}.safetensors' for c in choices)}; "
        "the run has not come so far, start it again to go on"
    )


def _step(weights: Path) -> int:
    from safetensors import safe_open

    with safe_open(weights, "pt") as file:
        return int((file.metadata() or {}).get("step", 0))


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ArtifactError(f"{path}: not JSON ({error}); the run is damaged") from error


def _write(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, ensure_ascii=False) + "\n", "utf-8")
    part.replace(path)
