"""CPU budgets of DESIGN 10 against eager PyTorch: ratios of one run, one thread each.

The figures go to `results/eager.jsonl`. Ratios hold on a busy machine too, since
the candidates take turns; they are of the quickest quarter of the calls. Windows
of the published network: `python -m export bench-window`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.untrained import untrained
from models.checkpoint import Checkpoint
from streamer.backends.measuring import stepper
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.bench import commit, machine
from tests.bench.eager import EagerTorch, in_turn

LOG = Path(__file__).parent / "results" / "eager.jsonl"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def measured(what: str, runs: Mapping[str, Callable[[], Any]], rounds: int) -> float:
    """Log p50, p95 and p99 of eager torch and of onnxruntime; return how many times faster."""
    times = in_turn(runs, rounds=rounds)
    quick = {name: np.percentile(t, 25) for name, t in times.items()}
    ratio = float(quick["torch eager"] / quick["onnxruntime"])
    row = {
        "what": what,
        "ms": {
            name: dict(
                zip(("p50", "p95", "p99"), np.percentile(t, (50, 95, 99)).round(3), strict=True)
            )
            for name, t in times.items()
        },
        "faster": round(ratio, 2),
        "machine": machine(),
        "commit": commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row))
    return ratio


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    """The default model's preset, freshly exported."""
    folder = tmp_path_factory.mktemp("models") / "small"
    return folder, untrained(folder)


@pytest.mark.parametrize("slots", [1, 8, 32, 128])
def test_a_step_of_the_small_preset(made: tuple[Path, Checkpoint], slots: int) -> None:
    folder, checkpoint = made
    backends = (EagerTorch(checkpoint), OnnxRuntimeBackend(folder))
    runs = {backend.name: stepper(backend, slots=slots) for backend in backends}
    rounds = max(20, 400 // slots)
    assert measured(f"step of ha2g_stream small, {slots} slots", runs, rounds) >= 1.7
