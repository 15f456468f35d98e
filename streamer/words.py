"""Words as hashed character n-grams: no vocabulary, no unknown word, no download.

The same function feeds training and the stream. A word becomes the bucket ids
of itself and of its character trigrams with boundary marks (as fastText does);
the network sums their embeddings. Published networks instead have a word list.
"""

import unicodedata
import zlib

import numpy as np
import numpy.typing as npt

from streamer.spec import WordSpec
from streamer.wordpieces import word_pieces

_LONGEST = 64

UNKNOWN = 3
"""Row of words that a published vocabulary lacks (ha2g.md 1.7)."""


def normalise(text: str) -> str:
    """Return a word lower-cased, compatibility-folded, letters, digits and ' kept."""
    folded = unicodedata.normalize("NFKC", text[:_LONGEST]).casefold()
    return "".join(c for c in folded if c.isalnum() or c == "'")


def word_ids(text: str, spec: WordSpec) -> npt.NDArray[np.int32]:
    """Return the ids [spec.slots] of a word; zeros for an empty one.

    hashed: the first id is the whole word's, the rest are its trigrams in
    order; a longer word keeps its first ones. vocabulary: its row, or that of
    the unknown word. pieces: the rows of its first pieces.
    """
    match spec.kind:
        case "hashed":
            return _hashed(text, spec)
        case "vocabulary":
            return _row(text, spec)
        case "pieces":
            out = np.zeros(spec.slots, np.int32)
            rows = word_pieces(text[:_LONGEST], spec.index)[: spec.slots]
            out[: len(rows)] = rows
            return out


def _row(text: str, spec: WordSpec) -> npt.NDArray[np.int32]:
    out = np.zeros(spec.slots, np.int32)
    if word := published_word(text):
        out[0] = spec.index.get(word, UNKNOWN)
    return out


def published_word(text: str) -> str:
    """Return a word as the TED data sets spell it: ASCII letters, lower case (ha2g.md 1.6)."""
    folded = unicodedata.normalize("NFKD", text[:_LONGEST]).encode("ascii", "ignore").decode()
    return "".join(c for c in folded.lower() if c.isalpha())


def _hashed(text: str, spec: WordSpec) -> npt.NDArray[np.int32]:
    out = np.zeros(spec.slots, np.int32)
    word = normalise(text)
    if not word:
        return out
    marked = f"<{word}>"
    grams = [f"={word}"] + [marked[i : i + 3] for i in range(len(marked) - 2)]
    for i, gram in enumerate(grams[: spec.slots]):
        out[i] = zlib.crc32(gram.encode()) % (spec.buckets - 1) + 1
    return out
