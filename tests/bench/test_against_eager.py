"""CPU budgets of DESIGN 10 against eager PyTorch: ratios of one run, one thread each.

The figures go to `results/eager.jsonl`. Ratios hold on a busy machine too, since
the candidates take turns; they are of the quickest half of the calls.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from export.untrained import untrained
from models.checkpoint import Checkpoint
from models.ha2g import HA2G, HA2GConfig
from streamer.backends.measuring import stepper
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.bench import commit, machine
from streamer.skeleton import load_skeleton
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


class Poses(nn.Module):
    """The published network's window, its noise given; or its generators alone."""

    def __init__(self, network: HA2G, *, generators: bool) -> None:
        super().__init__()
        self.network, self.generators = network, generators

    def forward(
        self, mel: Tensor, words: Tensor, speaker: Tensor, seeds: Tensor, noise: Tensor
    ) -> Tensor:
        if not self.generators:
            return self.network(mel, words, speaker, seeds, noise)
        blends = mel[:, :32, :34].transpose(1, 2)  # any 32 numbers a frame will do
        pose: list[Tensor] = []
        for k, generator in enumerate(self.network.generators):
            pre_seq = self.network.pre_seq(k, seeds, pose[-1] if pose else None)
            pose.append(generator(pre_seq, blends, words, speaker, noise[:, k])[0])
        return pose[-1]


@pytest.mark.parametrize(("generators", "budget"), [(False, 1.7), (True, 2.5)])
@pytest.mark.parametrize("skeleton", ["ted_gesture", "ted_expressive"])
def test_a_window_of_the_published_network(
    skeleton: str, generators: bool, budget: float, tmp_path: Path
) -> None:
    """Random weights: the time of a product does not depend on them."""
    torch.manual_seed(0)
    bones = load_skeleton(skeleton)
    network = HA2G(HA2GConfig.published(bones, words=1000, speakers=10)).eval()
    levels = len(bones.levels)
    mel, noise = torch.randn(1, 128, 70), torch.randn(1, levels, 16)
    words, speaker = torch.randint(0, 1000, (1, 34)), torch.zeros(1, dtype=torch.int64)
    given = (mel, words, speaker, torch.randn(1, 4, bones.vectors * 3) * 0.1, noise)
    module = Poses(network, generators=generators).eval()
    path = tmp_path / "window.onnx"
    names = ["mel", "words", "speaker", "seeds", "noise"]
    with torch.no_grad():
        # the GRUs stay nodes, which the CPU runs well
        torch.onnx.export(module, given, path, input_names=names, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = {node.name for node in session.get_inputs()}
    feed = {n: t.numpy() for n, t in zip(names, given, strict=True) if n in wanted}

    def eager() -> Tensor:
        with torch.no_grad():
            return module(*given)

    (got,) = session.run(None, feed)
    np.testing.assert_allclose(got, eager().numpy(), atol=1e-4)
    runs = {"torch eager": eager, "onnxruntime": lambda: session.run(None, feed)}
    what = "generators" if generators else "window"
    assert measured(f"ha2g {what}, {skeleton}", runs, 40) >= budget
