"""A tiny step network: as an ONNX artifact, as a numpy back end, and offline.

The three are written apart from each other and must agree. All are seeded; no
checkpoint is ever needed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.half import halve
from streamer.errors import BackendError
from streamer.humanoid import BONES
from streamer.skeleton import Skeleton, load_skeleton
from streamer.spec import (
    AudioSpec,
    Manifest,
    ModelSpec,
    TensorSpec,
    WordSpec,
    sha256,
    write_manifest,
)
from streamer.types import AudioChunk, GestureState, StepInputs, Tensors

HIDDEN = 8
CODE = 3
SKELETON = load_skeleton("ted_gesture")
VECTORS = SKELETON.vectors
MEAN = SKELETON.mean.reshape(-1)


def tiny_spec(name: str = "tiny") -> ModelSpec:
    return ModelSpec(
        name=name,
        network="tiny",
        preset="test",
        fps=Fraction(15),
        frames_per_step=1,
        lookaheads=(0, 2, 4),
        default_lookahead=2,
        skeleton=SKELETON,
        audio=AudioSpec(window=640, columns=2),
        words=WordSpec(buckets=64, slots=4),
        styles=("calm", "big"),
        default_style="calm",
        inputs=(
            TensorSpec(name="audio", shape=(2, 640)),
            TensorSpec(name="word", shape=(4,), dtype="int32"),
            TensorSpec(name="word_info", shape=(3,)),
            TensorSpec(name="lookahead", shape=(1,), dtype="int32"),
            TensorSpec(name="style", shape=(2,)),
            TensorSpec(name="seed", shape=(3,)),
        ),
        outputs=(
            TensorSpec(name="directions", shape=(VECTORS, 3)),
            TensorSpec(name="voice", shape=(1,)),
        ),
        state=(
            TensorSpec(name="h", shape=(HIDDEN,)),
            TensorSpec(name="code", shape=(CODE,)),
            TensorSpec(name="count", shape=(1,), dtype="int32"),
        ),
    )


def tiny_weights(seed: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float = 0.4) -> np.ndarray:
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    return {
        "w_audio": draw(1280, HIDDEN, scale=0.1),
        "w_word": draw(64, HIDDEN),
        "w_info": draw(3, HIDDEN),
        "w_ahead": draw(1, HIDDEN),
        "w_style": draw(2, HIDDEN),
        "w_gate": draw(HIDDEN, HIDDEN),
        "u_gate": draw(HIDDEN, HIDDEN),
        "w_cell": draw(HIDDEN, HIDDEN),
        "u_cell": draw(HIDDEN, HIDDEN),
        "w_out": draw(HIDDEN, VECTORS * 3),
        "w_code": draw(CODE, VECTORS * 3, scale=0.1),
        "mean": MEAN.copy(),
    }


def tiny_graph(weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The step as a graph: a GRU-like cell with its masks inside."""
    spec = tiny_spec()
    constants = {
        **weights,
        "zero": np.float32(0),
        "one": np.float32(1),
        "zero_int": np.int32(0),
        "one_int": np.int32(1),
        "seeds": np.float32(30_000),
        "turn": np.float32(3),
        "gain": np.float32(60),
        "bias": np.float32(3),
        "row": np.array([0, 1], np.int64),
        "last": np.array([1], np.int64),
        "flat": np.array([0, -1], np.int64),
        "pose": np.array([0, VECTORS, 3], np.int64),
    }
    nodes: list[onnx.NodeProto] = []

    def op(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    op("Unsqueeze", ["start", "last"], "start1")
    op("Unsqueeze", ["ready", "last"], "ready1")
    op("Where", ["start1", "zero", "h"], "h0")
    op("Div", ["seed", "seeds"], "seeded")
    op("Where", ["start1", "seeded", "code"], "code0")
    op("Where", ["start1", "zero_int", "count"], "count0")
    op("Reshape", ["audio", "flat"], "samples")
    op("Gather", ["w_word", "word"], "grams", axis=0)
    op("ReduceSum", ["grams", "last"], "gram", keepdims=0)
    op("Cast", ["lookahead"], "ahead", to=TensorProto.FLOAT)
    terms = [
        op("MatMul", ["samples", "w_audio"], "f_audio"),
        op("MatMul", ["word_info", "w_info"], "f_info"),
        op("MatMul", ["ahead", "w_ahead"], "f_ahead"),
        op("MatMul", ["style", "w_style"], "f_style"),
        "gram",
    ]
    op("Sum", terms, "summed")
    op("Tanh", ["summed"], "feature")
    for gate, function in (("gate", "Sigmoid"), ("cell", "Tanh")):
        op("MatMul", ["feature", f"w_{gate}"], f"in_{gate}")
        op("MatMul", ["h0", f"u_{gate}"], f"back_{gate}")
        op("Add", [f"in_{gate}", f"back_{gate}"], f"pre_{gate}")
        op(function, [f"pre_{gate}"], gate)
    op("Sub", ["one", "gate"], "keep")
    op("Mul", ["keep", "h0"], "kept")
    op("Mul", ["gate", "cell"], "fresh")
    op("Add", ["kept", "fresh"], "h1")
    op("Mul", ["code0", "turn"], "turned")
    op("Cos", ["turned"], "code1")
    op("Add", ["count0", "one_int"], "count1")
    op("MatMul", ["h1", "w_out"], "o_h")
    op("MatMul", ["code1", "w_code"], "o_code")
    op("Sum", ["o_h", "o_code", "mean"], "o")
    op("Reshape", ["o", "pose"], "directions")
    op("Abs", ["samples"], "loud")
    op("ReduceMean", ["loud", "last"], "loudness", keepdims=1)
    op("Mul", ["loudness", "gain"], "louder")
    op("Sub", ["louder", "bias"], "biased")
    op("Sigmoid", ["biased"], "voice")
    for name in ("h", "code", "count"):
        op("Where", ["ready1", f"{name}1", name], f"next_{name}")
    kinds = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}

    def values(specs: Sequence[TensorSpec], prefix: str = "") -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(prefix + t.name, kinds[t.dtype], ["slots", *t.shape])
            for t in specs
        ]

    masks = [
        helper.make_tensor_value_info(name, TensorProto.BOOL, ["slots"])
        for name in ("start", "ready")
    ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [*values(spec.inputs), *masks, *values(spec.state)],
        [*values(spec.outputs), *values(spec.state, "next_")],
        [
            numpy_helper.from_array(np.asarray(array), name)
            for name, array in constants.items()
            if name in used
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model


def tiny_artifact(folder: Path, seed: int = 7, *, half: bool = False) -> Path:
    """Write the tiny network as an artifact folder and return it; half: its fp16 graph too."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["model.onnx"]
    onnx.save(tiny_graph(tiny_weights(seed)), folder / "model.onnx")
    if half:
        names.append("model.fp16.onnx")
        halve(folder / "model.onnx", folder / "model.fp16.onnx")
    manifest = Manifest(
        spec=tiny_spec(folder.name),
        licence="Apache-2.0",
        training={},
        files={name: sha256(folder / name) for name in names},
    )
    write_manifest(folder, manifest)
    return folder


def offline(inputs: Sequence[Tensors], seed: int = 7) -> dict[str, np.ndarray]:
    """Run the tiny network over one session's inputs [T] in float64, by its equations."""
    w = {name: array.astype(np.float64) for name, array in tiny_weights(seed).items()}
    h = np.zeros(HIDDEN)
    code = inputs[0]["seed"].astype(np.float64) / 30_000
    directions, voice = [], []
    for x in inputs:
        samples = x["audio"].reshape(-1).astype(np.float64)
        feature = np.tanh(
            samples @ w["w_audio"]
            + x["word_info"] @ w["w_info"]
            + x["lookahead"] @ w["w_ahead"]
            + x["style"] @ w["w_style"]
            + w["w_word"][x["word"]].sum(0)
        )
        gate = 1 / (1 + np.exp(-(feature @ w["w_gate"] + h @ w["u_gate"])))
        h = (1 - gate) * h + gate * np.tanh(feature @ w["w_cell"] + h @ w["u_cell"])
        code = np.cos(3 * code)
        directions.append((h @ w["w_out"] + code @ w["w_code"] + w["mean"]).reshape(-1, 3))
        voice.append([1 / (1 + np.exp(3 - 60 * np.abs(samples).mean()))])
    return {"directions": np.array(directions), "voice": np.array(voice)}


class NumpyBackend:
    """The tiny network in numpy, with faults to order.

    fail_at: the call of `step` that raises; with `lose` its state is lost too.
    """

    def __init__(
        self, *, name: str = "numpy", fail_at: int | None = None, lose: bool = False, seed: int = 7
    ) -> None:
        self._name = name
        self._weights = tiny_weights(seed)
        self._fail_at = fail_at
        self._lose = lose
        self._lost = False
        self.calls = 0
        self.batches: list[int] = []
        self.closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def precision(self) -> str:
        return "float32"

    @property
    def spec(self) -> ModelSpec:
        return tiny_spec()

    def initial_state(self, slots: int) -> dict[str, np.ndarray]:
        return {t.name: np.zeros((slots, *t.shape), np.dtype(t.dtype)) for t in self.spec.state}

    def step(
        self, inputs: StepInputs, state: dict[str, np.ndarray]
    ) -> tuple[Tensors, dict[str, np.ndarray]]:
        call, self.calls = self.calls, self.calls + 1
        if call == self._fail_at:
            self._lost = self._lose
            raise BackendError(f"{self._name}: told to fail at step {call}")
        self.batches.append(int(inputs.ready.sum()))
        w, x = self._weights, inputs.tensors
        start, ready = inputs.start[:, None], inputs.ready[:, None]
        with np.errstate(all="ignore"):
            h = np.where(start, np.float32(0), state["h"])
            code = np.where(start, x["seed"] / np.float32(30_000), state["code"])
            count = np.where(start, np.int32(0), state["count"]) + np.int32(1)
            samples = x["audio"].reshape(len(h), -1)
            feature = np.tanh(
                samples @ w["w_audio"]
                + x["word_info"] @ w["w_info"]
                + x["lookahead"].astype(np.float32) @ w["w_ahead"]
                + x["style"] @ w["w_style"]
                + w["w_word"][x["word"]].sum(1)
            )
            gate = 1 / (1 + np.exp(-(feature @ w["w_gate"] + h @ w["u_gate"])))
            h = (1 - gate) * h + gate * np.tanh(feature @ w["w_cell"] + h @ w["u_cell"])
            code = np.cos(np.float32(3) * code)
            pose = h @ w["w_out"] + code @ w["w_code"] + w["mean"]
            loud = np.abs(samples).mean(1, keepdims=True)
            voice = 1 / (1 + np.exp(np.float32(3) - np.float32(60) * loud))
        fresh = {"h": h, "code": code, "count": count}
        moved = {
            name: np.where(ready, fresh[name], old).astype(old.dtype) for name, old in state.items()
        }
        outputs = {
            "directions": pose.reshape(-1, VECTORS, 3).astype(np.float32),
            "voice": voice.astype(np.float32),
        }
        return outputs, moved

    def save(self, state: dict[str, np.ndarray], slot: int) -> GestureState:
        if self._lost:
            raise BackendError(f"{self._name}: its state is lost")
        return GestureState(tensors={name: array[slot].copy() for name, array in state.items()})

    def restore(
        self, state: dict[str, np.ndarray], slot: int, saved: GestureState
    ) -> dict[str, np.ndarray]:
        if {n: t.shape for n, t in saved.tensors.items()} != {
            t.name: t.shape for t in self.spec.state
        }:
            raise BackendError("saved state is of another model")
        moved = {name: array.copy() for name, array in state.items()}
        for name, tensor in saved.tensors.items():
            moved[name][slot] = tensor
        return moved

    def close(self) -> None:
        self.closed = True


class Unturned:
    """A retargeting that turns no bone."""

    def __init__(self, skeleton: Skeleton, fps: float) -> None:
        self.rotations = np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1))
        self.root = np.zeros(3, np.float32)

    def __call__(self, directions: np.ndarray) -> "Unturned":
        assert np.allclose(np.linalg.norm(directions, axis=-1), 1, atol=1e-5)
        return self


class ManualClock:
    """Wall time that stands still until told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise in bursts of half a second with pauses between, float32 at 16 kHz."""
    rng = np.random.default_rng(seed)
    n = round(seconds * 16_000)
    loud = (np.arange(n) // 8_000 % 2 == 0) * 0.2
    return (rng.standard_normal(n) * loud).clip(-1, 1).astype(np.float32)


def chunks(
    samples: np.ndarray, sizes: Iterable[int] = (320,), start: int = 0
) -> Iterator[AudioChunk]:
    """Cut samples into chunks of these sizes, in turn."""
    at = 0
    for size in cycle(sizes):
        piece = samples[at : at + size]
        end = start + at + len(piece)
        yield AudioChunk(samples=piece, start=start + at, captured_at=100 + end / 16_000)
        at += len(piece)
        if at >= len(samples):
            return


class Steps:
    """A clock by which every step takes so long."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._now = seconds, 0.0

    def __call__(self) -> float:
        self._now += self._seconds
        return self._now
