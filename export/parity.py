"""The gate of export: an artifact must equal its network, offline and step by step."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.dice import Dice
from models.frontend import column_windows
from models.ha2g_stream import COLUMNS, Ha2gStream
from streamer.backends.base import StepBackend
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.backends.torch import TorchBackend
from streamer.spec import ModelSpec, load_manifest
from streamer.types import StepInputs

Array = npt.NDArray[np.float32]
TOLERANCE = 1e-5
"""Largest absolute difference of a direction component (hop.md 15, law 1)."""


HALF_TOLERANCE = 0.02
"""The same for the fp16 graph: a bone 1.1 degrees off. Measured over 60 s of the default model:
worst 0.0038, mean 0.00052 in the first ten seconds and 0.00057 in the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far a lower precision is off: at worst, and on average early and late.

    mean_early, mean_late: over the first and the last sixth of the frames; a
    recurrent state that drifts shows as late over early.
    """

    worst: float
    mean_early: float
    mean_late: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Largest absolute differences found over `frames` frames; None for a graph not there."""

    frames: int
    step_to_offline: float
    half: Drift | None = None
    program: float | None = None


def probe_signal(seconds: float, seed: int) -> Array:
    """Return audio [n] that exercises levels, onsets, noise and silence."""
    random = np.random.default_rng(seed)
    n = int(seconds * 16_000)
    t = np.arange(n) / 16_000
    pitch = 120 + 40 * np.sin(2 * np.pi * 0.3 * t)
    tone = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / 16_000))
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t), 0, 1) * (np.sin(2 * np.pi * 0.11 * t) > -0.5)
    level = 10 ** (np.interp(t, np.linspace(0, seconds, 9), random.uniform(-35, -6, 9)) / 20)
    noise = random.standard_normal(n) * 0.003
    return (tone * syllables * level + noise).astype(np.float32)


@torch.no_grad()
def offline(
    network: Ha2gStream,
    audio: Array,
    words: npt.NDArray[np.int32],
    word_info: Array,
    *,
    lookahead: int,
    style: Array,
    seed: Array,
) -> Array:
    """Return directions [T, D, 3] of a whole signal in one pass.

    words int32 [T, slots] and word_info [T, 3] per step; style [styles];
    seed [3]. Row m is what step m of a stream emits.
    """
    frames = len(words)
    windows = torch.tensor(column_windows(audio, frames, COLUMNS, network.config.window))
    image, level = network.features(windows)
    codes = network.codes[draw(network.dice, frames, seed)]
    poses, _ = network(
        image[None],
        level[None],
        torch.tensor(words)[None],
        torch.tensor(word_info)[None],
        torch.tensor([[lookahead]]),
        torch.tensor(style)[None],
        codes[None],
    )
    return (poses[-1][0].unflatten(-1, (-1, 3)) + network.mean).numpy()


def draw(dice: Dice, frames: int, seed: Array) -> torch.Tensor:
    """Return the code index [frames] in force at each step of a session."""
    state = torch.tensor([[*seed.tolist(), 0.0]])
    indices: list[torch.Tensor] = []
    current = torch.zeros(1, dtype=torch.int64)
    for _ in range(frames):
        state, index, drawn = dice.step(state)
        current = torch.where(drawn[:, 0], index, current)
        indices.append(current)
    return torch.cat(indices)


def verify(network: Ha2gStream, folder: Path, *, seconds: float) -> Parity:
    """Compare every graph of an artifact, step by step, with the network's offline form.

    Raises `RuntimeError` with the measured difference where one exceeds its
    tolerance: 1e-5, and `HALF_TOLERANCE` for fp16.
    """
    manifest = load_manifest(folder)
    probe = _probe(network, manifest.spec, seconds)
    backends: dict[str, Callable[[], StepBackend[Any]]] = {
        "model.onnx": lambda: OnnxRuntimeBackend(folder),
        "model.fp16.onnx": lambda: OnnxRuntimeBackend(folder, precision="float16"),
        "model.pt2": lambda: TorchBackend(folder, device="cpu"),
    }
    found = dict[str, Array]()
    for name, make in backends.items():
        if name in manifest.files:
            backend = make()
            found[name] = _differences(backend, probe)
            backend.close()
            allowed = HALF_TOLERANCE if "fp16" in name else TOLERANCE
            worst = float(found[name].max())
            if not worst <= allowed:
                raise RuntimeError(
                    f"{folder.name}: {name} step by step differs from offline by {worst:.2g} over "
                    f"{len(probe.steps)} frames, allowed {allowed:g}; the artifact was not written"
                )
    half = found.get("model.fp16.onnx")
    program = found.get("model.pt2")
    return Parity(
        frames=len(probe.steps),
        step_to_offline=float(found["model.onnx"].max()),
        half=None if half is None else _drift(half),
        program=None if program is None else float(program.max()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    """One session's inputs by step, and the directions [T, D, 3] that they must give."""

    steps: list[dict[str, npt.NDArray[Any]]]
    want: Array


def _probe(network: Ha2gStream, spec: ModelSpec, seconds: float) -> _Probe:
    frames = spec.clock.frames_in(int(seconds * 16_000))
    random = np.random.default_rng(1)
    audio = probe_signal(seconds, 2)
    words = random.integers(1, spec.words.buckets, (frames, spec.words.slots)).astype(np.int32)
    words[random.random(frames) < 0.8] = 0
    info = np.stack([words[:, 0] > 0, random.random(frames), random.random(frames) < 0.5], 1)
    info = info.astype(np.float32)
    style = np.zeros(len(spec.styles), np.float32)
    style[-1] = 1.0
    seed = np.array([11.0, 222.0, 3333.0], np.float32)
    want = offline(
        network, audio, words, info, lookahead=spec.default_lookahead, style=style, seed=seed
    )
    windows = column_windows(audio, frames, spec.audio.columns, spec.audio.window)
    lookahead = np.array([spec.default_lookahead], np.int32)
    steps: list[dict[str, npt.NDArray[Any]]] = [
        {
            "audio": windows[m],
            "word": words[m],
            "word_info": info[m],
            "lookahead": lookahead,
            "style": style,
            "seed": seed,
        }
        for m in range(frames)
    ]
    return _Probe(steps=steps, want=want)


def _differences(backend: StepBackend[Any], probe: _Probe) -> Array:
    """Return the largest absolute difference of each frame [T]."""
    state = backend.initial_state(1)
    worst = np.zeros(len(probe.steps), np.float32)
    for m, row in enumerate(probe.steps):
        inputs = StepInputs(
            tensors={name: tensor[None] for name, tensor in row.items()},
            start=np.array([m == 0]),
            ready=np.array([True]),
        )
        outputs, state = backend.step(inputs, state)
        worst[m] = np.abs(outputs["directions"][0] - probe.want[m]).max()
    return worst


def _drift(differences: Array) -> Drift:
    sixth = max(len(differences) // 6, 1)
    return Drift(
        worst=float(differences.max()),
        mean_early=float(differences[:sixth].mean()),
        mean_late=float(differences[-sixth:].mean()),
    )
