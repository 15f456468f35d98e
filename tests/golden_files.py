"""The golden files: inputs and outputs of the reference networks (spec, `golden/`).

`GOLDEN_DIR` may name another folder of files of the same format; layouts and
the weight generator are taken from there too where it holds them.
"""

import importlib.util
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from models.upstream import Part, load_parts

HERE = Path(__file__).parent / "golden"
ATOL = 1e-5
RTOL = 1e-4
SETS = ("ted_gesture", "ted_expressive")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One torch thread, as the golden files were made; import it to use it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def path(name: str) -> Path:
    """Return a golden file's path: in GOLDEN_DIR, else beside the tests."""
    chosen = Path(os.environ.get("GOLDEN_DIR", HERE)) / name
    return chosen if chosen.exists() else HERE / name


@cache
def golden(name: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `<name>.npz`; a file missing from GOLDEN_DIR is a failure."""
    file = Path(os.environ.get("GOLDEN_DIR", HERE)) / f"{name}.npz"
    with np.load(file, allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


@cache
def layout(name: str) -> dict[str, dict[str, list[int]]]:
    """Return {dict name: {key: shape}} of `<name>_state_dict.json` or the like."""
    return json.loads(path(f"{name}.json").read_text("utf-8"))["dicts"]


@cache
def _weights() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "golden_weights", path("deterministic_weights.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def published_state(dict_name: str, shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Return the deterministic stand-in weights of one published dict."""
    arrays = _weights().state_dict(dict_name, shapes)
    return {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}


def fill(part: Part, weight_name: str, shapes: dict[str, list[int]]) -> None:
    """Load deterministic weights into a part of a network and put it in eval mode."""
    state = published_state(weight_name, shapes)
    load_parts((part,), {part.dict_name: state})
    part.module.eval()


def tensor(array: npt.NDArray[Any]) -> Tensor:
    """Return a float32 or int64 tensor of a golden array; `*_int16` audio as float."""
    if array.dtype == np.int16:
        return torch.from_numpy(array.astype(np.float32) / 32768)
    if array.dtype.kind == "f":
        return torch.from_numpy(array.astype(np.float32))
    return torch.from_numpy(array)


def assert_close(
    got: Tensor | npt.NDArray[Any] | float,
    want: npt.NDArray[Any],
    *,
    atol: float = ATOL,
    rtol: float = RTOL,
) -> float:
    """Assert |got - want| <= atol + rtol * |want| and return the largest error."""
    array = got.detach().numpy() if isinstance(got, Tensor) else np.asarray(got)
    assert array.shape == want.shape
    np.testing.assert_allclose(array, want, atol=atol, rtol=rtol)
    return float(np.abs(array - want).max(initial=0.0))


def parameters(module: nn.Module) -> int:
    """Return how many numbers training changes."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
