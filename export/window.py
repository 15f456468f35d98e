"""`ha2g_window` to an artifact, verified against the offline network window by window."""

import copy
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import librosa
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from torch import Tensor

from export.onnx_graph import FORBIDDEN, OPSET
from models.ha2g import FRAMES, HA2G, SEEDS
from models.ha2g_window import CHUNK, LEVEL_FALL, LEVEL_LEAST, LEVEL_START, LOOKAHEADS, SAMPLES
from models.ha2g_window import HA2GWindow as Window
from models.melspectrogram import FLOOR_DB
from models.stepping import StepModule
from streamer.clock import FrameClock
from streamer.errors import ArtifactError
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

Array = npt.NDArray[np.float32]
TOLERANCE = 1e-4
"""Largest absolute difference of a direction component.

Decibels reach 80 in a deep network of float32; measured 2e-7 on narrow ones.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowParity:
    """Differences over `frames` steps and how long a step took on one core."""

    frames: int
    step_to_offline: float
    step_p50_ms: float
    step_p99_ms: float


def window_spec(
    network: Window, *, name: str, styles: Sequence[str], default_style: str
) -> ModelSpec:
    """Return the step contract; styles: the speakers, one for each row."""
    rows = network.network.config.words
    return ModelSpec(
        name=name,
        network="ha2g_window",
        preset="published",
        fps=Fraction(15),
        frames_per_step=1,
        lookaheads=LOOKAHEADS,
        default_lookahead=2,
        skeleton=network.skeleton,
        audio=AudioSpec(window=CHUNK, columns=1),
        words=WordSpec(buckets=rows, slots=1, kind="vocabulary"),
        styles=tuple(styles),
        default_style=default_style,
        inputs=(
            TensorSpec(name="audio", shape=(1, CHUNK)),
            TensorSpec(name="hop", shape=(1,), dtype="int32"),
            TensorSpec(name="word", shape=(1,), dtype="int32"),
            TensorSpec(name="word_info", shape=(3,)),
            TensorSpec(name="lookahead", shape=(1,), dtype="int32"),
            TensorSpec(name="style", shape=(len(styles),)),
            TensorSpec(name="seed", shape=(3,)),
        ),
        outputs=(
            TensorSpec(name="directions", shape=(network.skeleton.vectors, 3)),
            TensorSpec(name="voice", shape=(1,)),
        ),
        state=tuple(TensorSpec(name=n, shape=s) for n, s in network.state_shapes().items()),
    )


def build_window(
    network: HA2G,
    folder: Path,
    *,
    name: str,
    styles: Sequence[str],
    default_style: str,
    words: Mapping[str, int],
    texts: Mapping[str, str],
    files: Mapping[str, Path],
    licence: str,
    provenance: Mapping[str, Any],
    steps: int = 45,
) -> WindowParity:
    """Write a verified `ha2g_window` artifact; nothing is left where it differs from torch.

    words: the vocabulary. texts and files: what else goes into the folder, by
    name. steps: how many are compared.
    """
    window = Window(network).eval()
    spec = window_spec(window, name=name, styles=styles, default_style=default_style)
    module = StepModule(
        window, tuple(t.name for t in spec.inputs), tuple(t.name for t in spec.outputs)
    ).eval()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch)
        with torch.no_grad():
            _export_traced(module, spec, made / "model.onnx")
        listed = json.dumps(dict(words), ensure_ascii=False, indent=0)
        for file, text in {**texts, VOCABULARY: listed}.items():
            (made / file).write_text(text, encoding="utf-8")
        for file, path in files.items():
            shutil.move(path, made / file)
        parity = verify_window(window, made / "model.onnx", spec, steps=steps)
        measured = {"step_p50_ms": parity.step_p50_ms, "step_p99_ms": parity.step_p99_ms}
        manifest = Manifest(
            spec=spec,
            licence=licence,
            training={**provenance, "measured_at_import": measured},
            files={path.name: sha256(path) for path in sorted(made.iterdir())},
        )
        write_manifest(made, manifest)
        load_manifest(made)
        folder.mkdir(exist_ok=True)
        for path in sorted(made.iterdir()):
            shutil.move(path, folder / path.name)
    return parity


def _export_traced(module: StepModule, spec: ModelSpec, path: Path) -> None:
    """Write the step graph with a dynamic slot axis, by tracing.

    The GRUs stay ONNX `GRU` nodes: written out, 34 frames of them in two
    directions are so many nodes that the exporter of `export.onnx_graph` did
    not end within ten minutes. onnxruntime runs such a node fast; TensorRT runs
    it as a loop, correct but slow (spec/tensorrt.md). That the gates are in the
    right order is what `verify_window` shows.
    """
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


# -- the offline side ------------------------------------------------------------


@torch.no_grad()
def offline(
    network: HA2G, noise: Array, inputs: Sequence[Mapping[str, Array]]
) -> tuple[Array, Array]:
    """Return directions [T, D, 3] and voice [T, 1]: the published network on each window.

    noise: [K, 16], the session's draw. inputs: step inputs without slot axis.
    Independent of the step: librosa's spectrogram, torch's GRU, windows cut
    from the whole signal.
    """
    mixed = _with_speaker(network, torch.tensor(inputs[0]["style"]))
    dim = 3 * network.config.skeleton.vectors
    ahead = int(inputs[0]["lookahead"][0])
    signal, ends = _signal(inputs)
    words = _placed_words(inputs)
    emitted = np.zeros((FRAMES - 1 + len(inputs), dim), np.float32)
    level = LEVEL_START
    out: list[Array] = []
    voice: list[float] = []
    for m, end in enumerate(ends):
        cut = signal[end - SAMPLES : end]
        power = librosa.feature.melspectrogram(y=cut, sr=16_000, n_fft=1024, hop_length=512)
        decibels = 10 * np.log10(np.maximum(power[:, :70], 1e-10))
        level = max(level - LEVEL_FALL, LEVEL_LEAST, float(decibels.max()))
        image = np.maximum(decibels - level, FLOOR_DB).astype(np.float32)
        # row FRAMES - 1 + s of `emitted` is what step s put out
        seeds = emitted[m + ahead : m + ahead + SEEDS]
        poses = mixed(
            torch.tensor(image)[None],
            torch.tensor(words[m])[None],
            torch.zeros(1, dtype=torch.int64),
            torch.tensor(seeds)[None],
            torch.tensor(noise)[None],
        )
        pose = poses[0, FRAMES - 1 - ahead].numpy()
        emitted[FRAMES - 1 + m] = pose
        out.append(pose.reshape(-1, 3) + network.config.skeleton.mean)
        voice.append(1 / (1 + np.exp(-(float(image[:, -2:].max()) + 25) / 3)))
    return np.array(out), np.array(voice, np.float32)[:, None]


def _with_speaker(network: HA2G, style: Tensor) -> HA2G:
    """Return a copy whose speaker 0 is a mixture of all rows."""
    mixed = copy.deepcopy(network)
    tables = [mixed.audio.coordinator.table]
    tables += [cast(Any, generator).style.table for generator in mixed.generators]
    for table in tables:
        table.weight[0] = style @ table.weight
    return mixed


def _signal(inputs: Sequence[Mapping[str, Array]]) -> tuple[Array, list[int]]:
    """Return all samples behind a window of silence, and where each step ends in it."""
    pieces = [np.zeros(SAMPLES, np.float32)]
    pieces += [x["audio"][0, CHUNK - int(x["hop"][0]) :] for x in inputs]
    ends = np.cumsum([len(piece) for piece in pieces])[1:]
    return np.concatenate(pieces), [int(end) for end in ends]


def _placed_words(inputs: Sequence[Mapping[str, Array]]) -> list[npt.NDArray[np.int64]]:
    """Return each window's rows [34]: every word that has come, where it began."""
    frames = np.zeros(FRAMES - 1 + len(inputs), np.int64)
    out: list[npt.NDArray[np.int64]] = []
    for m, x in enumerate(inputs):
        age = round(float(np.expm1(x["word_info"][1])))
        if x["word_info"][0] > 0.5 and age < FRAMES:
            frames[FRAMES - 1 + m - age] = int(x["word"][0])
        out.append(frames[m : m + FRAMES].copy())
    return out


