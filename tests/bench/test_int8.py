"""Static int8 on the CPU, measured so that leaving it out stays a decision with a reason.

Products are quantised with scales calibrated on the demo speech; state, mel
front end and heads stay float32. It is not shipped: see docs/developing.md for
what this printed last. It would be worth it if it were quicker for one session,
where a person waits, at no more than a degree.
"""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
import soxr
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from export.drift import speech_windows, wandering
from export.half import KEPT
from streamer.backends.loading import DEFAULT_MODEL, find_artifact
from streamer.backends.measuring import stepper
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.bench import commit, machine
from streamer.clock import SAMPLE_RATE
from streamer.spec import ModelSpec, load_manifest, sha256, write_manifest
from streamer.types import AudioChunk, StepInputs, Window
from streamer.windowing import Windower, style_mixture
from tests.bench.eager import in_turn

LOG = Path(__file__).parent / "results" / "int8.jsonl"
KINDS = {"products": ["Gemm"], "products and convolutions": ["Gemm", "Conv"]}


@pytest.mark.parametrize("kind", KINDS)
def test_int8_is_measured(kind: str, tmp_path: Path, shared: Path) -> None:
    folder = find_artifact(DEFAULT_MODEL)
    full = OnnxRuntimeBackend(folder)
    minute = speech_windows(full.spec, 60)
    made = quantised(folder, tmp_path / "int8", KINDS[kind], feeds(full, minute)[::3])
    small = OnnxRuntimeBackend(made)
    clip = sorted((shared / "data" / "speech_ljspeech").rglob("*.wav"))[0]
    row: dict[str, Any] = {"kind": kind, "machine": machine(), "commit": commit()}
    for name, windows in (("demo", minute), ("ljspeech", heard(clip, full.spec))):
        apart = wandering(full, small, windows)
        row[name] = {"mean_degrees": apart.mean[0], "worst_degrees": apart.worst}
    for slots, rounds in ((1, 600), (128, 30)):
        runs = {"float32": stepper(full, slots=slots), "int8": stepper(small, slots=slots)}
        quick = {n: float(np.percentile(t, 25)) for n, t in in_turn(runs, rounds=rounds).items()}
        row[f"time at {slots}"] = round(quick["int8"] / quick["float32"], 3)
    print(json.dumps(row))
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    worth_it = row["time at 1"] < 0.95 and row["demo"]["mean_degrees"] <= 1.0
    assert not worth_it, "int8 has become worth shipping on this machine"


def quantised(
    folder: Path, made: Path, kinds: list[str], calibration: Sequence[dict[str, Any]]
) -> Path:
    """Write a copy of an artifact whose graph computes in int8."""
    shutil.copytree(folder, made)
    model = onnx.load(made / "model.onnx")
    weights = {t.name for t in model.graph.initializer}
    kept = list[str]()
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node{number}"
        constants = [name for name in node.input if name in weights]
        if node.op_type in kinds and (not constants or any(map(KEPT.match, constants))):
            kept.append(node.name)
    onnx.save(model, made / "named.onnx")

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._rows = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._rows, None)

    logging.disable(logging.WARNING)  # it warns of every tensor that it leaves alone
    quantize_static(
        made / "named.onnx",
        made / "model.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=kinds,
        nodes_to_exclude=kept,
    )
    logging.disable(logging.NOTSET)
    manifest = load_manifest(folder)
    files = {**manifest.files, "model.onnx": sha256(made / "model.onnx")}
    write_manifest(made, replace(manifest, files=files))
    return made


def feeds(backend: OnnxRuntimeBackend, windows: Sequence[Window]) -> list[dict[str, Any]]:
    """Return the graph's inputs at each step, the state included."""
    state = backend.initial_state(1)
    rows = list[dict[str, Any]]()
    for window in windows:
        tensors = {name: tensor[None] for name, tensor in window.tensors.items()}
        start, ready = np.array([window.start]), np.array([True])
        kept = {name: array.copy() for name, array in state.tensors.items()}
        rows.append({**tensors, **kept, "start": start, "ready": ready})
        _, state = backend.step(StepInputs(tensors=tensors, start=start, ready=ready), state)
    return rows


def heard(clip: Path, spec: ModelSpec) -> list[Window]:
    samples, rate = soundfile.read(clip, dtype="float32")
    samples = soxr.resample(samples, rate, SAMPLE_RATE).astype(np.float32)
    windower = Windower(
        spec, lookahead=spec.default_lookahead, style=style_mixture(spec, None), seed=11
    )
    return windower.push_audio(AudioChunk(samples=samples, start=0, captured_at=0.0))
