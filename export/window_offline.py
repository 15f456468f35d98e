"""A `*_window` session computed apart from its step: whole windows, one by one.

Independent of the step graph: windows are cut from the whole signal, words and
poses are kept by frame, spectra come from librosa, GRUs and language models are
torch's and Hugging Face's own.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import librosa
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.ha2g import HA2G
from models.ha2g_window import LEVEL_FALL, LEVEL_LEAST, LEVEL_START
from models.hop import Hop
from models.hop_window import AUDIBLE_DB, LEVEL_DEPTH, PIECES
from models.hop_window import LEVEL_FALL as HOP_LEVEL_FALL
from models.hop_window import LEVEL_START as LEVELS
from models.melspectrogram import FLOOR_DB, hop_log_mel, hop_released_log_mel
from models.sliding import CHUNK, FADE, FRAMES, SAMPLES
from streamer.windowing import PER_FRAME

Array = npt.NDArray[np.float32]
Inputs = Mapping[str, npt.NDArray[Any]]
"""One step's inputs without the slot axis."""

Offline = Callable[[Inputs, Sequence[Inputs]], tuple[Array, Array]]
"""From a session's first state, which holds its draws, and its inputs to directions
[T, D, 3] and voice [T, 1], by frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a window holds.

    samples: [36267]. emitted: what the stream emitted at each of its frames, [34, D],
    zero where `known` [34] is not. now: the index of its last frame. said: the words
    that came in each frame of the stream so far, with the frame where each began.
    """

    samples: Array
    emitted: Array
    known: npt.NDArray[np.bool_]
    now: int
    said: tuple["Said", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A word's ids, the frame in which it came and the one in which it began."""

    ids: npt.NDArray[Any]
    came: int
    began: int


@dataclass(slots=True)
class _Stream:
    """A session so far."""

    samples: Array = field(default_factory=lambda: np.zeros(SAMPLES, np.float32))
    said: list[Said] = field(default_factory=list[Said])
    emitted: dict[int, Array] = field(default_factory=dict[int, Array])


def by_frame(inputs: Sequence[Inputs], frames: int) -> list[dict[str, npt.NDArray[Any]]]:
    """Return each frame's own inputs."""
    if frames == 1:
        return [dict(x) for x in inputs]
    return [
        {name: value[k] if name in PER_FRAME else value for name, value in x.items()}
        for x in inputs
        for k in range(frames)
    ]


def stream(
    window: Callable[[Heard], Array], inputs: Sequence[Inputs], *, frames: int, dim: int
) -> Array:
    """Return the poses [T, dim] that a session emits, of steps of `frames` frames.

    window: the network's poses [34, dim] of a window, mean-subtracted.
    """
    state = _Stream()
    ahead = int(inputs[0]["lookahead"][0])
    rows = by_frame(inputs, frames)
    for now, x in enumerate(rows):
        piece = x["audio"][0, CHUNK - int(x["hop"][0]) :]
        state.samples = np.concatenate([state.samples, piece])
        if x["word_info"][0] > 0.5:
            began = now - round(float(np.expm1(x["word_info"][1])))
            state.said.append(Said(ids=x["word"], came=now, began=began))
        if (now + 1) % frames == 0:
            poses = window(_heard(state, now, dim))
            _emit(state.emitted, poses, now, ahead=ahead, frames=frames, dim=dim)
    return np.stack([state.emitted[frame - ahead] for frame in range(len(rows))])


def _heard(state: _Stream, now: int, dim: int) -> Heard:
    span = range(now - FRAMES + 1, now + 1)
    nothing = np.zeros(dim, np.float32)
    return Heard(
        samples=state.samples[-SAMPLES:],
        emitted=np.stack([state.emitted.get(frame, nothing) for frame in span]),
        known=np.array([frame in state.emitted for frame in span]),
        now=now,
        said=tuple(state.said),
    )


def _emit(
    emitted: dict[int, Array], poses: Array, now: int, *, ahead: int, frames: int, dim: int
) -> None:
    """Add a step's poses; the offset at the seam is (a + b j + c j^2) r^j."""
    first = now - ahead - frames + 1
    place = FRAMES - ahead - frames
    nothing = np.zeros(dim, np.float32)
    # the offsets of the last three frames, j = 0, -1, -2, without their r^j
    zero, one, two = (
        (emitted.get(first - 1 - n, nothing) - poses[place - 1 - n]) * FADE**n for n in range(3)
    )
    square = (zero - 2 * one + two) / 2
    line = zero - one + square
    for k in range(frames):
        j = k + 1
        emitted[first + k] = poses[place + k] + (zero + line * j + square * j * j) * FADE**j


def ha2g_offline(network: HA2G, frames: int) -> Offline:
    """Return the published network on each window; the session's state holds its `noise`."""
    dim = 3 * network.config.skeleton.vectors

    @torch.no_grad()
    def run(state: Inputs, inputs: Sequence[Inputs]) -> tuple[Array, Array]:
        mixed = _with_speaker(network, torch.tensor(inputs[0]["style"]))
        noise = torch.tensor(state["noise"])[None]
        level = LEVEL_START
        voices: list[float] = []

        def window(heard: Heard) -> Array:
            nonlocal level
            power = librosa.feature.melspectrogram(
                y=heard.samples, sr=16_000, n_fft=1024, hop_length=512
            )
            decibels = 10 * np.log10(np.maximum(power[:, :70], 1e-10))
            fallen = max(level - frames * LEVEL_FALL, LEVEL_LEAST)
            level = max(fallen, float(decibels.max()))
            image = np.maximum(decibels - level, FLOOR_DB).astype(np.float32)
            for k in range(frames):
                end = round((FRAMES - frames + k + 1) * 16_000 / 15 / 512) - 1
                loud = float(image[:, end - 2 : end].max())
                voices.append(1 / (1 + np.exp(-(loud + 25) / 3)))
            poses = mixed(
                torch.tensor(image)[None],
                torch.tensor(_rows(heard))[None],
                torch.zeros(1, dtype=torch.int64),
                torch.tensor(heard.emitted[:4])[None],
                noise,
            )
            return poses[0].numpy()

        poses = stream(window, inputs, frames=frames, dim=dim)
        directions = poses.reshape(len(poses), -1, 3) + network.config.skeleton.mean
        return directions, np.array(voices, np.float32)[:, None]

    return run


def hop_offline(network: Hop, frames: int) -> Offline:
    """Return the offline HOP on each window; the session's state holds its `noise`."""
    preset = network.config.preset
    dim = 3 * network.config.skeleton.vectors

    @torch.no_grad()
    def run(state: Inputs, inputs: Sequence[Inputs]) -> tuple[Array, Array]:
        plain = copy.deepcopy(network).eval()
        plain.fold()
        plain.style.table.weight[0] = torch.tensor(inputs[0]["style"]) @ plain.style.table.weight
        noise = torch.tensor(state["noise"])[None]
        level = LEVELS[preset]
        voices: list[float] = []

        def window(heard: Heard) -> Array:
            nonlocal level
            mel, decibels = _hop_mel(heard.samples, clean=preset == "hop")
            fallen = max(level - frames * HOP_LEVEL_FALL, LEVELS[preset] - LEVEL_DEPTH)
            level = max(fallen, float(decibels.max()))
            for loud in decibels[-frames:].max(1):
                voices.append(1 / (1 + np.exp(-(float(loud) - level - AUDIBLE_DB) / 3)))
            samples = torch.tensor(heard.samples)[None]
            seeds = torch.tensor(heard.emitted[: plain.config.seeds])[None]
            style = plain.style(torch.zeros(1, dtype=torch.int64), noise)
            if preset == "hop_released":
                moved = plain.moved(samples, seeds)
            else:
                known = torch.zeros(1, FRAMES, 1)
                known[0, : plain.config.seeds, 0] = torch.tensor(heard.known[: plain.config.seeds])
                given = torch.zeros(1, FRAMES, dim)
                given[:, : plain.config.seeds] = seeds
                graph = cast(Any, plain.graph)(samples, given, known)
                moved = torch.cat((graph.pose, graph.rhythm), dim=-1)
            spoken = plain.spoken(torch.tensor(mel)[None], _pieces(heard)[None])
            parts = (moved, spoken, style.z.unsqueeze(1).expand(-1, FRAMES, -1))
            return plain.head(plain.recurrent(torch.cat(parts, dim=-1)))[0].numpy()

        poses = stream(window, inputs, frames=frames, dim=dim)
        directions = poses.reshape(len(poses), -1, 3) + network.config.skeleton.mean
        return directions, np.array(voices, np.float32)[:, None]

    return run


def _hop_mel(samples: Array, *, clean: bool) -> tuple[Array, Array]:
    """Return a preset's spectrogram [34, 128] of a window, and the decibels that it is made of."""
    if clean:
        mel = hop_log_mel(samples, FRAMES)
        return mel, mel * 40 - 40
    power = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=1024, hop_length=1096, n_mels=128
    )
    return hop_released_log_mel(samples), (10 * np.log10(np.maximum(power, 1e-10))).T


