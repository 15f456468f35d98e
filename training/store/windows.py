"""Windows of the papers: sizes, where they lie in a clip, which are kept (ha2g.md 1.2, 1.5).

Windows are judged as the datasets' own cache step does: 42 frames every 10,
of which networks see the first 34.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamer.types import Float32
from training.store.types import FPS, SAMPLE_RATE, Word

FRAMES: Final = 34
SEEDS: Final = 4
STRIDE: Final = 10
CACHED: Final = 42

REASONS: Final = ("kept", "few words", "pose", "spine angle", "motion", "not valid")
"""Why a window was dropped; the first that applies. Stores hold indices into this: append only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSizes:
    """Samples and spectrogram columns of a window of some frames."""

    frames: int
    samples: int
    columns: int

    @classmethod
    def of(cls, frames: int) -> "WindowSizes":
        """Return the sizes the papers use: 36267 and 70 for 34 frames, 44800 and 86 for 42."""
        samples = frames / FPS * SAMPLE_RATE
        return cls(
            frames=frames,
            samples=round(samples),
            columns=max(1, round((samples - 1024) / 512 + 1)),
        )


def window_begins(length: int) -> range:
    """Return the first frames of a clip's candidate windows: 42 frames every 10."""
    return range(0, max(0, (length - CACHED) // STRIDE + 1) * STRIDE, STRIDE)


def cut(array: npt.NDArray[Any], begin: int, length: int, count: int) -> npt.NDArray[Any]:
    """Return `count` rows of an array [n, ...] that spans a clip, from its frame `begin` on.

    length: frames of the clip. Rows past the end are mirrored (numpy's
    `symmetric`), as in the datasets.
    """
    first = begin * len(array) // max(1, length)
    piece = array[first : first + count]
    if len(piece) == count:
        return piece
    if len(piece) == 0:
        return np.zeros((count, *array.shape[1:]), array.dtype)
    return np.pad(piece, ((0, count - len(piece)), *((0, 0),) * (array.ndim - 1)), mode="symmetric")


def words_between(words: Sequence[Word], start_s: float, end_s: float) -> tuple[Word, ...]:
    """Return the words that overlap a stretch, with times from its start.

    As the datasets do it: up to the first word that begins after the stretch.
    """
    out: list[Word] = []
    for word in words:
        if word.start_s >= end_s:
            break
        if word.end_s > start_s:
            out.append(
                Word(text=word.text, start_s=word.start_s - start_s, end_s=word.end_s - start_s)
            )
    return tuple(out)


def to_float(audio: npt.NDArray[Any]) -> Float32:
    """Return stored audio as float32, -1 to 1."""
    scale = 1 / 32768 if audio.dtype == np.int16 else 1.0
    return audio.astype(np.float32) * np.float32(scale)
