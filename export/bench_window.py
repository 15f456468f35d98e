"""`python -m export.bench_window`: a 34-frame window in onnxruntime against torch eager.

Full-size networks with random weights; speed does not depend on them. Both run
in turns in one process with the same threads, so that whatever else the machine
does hits both alike.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor, nn

from export.onnx_graph import OPSET
from models.ha2g import HA2G, HA2GConfig
from models.ha2g_audio import AudioFeatures
from models.ha2g_window import written_out
from models.layers import STYLE
from streamer.bench import commit, machine
from streamer.skeleton import load_skeleton

ORIGINAL_MS = {"ted_gesture": 127.0, "ted_expressive": 193.0}
"""The authors' code on one thread of another machine (issue 4): no ratio is taken with it."""
_WORDS, _SPEAKERS, _WARM_UP = 100, 16, 2


class Window(nn.Module):
    """The whole network: [1, 128, 70] mel, [1, 34] words, [1] speaker, seeds and noise."""

    def __init__(self, network: HA2G) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, mel: Tensor, words: Tensor, speaker: Tensor, seeds: Tensor, noise: Tensor
    ) -> Tensor:
        """Return the poses [1, 34, D]."""
        return self.network(mel, words, speaker, seeds, noise)


class Generators(nn.Module):
    """The levels alone, behind audio features [K, 1, 34, 32]."""

    def __init__(self, network: HA2G) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, audio: Tensor, words: Tensor, speaker: Tensor, seeds: Tensor, noise: Tensor
    ) -> Tensor:
        """Return the poses [1, 34, D]."""
        blends = tuple(audio.unbind(0))
        features = AudioFeatures(
            weights=audio[0], low=audio[0], mid=audio[0], high=audio[0], blends=blends
        )
        return self.network.generate(features, words, speaker, seeds, noise).poses[-1]


def bench_window(*, rounds: int = 20, threads: int = 1) -> dict[str, Any]:
    """Return `rows` of wall and CPU times in ms for both skeletons, and where they were measured.

    The ratio is that of the medians of CPU time with one thread, since a thread
    that waits for others is not slow; of wall time with more.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows = [
            _row(skeleton, part, rounds=rounds, threads=threads)
            for skeleton in ORIGINAL_MS
            for part in ("window", "generators")
        ]
    finally:
        torch.set_num_threads(before)
    return {"rows": rows, "machine": machine(), "commit": commit()}


def table(result: dict[str, Any]) -> str:
    """Return a bench as Markdown."""
    head = "| network | threads | torch eager, ms | onnxruntime, ms | times faster | the original |"
    lines = [head, "|---|---|---|---|---|---|"]
    for row in result["rows"]:
        cells = [_times(row[name]) for name in ("torch", "onnxruntime")]
        original = f"{row['original_ms']:.0f} ms" if row["original_ms"] else ""
        lines.append(
            f"| {row['skeleton']}, {row['part']} | {row['threads']} | {cells[0]} | {cells[1]} "
            f"| {row['ratio']:.2f} | {original} |"
        )
    return "\n".join([*lines, "", f"{result['machine']}; commit {result['commit']}"])


def _times(times: dict[str, float]) -> str:
    return f"{times['cpu_p50']:.0f} CPU, {times['p50']:.0f} wall, p99 {times['p99']:.0f}"


@torch.no_grad()
def _row(skeleton: str, part: str, *, rounds: int, threads: int) -> dict[str, Any]:
    cast(Any, torch).manual_seed(0)
    layout = load_skeleton(skeleton)
    config = HA2GConfig.published(layout, words=_WORDS, speakers=_SPEAKERS)
    network = HA2G(config).eval()
    levels = len(layout.levels)
    first = torch.randn(1, 128, 70) if part == "window" else torch.randn(levels, 1, 34, 32)
    inputs = (
        first,
        torch.randint(0, _WORDS, (1, 34)),
        torch.tensor([1]),
        torch.randn(1, 4, 3 * layout.vectors) * 0.1,
        torch.randn(1, levels, STYLE),
    )
    make = Window if part == "window" else Generators
    eager = make(network)
    run = _onnxruntime(make(written_out(network)), inputs, threads)
    difference = float(np.abs(run() - eager(*inputs).numpy()).max())
    if not difference <= 1e-4:
        raise RuntimeError(f"{skeleton}: onnxruntime differs from torch by {difference:.2g}")
    times = _in_turns([lambda: eager(*inputs), run], rounds)
    torch_times, ort_times = times
    key = "cpu_p50" if threads == 1 else "p50"
    return {
        "skeleton": skeleton,
        "part": part,
        "threads": threads,
        "rounds": rounds,
        "torch": torch_times,
        "onnxruntime": ort_times,
        "ratio": round(torch_times[key] / ort_times[key], 2),
        "difference": difference,
        "original_ms": ORIGINAL_MS[skeleton] if part == "window" else None,
    }


def _onnxruntime(
    module: nn.Module, inputs: Sequence[Tensor], threads: int
) -> Callable[[], npt.NDArray[np.float32]]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "window.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cast(Any, torch.onnx).export(
                module,
                tuple(inputs),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=["first", "words", "speaker", "seeds", "noise"],
            )
        runtime = cast(Any, ort)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        session = runtime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    wanted = {node.name for node in session.get_inputs()}
    names = ("first", "words", "speaker", "seeds", "noise")
    feed = {n: t.numpy() for n, t in zip(names, inputs, strict=True) if n in wanted}
    return lambda: session.run(None, feed)[0]


def _in_turns(runs: Sequence[Callable[[], Any]], rounds: int) -> list[dict[str, float]]:
    """Return p50 and p99 of wall time and p50 of CPU time of each, in ms."""
    wall: list[list[float]] = [[] for _ in runs]
    cpu: list[list[float]] = [[] for _ in runs]
    for turn in range(rounds + _WARM_UP):
        for i, run in enumerate(runs):
            began, busy = time.perf_counter(), time.process_time()
            run()
            if turn >= _WARM_UP:
                cpu[i].append((time.process_time() - busy) * 1e3)
                wall[i].append((time.perf_counter() - began) * 1e3)
    return [
        {
            "p50": round(float(np.percentile(wall[i], 50)), 2),
            "p99": round(float(np.percentile(wall[i], 99)), 2),
            "cpu_p50": round(float(np.percentile(cpu[i], 50)), 2),
        }
        for i in range(len(runs))
    ]


def main(argv: list[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.bench_window", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, help="also as JSON")
    args = parser.parse_args(argv)
    result = bench_window(rounds=args.rounds, threads=args.threads)
    if args.out is not None:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
