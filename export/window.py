"""`*_window` networks to artifacts, verified against the offline network window by window."""

import json
import math
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from torch import Tensor

from export.cells import write_cells
from export.onnx_graph import FORBIDDEN, OPSET, unclip_integers
from export.window_offline import Inputs, Offline
from models.sliding import CHUNK, FRAMES, LOOKAHEADS
from models.stepping import StepModule, SteppedNetwork
from streamer.clock import FrameClock
from streamer.errors import ArtifactError
from streamer.skeleton import Skeleton
from streamer.spec import (
    VOCABULARY,
    AudioSpec,
    Manifest,
    ModelSpec,
    TensorSpec,
    WordSpec,
    load_manifest,
    sha256,
    write_manifest,
)
from streamer.windowing import MOST_FRAMES, PER_FRAME

Array = npt.NDArray[np.float32]
TOLERANCE = 1e-4
"""Largest absolute difference of a direction component.

Decibels reach 80 in a deep network of float32; measured 2e-7 on narrow ones.
"""
FRAME_MS = 1000 / 15
_WARM_UP = 3


class WindowNetwork(SteppedNetwork, Protocol):
    """A network of `models.*_window`; words: the tables that its word ids index."""

    family: str
    frames: int
    skeleton: Skeleton

    @property
    def words(self) -> WordSpec:
        """How words become ids, without their index."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSource:
    """A network that can be made for any K, what it is called, and what goes with it.

    words: the vocabulary, by word or by piece. texts and files: what else goes
    into the artifact's folder, by name.
    """

    make: Callable[[int], WindowNetwork]
    offline: Callable[[int], Offline]
    name: str
    preset: str
    styles: Sequence[str]
    default_style: str
    words: Mapping[str, int]
    texts: Mapping[str, str]
    files: Mapping[str, Path]
    licence: str
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowParity:
    """What an export measured: over `frames` frames, and how long a step took on one core."""

    frames: int
    frames_per_step: int
    step_to_offline: float
    step_p50_ms: float
    step_p99_ms: float

    @property
    def live(self) -> bool:
        """Whether a step takes at most half of the time that its frames last."""
        return self.step_p99_ms <= self.frames_per_step * FRAME_MS / 2


def window_spec(
    network: WindowNetwork, *, name: str, preset: str, styles: Sequence[str], default_style: str
) -> ModelSpec:
    """Return the step contract; styles: the speakers, one for each row."""
    words, frames = network.words, network.frames
    lead = () if frames == 1 else (frames,)
    inputs = (
        TensorSpec(name="audio", shape=(1, CHUNK)),
        TensorSpec(name="hop", shape=(1,), dtype="int32"),
        TensorSpec(name="word", shape=(words.slots,), dtype="int32"),
        TensorSpec(name="word_info", shape=(3,)),
        TensorSpec(name="lookahead", shape=(1,), dtype="int32"),
        TensorSpec(name="style", shape=(len(styles),)),
        TensorSpec(name="seed", shape=(3,)),
    )
    stacked = tuple(
        TensorSpec(name=t.name, shape=(*lead, *t.shape), dtype=t.dtype)
        if t.name in PER_FRAME
        else t
        for t in inputs
    )
    return ModelSpec(
        name=name,
        network=network.family,
        preset=preset,
        fps=Fraction(15),
        frames_per_step=frames,
        lookaheads=LOOKAHEADS,
        default_lookahead=2,
        skeleton=network.skeleton,
        audio=AudioSpec(window=CHUNK, columns=1),
        words=words,
        styles=tuple(styles),
        default_style=default_style,
        inputs=stacked,
        outputs=(
            TensorSpec(name="directions", shape=(*lead, network.skeleton.vectors, 3)),
            TensorSpec(name="voice", shape=(*lead, 1)),
        ),
        state=tuple(TensorSpec(name=n, shape=s) for n, s in network.state_shapes().items()),
    )


def build_window(
    source: WindowSource,
    folder: Path,
    *,
    frames: int | None = None,
    steps: int = 45,
    cells: bool = False,
) -> WindowParity:
    """Write a verified `*_window` artifact; nothing is left where it differs from torch.

    frames: K; None takes the smallest with which a step's p99, measured here,
    is at most half of what its K frames last, and 8 where none is. steps: how
    many are compared and measured. cells: also `model.cells.onnx`, whose GRUs are
    written out, for TensorRT. Raises `ArtifactError` where a graph differs.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch)
        tried = 1 if frames is None else frames
        while True:
            spec, parity = _export(source, tried, made / "model.onnx", steps)
            if frames is not None or parity.live or tried == MOST_FRAMES:
                break
            needed = math.ceil(2 * parity.step_p99_ms / FRAME_MS)
            tried = min(max(needed, tried + 1), MOST_FRAMES)
        if cells:
            write_cells(made / "model.onnx", made / "model.cells.onnx", FRAMES)
        listed = json.dumps(dict(source.words), ensure_ascii=False, indent=0)
        for file, text in {**source.texts, VOCABULARY: listed}.items():
            (made / file).write_text(text, encoding="utf-8")
        for file, path in source.files.items():
            shutil.move(path, made / file)
        measured = {"step_p50_ms": parity.step_p50_ms, "step_p99_ms": parity.step_p99_ms}
        manifest = Manifest(
            spec=spec,
            licence=source.licence,
            training={**source.provenance, "measured_at_import": measured},
            files={path.name: sha256(path) for path in sorted(made.iterdir())},
        )
        write_manifest(made, manifest)
        load_manifest(made)
        folder.mkdir(exist_ok=True)
        for path in sorted(made.iterdir()):
            shutil.move(path, folder / path.name)
    return parity


