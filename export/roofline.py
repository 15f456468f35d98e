"""`python -m export.roofline`: the fastest that a step can be, by counting its work.

A step of S sessions multiplies and adds so often, reads its weights once, and
reads and writes each session's inputs, outputs and state. A GPU can do neither
faster than its data sheet says, so the larger of the two times bounds the step.
Elementwise work and what a library writes down in between count nothing.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import onnx

from streamer.backends.loading import DEFAULT_MODEL, find_artifact
from streamer.config import parse_counts
from streamer.errors import GestureError, UsageError
from streamer.spec import ModelSpec, load_manifest

_MASKS = 2  # `start` and `ready`, one byte each


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a step costs: for each session, and once for all of them.

    multiply_adds, slot_bytes: a session's; weight_bytes: once a step.
    """

    multiply_adds: int
    slot_bytes: int
    weight_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """A GPU's data sheet: float32 outside of tensor cores [1/s], and memory [bytes/s]."""

    flops: float
    bandwidth: float


PEAKS: Mapping[str, Peak] = {
    "H200": Peak(flops=67e12, bandwidth=4.8e12),
    "H100": Peak(flops=67e12, bandwidth=3.35e12),
    "A100": Peak(flops=19.5e12, bandwidth=2.04e12),
    "L40S": Peak(flops=91.6e12, bandwidth=0.864e12),
    "RTX 5090": Peak(flops=104.8e12, bandwidth=1.79e12),
    "RTX 4090": Peak(flops=82.6e12, bandwidth=1.01e12),
    "RTX 4070": Peak(flops=29.1e12, bandwidth=0.504e12),
    "RTX 3060": Peak(flops=12.7e12, bandwidth=0.36e12),
}
"""NVIDIA's figures, by what the driver's name of the GPU contains."""


def count(graph: Path, spec: ModelSpec) -> Work:
    """Count a step graph's matrix products and convolutions, and the bytes that it must move."""
    tools = cast(Any, onnx)  # partly untyped
    model = cast(onnx.ModelProto, tools.load(graph))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    model = cast(onnx.ModelProto, tools.shape_inference.infer_shapes(model, data_prop=True))
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    shapes = {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
        for v in values
        if v.type.tensor_type.HasField("shape")
    }
    weights = {t.name: tuple(t.dims) for t in model.graph.initializer}
    used, products = set[str](), 0
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm", "Conv"):
            products += _products(node, shapes | weights)
            used |= {name for name in node.input if name in weights}
    held = sum(t.nbytes for t in map(tools.numpy_helper.to_array, _only(model, used)))
    tensors = (*spec.inputs, *spec.outputs, *spec.state, *spec.state)
    moved = sum(math.prod(t.shape) * 4 for t in tensors) + _MASKS
    return Work(multiply_adds=products, slot_bytes=moved, weight_bytes=held)


def bound_ms(work: Work, slots: int, peak: Peak) -> float:
    """Return the milliseconds below which no step of `slots` sessions can be."""
    computing = 2 * work.multiply_adds * slots / peak.flops
    moving = (work.weight_bytes + work.slot_bytes * slots) / peak.bandwidth
    return max(computing, moving) * 1e3


def peak_of(gpu: str) -> Peak:
    """Return the data sheet of a GPU by the driver's name; raises `UsageError`."""
    for name, peak in PEAKS.items():
        if name in gpu:
            return peak
    raise UsageError(
        f"no data sheet of {gpu!r}: there are {', '.join(PEAKS)}; or give --flops and --bandwidth"
    )


def compared(rows: Sequence[Mapping[str, Any]], work: Work, peak: Peak) -> str:
    """Return rows of `gesture bench` beside the bound as a table."""
    lines = [
        f"{'back end':20} {'precision':9} {'slots':>6} {'p50 ms':>9} {'p99 ms':>9} "
        f"{'bound ms':>9} {'of bound':>8} {'sessions':>9}"
    ]
    for row in rows:
        bound, step = bound_ms(work, row["slots"], peak), row["step_ms"]
        lines.append(
            f"{row['backend']:20} {row['precision']:9} {row['slots']:6} {step['p50']:9.3f} "
            f"{step['p99']:9.3f} {bound:9.4f} {bound / step['p50']:8.1%} "
            f"{row['sessions_at_deadline']:9}"
        )
    return "\n".join(lines)


def table(work: Work, peak: Peak, slots: Sequence[int], deadline_ms: float) -> str:
    """Return the work and its bound for each number of slots."""
    lines = [
        f"{work.multiply_adds / 1e6:.2f} M multiply-adds and {work.slot_bytes / 1e3:.1f} kB a "
        f"session, {work.weight_bytes / 1e6:.2f} MB of weights a step",
        f"{'slots':>7} {'bound ms':>9} {'sessions at the bound':>22}",
    ]
    for count_ in slots:
        bound = bound_ms(work, count_, peak)
        lines.append(f"{count_:7} {bound:9.4f} {int(count_ * deadline_ms / bound):22}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Count an artifact; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.roofline", description=__doc__)
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument("--gpu", default="H200", help=f"one of {', '.join(PEAKS)} (H200)")
    parser.add_argument("--flops", type=float, help="in place of --gpu: float32 operations a s")
    parser.add_argument("--bandwidth", type=float, help="in place of --gpu: bytes a second")
    parser.add_argument("--slots", type=parse_counts, default=(1, 64, 1024, 16384, 50_000))
    parser.add_argument("--log", type=Path, help="compare the last line of gesture bench's log")
    told = parser.parse_args(argv)
    try:
        folder = find_artifact(told.model)
        spec = load_manifest(folder).spec
        work = count(folder / "model.onnx", spec)
        own = told.flops and told.bandwidth
        peak = Peak(flops=told.flops, bandwidth=told.bandwidth) if own else peak_of(told.gpu)
        deadline_ms = 1000 * spec.frames_per_step / float(spec.fps)
        print(table(work, peak, told.slots, deadline_ms))
        if told.log is not None:
            rows = json.loads(told.log.read_text("utf-8").splitlines()[-1])["rows"]
            print(compared([r for r in rows if r["model"] == spec.name], work, peak))
    except (GestureError, OSError, ValueError) as error:
        print(f"roofline: {error}", file=sys.stderr)
        return 2
    return 0


def _only(model: onnx.ModelProto, names: set[str]) -> list[onnx.TensorProto]:
    return [tensor for tensor in model.graph.initializer if tensor.name in names]


def _products(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return a node's multiply-adds for one session."""
    out, first, second = (shapes[n] for n in (node.output[0], node.input[0], node.input[1]))
    if 0 in out:
        raise ValueError(f"{node.op_type} {node.output[0]}: its shape is not known")
    match node.op_type:
        case "Conv":  # weights [out, in / group, ...]
            return math.prod(out) * math.prod(second[1:])
        case "Gemm":
            flipped = any(a.name == "transA" and a.i for a in node.attribute)
            return math.prod(out) * first[0 if flipped else 1]
        case _:
            return math.prod(out) * first[-1]


if __name__ == "__main__":
    raise SystemExit(main())
