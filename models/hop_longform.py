"""Whole clips from the offline HOP: windows every 30 frames, seeds from the one before.

As `models.longform` does it for the other networks; the words are split by the
language model's own tokenizer and stand in the frames where they begin.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.hop import FRAMES, Hop
from models.language import piece_slots
from models.longform import FPS, STRIDE, Window, synthesise
from models.melspectrogram import frame_end, hop_log_mel, hop_released_log_mel

Float32 = npt.NDArray[np.float32]

_PIECES = 4
_SAMPLES = frame_end(FRAMES - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenWord:
    """A word of the clip and its times in seconds."""

    text: str
    start: float
    end: float


def window_pieces(
    words: Sequence[SpokenWord], split: Callable[[str], Sequence[int]], first_frame: int
) -> torch.Tensor:
    """Return the piece ids of a window that begins with a frame: int64 [34, 4], -1 for none.

    A word that began earlier and is still spoken sits in frame 0.
    """
    timed: list[tuple[int, Sequence[int]]] = []
    for word in words:
        frame = math.floor(word.start * FPS) - first_frame
        if frame < FRAMES and word.end * FPS > first_frame:
            timed.append((max(0, frame), split(word.text)))
    return piece_slots(timed, FRAMES, _PIECES)


@torch.no_grad()
def hop_clip(
    model: Hop,
    split: Callable[[str], Sequence[int]],
    samples: Float32,
    words: Sequence[SpokenWord],
    speaker: int,
    *,
    seeds: Float32 | None = None,
    noise: Float32 | None = None,
) -> list[Float32]:
    """Return HOP's raw windows of a clip; `longform.join` makes them one sequence.

    split: from a word to its piece ids. seeds: [config.seeds, D]; without them
    the clean preset begins with none given, the released one with the mean
    pose. noise: [16], one draw for the clip; None takes the speaker's mean.
    """
    clean = model.config.preset == "hop"
    given = model.config.seeds
    dim = 3 * model.config.skeleton.vectors
    code = torch.zeros(1, 16) if noise is None else torch.from_numpy(noise)[None]
    nothing = np.zeros((0 if clean else given, dim), np.float32)

    def generate(window: Window, before: Float32 | None) -> Float32:
        first = STRIDE * window.number
        start = frame_end(first - 1)
        cut = samples[start : start + _SAMPLES].astype(np.float32)
        cut = np.pad(cut, (0, _SAMPLES - len(cut)))
        mel = hop_log_mel(cut, FRAMES) if clean else hop_released_log_mel(cut)
        poses, _ = model(
            torch.from_numpy(mel)[None],
            window_pieces(words, split, first)[None],
            torch.from_numpy(cut)[None],
            torch.tensor([speaker]),
            torch.from_numpy(nothing if before is None else before)[None],
            code,
        )
        return poses[0].numpy()

    return synthesise(len(samples), seeds, generate, kept=given)
