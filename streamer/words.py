"""Words as hashed character n-grams: no vocabulary, no unknown word, no download.

The same function feeds training and the stream. A word becomes the bucket ids
of itself and of its character trigrams with boundary marks (as fastText does);
the network sums their embeddings.
"""

import unicodedata
import zlib

import numpy as np
import numpy.typing as npt

from streamer.spec import WordSpec

_LONGEST = 64


def normalise(text: str) -> str:
    """Return a word lower-cased, compatibility-folded, letters, digits and ' kept."""
    folded = unicodedata.normalize("NFKC", text[:_LONGEST]).casefold()
    return "".join(c for c in folded if c.isalnum() or c == "'")


def word_ids(text: str, spec: WordSpec) -> npt.NDArray[np.int32]:
    """Return the bucket ids [spec.slots] of a word; zeros for an empty one.

    The first id is the whole word's, the rest are its trigrams in order; a
    longer word keeps its first ones.
    """
    out = np.zeros(spec.slots, np.int32)
    word = normalise(text)
    if not word:
        return out
    marked = f"<{word}>"
    grams = [f"={word}"] + [marked[i : i + 3] for i in range(len(marked) - 2)]
    for i, gram in enumerate(grams[: spec.slots]):
        out[i] = zlib.crc32(gram.encode()) % (spec.buckets - 1) + 1
    return out
