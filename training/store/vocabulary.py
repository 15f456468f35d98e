"""The papers' word list and the one index a frame that networks read (ha2g.md 1.6, 1.7)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from training.store.types import FPS, Word

PAD: Final = 0
SOS: Final = 1
EOS: Final = 2
UNK: Final = 3
SPECIAL: Final = ("<PAD>", "<SOS>", "<EOS>", "<UNK>")


def build_vocabulary(words: Iterable[str]) -> dict[str, int]:
    """Return word to index: special tokens, then words in order of first appearance."""
    index = {token: number for number, token in enumerate(SPECIAL)}
    for word in words:
        index.setdefault(word, len(index))
    return index


def word_rows(
    words: Sequence[Word], frames: int, vocabulary: Mapping[str, int]
) -> npt.NDArray[np.int64]:
    """Return one word index a frame [frames]: a word is in its onset frame alone.

    A word that began before sits in frame 0; a later word in the same frame
    overwrites; words past the end are left out.
    """
    rows = np.zeros(frames, np.int64)
    for word in words:
        frame = max(0, int(np.floor(word.start_s * FPS)))
        if frame < frames:
            rows[frame] = vocabulary.get(word.text, UNK)
    return rows


def word_list(words: Sequence[Word], vocabulary: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return SOS, the words' indices, EOS: what the seq2seq baseline reads."""
    return np.array([SOS, *(vocabulary.get(w.text, UNK) for w in words), EOS], np.int64)