def _export(
    source: WindowSource, frames: int, path: Path, steps: int
) -> tuple[ModelSpec, WindowParity]:
    window = source.make(frames)
    spec = window_spec(
        window,
        name=source.name,
        preset=source.preset,
        styles=source.styles,
        default_style=source.default_style,
    )
    export_traced(window, spec, path)
    return spec, verify_window(source.offline(frames), path, spec, steps=steps)


@torch.no_grad()
def export_traced(window: WindowNetwork, spec: ModelSpec, path: Path) -> None:
    """Write the step graph with a dynamic slot axis, by tracing.

    The GRUs stay ONNX `GRU` nodes: written out, 34 frames of them in two
    directions are thousands of nodes, which onnxruntime loads in minutes and
    runs 1.5 times slower (measured; docs/checkpoints.md). TensorRT runs such a node
    as a loop; `export.cells` writes them out for it. That the gates are in the
    right order is what `verify_window` shows.
    """
    names_in = tuple(t.name for t in spec.inputs)
    module = StepModule(window, names_in, tuple(t.name for t in spec.outputs)).eval()
    names = [*module.inputs, "start", "ready", *module.state]
    outputs = [*module.outputs, *(f"next_{name}" for name in module.state)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cast(Any, torch.onnx).export(
            module,
            tuple(_example(spec)),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=outputs,
            dynamic_axes={name: {0: "slots"} for name in (*names, *outputs)},
        )
    model = cast(onnx.ModelProto, cast(Any, onnx).load(path))
    unclip_integers(model)
    if bad := sorted({node.op_type for node in model.graph.node} & (FORBIDDEN - {"GRU"})):
        raise ArtifactError(f"{path.name}: nodes {', '.join(bad)} must be written out")
    shapes = {t.name: t.shape for t in spec.outputs}
    shapes |= {f"next_{t.name}": t.shape for t in spec.state}
    for value in model.graph.output:  # tracing forgets some of them
        axes = ["slots", *shapes[value.name]]
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, axes))
    writer = cast(Any, onnx)
    writer.checker.check_model(model)
    writer.save_model(model, path)


