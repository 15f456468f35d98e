"""The gate of export: an artifact must equal its network, offline and step by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from models.dice import Dice
from models.families import StreamNetwork
from models.frontend import column_windows
from models.ha2g_stream import COLUMNS
from streamer.backends.base import StepBackend
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.backends.torch import TorchBackend
from streamer.spec import ModelSpec, load_manifest
from streamer.types import StepInputs, Tensors

Array = npt.NDArray[np.float32]
TOLERANCE = 1e-5
"""Largest absolute difference of a direction component (hop.md 15, law 1)."""


HALF_TOLERANCE = 0.02
"""The same for the fp16 graph, one step from the same state: a bone 1.1 degrees off."""
MOST_FLIPS = 0.01
"""Largest share of frames at which a lower precision may decide otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """How far a lower precision is off, each step from the same float32 state.

    A decision (`models/rhythm.py`) is discrete: where rounding flips one, the
    motion differs for a while and comparing it says nothing. worst, mean:
    differences of direction components at frames decided alike; flips: the
    share of frames that are not.
    """

    worst: float
    mean: float
    flips: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Largest absolute differences found over `frames` frames; None for a graph not there."""

    frames: int
    step_to_offline: float
    half: Rounding | None = None
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
    network: StreamNetwork,
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
    drawn = network.generate(
        image[None],
        level[None],
        torch.tensor(words)[None],
        torch.tensor(word_info)[None],
        torch.tensor([[lookahead]]),
        torch.tensor(style)[None],
        codes[None],
        torch.tensor(seed)[None],
    )
    flat = cast(Any, drawn.poses[-1][0])  # partly untyped
    return cast(Array, (flat.unflatten(-1, (-1, 3)) + network.mean).numpy())


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


def verify(network: StreamNetwork, folder: Path, *, seconds: float) -> Parity:
    """Compare every graph of an artifact, step by step, with the network's offline form.

    Raises `RuntimeError` with the measured difference where one exceeds its
    tolerance: 1e-5; for fp16, compared with the float32 graph one step at a
    time, `HALF_TOLERANCE` and `MOST_FLIPS`.
    """
    manifest = load_manifest(folder)
    probe = _probe(network, manifest.spec, seconds)
    full = OnnxRuntimeBackend(folder)
    worst = _checked(folder, "model.onnx", full, probe)
    program: float | None = None
    if "model.pt2" in manifest.files:
        program = _checked(folder, "model.pt2", TorchBackend(folder, device="cpu"), probe)
    half: Rounding | None = None
    if "model.fp16.onnx" in manifest.files:
        lower = OnnxRuntimeBackend(folder, precision="float16")
        half = rounding(full, lower, probe.steps)
        lower.close()
        if not (half.worst <= HALF_TOLERANCE and half.flips <= MOST_FLIPS):
            raise RuntimeError(
                f"{folder.name}: model.fp16.onnx differs from float32 by {half.worst:.2g} and "
                f"decides otherwise at {half.flips:.2%} of {len(probe.steps)} frames, allowed "
                f"{HALF_TOLERANCE:g} and {MOST_FLIPS:.0%}; the artifact was not written"
            )
    full.close()
    return Parity(frames=len(probe.steps), step_to_offline=worst, half=half, program=program)


def _checked(folder: Path, name: str, backend: StepBackend[Any], probe: "_Probe") -> float:
    worst = float(_differences(backend, probe).max())
    if not worst <= TOLERANCE:
        raise RuntimeError(
            f"{folder.name}: {name} step by step differs from offline by {worst:.2g} over "
            f"{len(probe.steps)} frames, allowed {TOLERANCE:g}; the artifact was not written"
        )
    return worst


def rounding(full: StepBackend[Any], lower: StepBackend[Any], steps: Sequence[Tensors]) -> Rounding:
    """Compare two precisions of one session's steps, each step from the state of `full`."""
    decides = any(tensor.name == "move" for tensor in full.spec.state)
    state = full.initial_state(1)
    errors, flips = list[Array](), 0
    for m, row in enumerate(steps):
        inputs = _step_inputs(row, first=m == 0)
        other = lower.restore(lower.initial_state(1), 0, full.save(state, 0))
        want, state = full.step(inputs, state)
        got, other = lower.step(inputs, other)
        if decides:
            moves = (full.save(state, 0).tensors["move"], lower.save(other, 0).tensors["move"])
            if not np.array_equal(*moves):
                flips += 1
                continue
        errors.append(np.abs(got["directions"] - want["directions"]))
    found = np.array(errors)
    return Rounding(
        worst=float(found.max(initial=0.0)), mean=float(found.mean()), flips=flips / len(steps)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    """One session's inputs by step, and the directions [T, D, 3] that they must give."""

    steps: list[dict[str, npt.NDArray[Any]]]
    want: Array


def _probe(network: StreamNetwork, spec: ModelSpec, seconds: float) -> _Probe:
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
        outputs, state = backend.step(_step_inputs(row, first=m == 0), state)
        worst[m] = np.abs(outputs["directions"][0] - probe.want[m]).max()
    return worst


def _step_inputs(row: Tensors, *, first: bool) -> StepInputs:
    return StepInputs(
        tensors={name: tensor[None] for name, tensor in row.items()},
        start=np.array([first]),
        ready=np.array([True]),
    )
