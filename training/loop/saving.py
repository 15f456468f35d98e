"""Points from which a run goes on: safetensors and JSON, whole or not there.

Each is a folder `checkpoints/NNNNNNNN` that is written beside its place and
renamed; a kill in between leaves a `.part` that the next start removes.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from streamer.errors import ArtifactError, InputError

KEPT = 2
_FOLDER = "checkpoints"
_TENSORS, _STATE = "tensors.safetensors", "state.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """step: how many are done; state: JSON-ready facts; parts: tensors by part and name."""

    step: int
    state: Mapping[str, Any]
    parts: Mapping[str, Mapping[str, Tensor]]


def write_point(run: Path, point: Point) -> None:
    """Write a point and drop all but the newest two.

    Raises `InputError` where the disk is full or the folder cannot be written;
    older points stay.
    """
    folder = run / _FOLDER / f"{point.step:08d}"
    part = folder.with_suffix(".part")
    flat = {f"{p}/{k}": v for p, tensors in point.parts.items() for k, v in tensors.items()}
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file({k: v.detach().cpu().contiguous() for k, v in flat.items()}, part / _TENSORS)
        (part / _STATE).write_text(json.dumps(point.state, indent=1) + "\n", "utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    except (OSError, RuntimeError) as error:  # safetensors reports a full disk as its own error
        shutil.rmtree(part, ignore_errors=True)
        raise InputError(
            f"{folder}: not written ({error}); the run goes on from the point before it "
            "once there is room"
        ) from error
    for old in _points(run)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def read_point(run: Path) -> Point | None:
    """Return the newest point of a run, None where there is none yet."""
    for left in (run / _FOLDER).glob("*.part"):
        shutil.rmtree(left, ignore_errors=True)
    found = _points(run)
    if not found:
        return None
    try:
        state = json.loads((found[-1] / _STATE).read_text("utf-8"))
        tensors = load_file(found[-1] / _TENSORS)
    except Exception as error:  # safetensors has no error class that it documents
        raise ArtifactError(
            f"{found[-1]}: damaged ({error}); remove it, the run goes on from the one before"
        ) from error
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, key = name.partition("/")
        parts.setdefault(part, {})[key] = tensor
    return Point(step=int(found[-1].name), state=state, parts=parts)


def _points(run: Path) -> list[Path]:
    folder = run / _FOLDER
    return sorted(p for p in folder.glob("[0-9]*") if p.is_dir() and not p.suffix)


def trained_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's tensors without frozen parameters, which come from elsewhere."""
    left = frozen_names(module)
    return {k: v for k, v in module.state_dict().items() if k not in left}


def load_trained(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Fill a module from `trained_tensors`; raises `ArtifactError` where they do not fit."""
    try:
        result = module.load_state_dict(dict(tensors), strict=False)
    except RuntimeError as error:
        raise ArtifactError(f"{what}: weights do not fit the recipe: {error}") from error
    wrong = sorted({*result.missing_keys} - frozen_names(module)) + sorted(result.unexpected_keys)
    if wrong:
        raise ArtifactError(f"{what}: weights do not fit the recipe, first at {wrong[0]!r}")


def frozen_names(module: nn.Module) -> set[str]:
    """Return the names of parameters that are never trained."""
    return {name for name, p in module.named_parameters() if not p.requires_grad}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state as flat tensors; its settings are the recipe's."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Fill an optimiser from `optimiser_tensors`."""
    described = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    described["state"] = state
    optimiser.load_state_dict(described)