def _example(spec: ModelSpec) -> list[Tensor]:
    kinds = {"float32": torch.float32, "int32": torch.int32}
    masks = [torch.tensor([True, False]), torch.tensor([True, True])]
    inputs = [torch.ones(2, *t.shape, dtype=kinds[t.dtype]) for t in spec.inputs]
    return [*inputs, *masks, *(torch.zeros(2, *t.shape) for t in spec.state)]


def verify_window(offline: Offline, graph: Path, spec: ModelSpec, *, steps: int) -> WindowParity:
    """Compare the graph, step by step, with the offline network on the same windows.

    Raises `ArtifactError` with the measured difference where it is too large.
    """
    inputs = probe_inputs(spec, steps)
    runtime = cast(Any, ort)  # it ships no types
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(graph), options, ["CPUExecutionProvider"])
    state = {t.name: np.zeros((1, *t.shape), np.float32) for t in spec.state}
    got: list[Array] = []
    took: list[float] = []
    first: dict[str, Array] = {}
    for m, x in enumerate(inputs):
        feed = {name: value[None] for name, value in x.items()}
        masks = {"start": np.array([m == 0]), "ready": np.array([True])}
        began = time.perf_counter()
        values = cast(list[Array], session.run(None, {**feed, **masks, **state}))
        took.append((time.perf_counter() - began) * 1e3)
        got.append(values[0][0].reshape(spec.frames_per_step, -1, 3))
        state = dict(zip(state, values[len(spec.outputs) :], strict=True))
        first = first or {name: value[0] for name, value in state.items()}
    want, _ = offline(first, inputs)
    worst = float(np.abs(np.concatenate(got) - want).max())
    if not worst <= TOLERANCE:
        raise ArtifactError(
            f"{spec.name}: step by step differs from the offline network by {worst:.2g} over "
            f"{steps} windows, allowed {TOLERANCE:g}; the artifact was not written"
        )
    p50, p99 = (
        round(float(np.percentile(took[min(_WARM_UP, steps - 1) :], q)), 1) for q in (50, 99)
    )
    return WindowParity(
        frames=len(want),
        frames_per_step=spec.frames_per_step,
        step_to_offline=worst,
        step_p50_ms=p50,
        step_p99_ms=p99,
    )


def probe_inputs(spec: ModelSpec, steps: int) -> list[Inputs]:
    """Return step inputs of one session with a voice, words of any age, and one speaker."""
    from export.parity import probe_signal

    random = np.random.default_rng(1)
    clock = FrameClock(fps=spec.fps)
    count = steps * spec.frames_per_step
    audio = np.concatenate([np.zeros(CHUNK, np.float32), probe_signal(count / 15 + 1, 2)])
    style = np.zeros(len(spec.styles), np.float32)
    style[spec.styles.index(spec.default_style)] = 1.0
    fixed = {
        "lookahead": np.array([spec.default_lookahead], np.int32),
        "style": style,
        "seed": np.array([11.0, 222.0, 3333.0], np.float32),
    }
    rows: list[dict[str, npt.NDArray[Any]]] = []
    for m in range(count):
        end = clock.end(m) + CHUNK
        says = random.random() < 0.3
        info = [1.0, np.log1p(random.integers(0, 40)), 1.0] if says else [0.0, 0.0, 0.0]
        ids = np.zeros(spec.words.slots, np.int32)
        if says:
            known = random.integers(1, spec.words.slots + 1)
            ids[:known] = random.integers(1, spec.words.buckets, known)
        rows.append(
            {
                "audio": audio[None, end - CHUNK : end],
                "hop": np.array([clock.end(m) - clock.start(m)], np.int32),
                "word": ids,
                "word_info": np.array(info, np.float32),
            }
        )
    if spec.frames_per_step == 1:
        return [{**row, **fixed} for row in rows]
    return [
        {name: np.stack([row[name] for row in step]) for name in rows[0]} | fixed
        for step in (rows[m * spec.frames_per_step :][: spec.frames_per_step] for m in range(steps))
    ]