def _pieces(heard: Heard) -> Tensor:
    """Return the pieces at each frame of a window, int64 [34, 4], -1 for none."""
    taken: dict[int, npt.NDArray[Any]] = {}
    for word in heard.said:
        frame = word.began
        while frame in taken:
            frame += 1
        if frame <= word.came and word.came - word.began < FRAMES and word.ids[0]:
            taken[frame] = word.ids
    rows = [taken.get(heard.now - FRAMES + 1 + i) for i in range(FRAMES)]
    out = np.array(
        [np.full(PIECES, -1) if row is None else np.where(row > 0, row, -1) for row in rows]
    )
    return torch.tensor(out, dtype=torch.int64)


def _rows(heard: Heard) -> npt.NDArray[np.int64]:
    """Return the vocabulary row at each frame of a window; a later word overwrites."""
    out = np.zeros(FRAMES, np.int64)
    for word in heard.said:
        place = word.began - (heard.now - FRAMES + 1)
        if 0 <= place and word.came - word.began < FRAMES:
            out[place] = word.ids[0]
    return out


def _with_speaker(network: HA2G, style: Tensor) -> HA2G:
    """Return a copy whose speaker 0 is a mixture of all rows."""
    mixed = copy.deepcopy(network)
    tables = [mixed.audio.coordinator.table]
    tables += [cast(Any, generator).style.table for generator in mixed.generators]
    for table in tables:
        table.weight[0] = style @ table.weight
    return mixed
