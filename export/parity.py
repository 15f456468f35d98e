"""The gate of export: an artifact must equal its network, offline and step by step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from models.dice import Dice
from models.frontend import column_windows
from models.ha2g_stream import COLUMNS, Ha2gStream
from streamer.spec import load_manifest

Array = npt.NDArray[np.float32]
TOLERANCE = 1e-5
"""Largest absolute difference of a direction component (hop.md 15, law 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Largest absolute differences found over `frames` frames."""

    frames: int
    step_to_offline: float


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
    """Compare an artifact's graph, step by step, with the network's offline form.

    Raises `RuntimeError` with the measured difference where it exceeds 1e-5.
    """
    spec = load_manifest(folder).spec
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
    runtime = cast(Any, ort)  # it ships no types
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(folder / "model.onnx", options, ["CPUExecutionProvider"])
    state = {t.name: np.zeros((1, *t.shape), np.float32) for t in spec.state}
    worst = 0.0
    for m in range(frames):
        feed: dict[str, npt.NDArray[Any]] = {
            "audio": windows[m][None],
            "word": words[m][None],
            "word_info": info[m][None],
            "lookahead": np.array([[spec.default_lookahead]], np.int32),
            "style": style[None],
            "seed": seed[None],
            "start": np.array([m == 0]),
            "ready": np.array([True]),
            **state,
        }
        outputs = cast(list[Array], session.run(None, feed))
        count = len(spec.outputs)
        state = dict(zip(state, outputs[count:], strict=True))
        worst = max(worst, float(np.abs(outputs[0][0] - want[m]).max()))
    if not worst <= TOLERANCE:
        raise RuntimeError(
            f"{folder.name}: step by step differs from offline by {worst:.2g} over {frames} "
            f"frames, allowed {TOLERANCE:g}; the artifact was not written"
        )
    return Parity(frames=frames, step_to_offline=worst)