def verify_window(window: Window, graph: Path, spec: ModelSpec, *, steps: int) -> WindowParity:
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
    noise: Array | None = None
    for m, x in enumerate(inputs):
        feed = {name: value[None] for name, value in x.items()}
        masks = {"start": np.array([m == 0]), "ready": np.array([True])}
        began = time.perf_counter()
        values = cast(list[Array], session.run(None, {**feed, **masks, **state}))
        took.append((time.perf_counter() - began) * 1e3)
        got.append(values[0][0])
        state = dict(zip(state, values[len(spec.outputs) :], strict=True))
        noise = state["noise"][0]
    assert noise is not None
    want, _ = offline(window.network, noise, inputs)
    worst = float(np.abs(np.array(got) - want).max())
    if not worst <= TOLERANCE:
        raise ArtifactError(
            f"{spec.name}: step by step differs from the offline network by {worst:.2g} over "
            f"{steps} windows, allowed {TOLERANCE:g}; the artifact was not written"
        )
    p50, p99 = (round(float(np.percentile(took[3:], q)), 1) for q in (50, 99))
    return WindowParity(frames=steps, step_to_offline=worst, step_p50_ms=p50, step_p99_ms=p99)


def probe_inputs(spec: ModelSpec, steps: int) -> list[dict[str, npt.NDArray[Any]]]:
    """Return step inputs of one session with a voice, words of any age, and one speaker."""
    from export.parity import probe_signal

    random = np.random.default_rng(1)
    clock = FrameClock(fps=spec.fps)
    audio = np.concatenate([np.zeros(CHUNK, np.float32), probe_signal(steps / 15 + 1, 2)])
    style = np.zeros(len(spec.styles), np.float32)
    style[spec.styles.index(spec.default_style)] = 1.0
    out: list[dict[str, npt.NDArray[Any]]] = []
    for m in range(steps):
        end = clock.end(m) + CHUNK
        says = random.random() < 0.3
        info = [1.0, np.log1p(random.integers(0, 40)), 1.0] if says else [0.0, 0.0, 0.0]
        word = random.integers(1, spec.words.buckets) if says else 0
        out.append(
            {
                "audio": audio[None, end - CHUNK : end],
                "hop": np.array([clock.end(m) - clock.start(m)], np.int32),
                "word": np.array([word], np.int32),
                "word_info": np.array(info, np.float32),
                "lookahead": np.array([spec.default_lookahead], np.int32),
                "style": style,
                "seed": np.array([11.0, 222.0, 3333.0], np.float32),
            }
        )
    return out
