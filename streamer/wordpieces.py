"""WordPiece: how BERT and its kin split a word into pieces of a fixed table.

Without a tokenizer library: the table is all it needs. Equals Hugging Face's
tokenizer of an uncased model, word by word (a test compares them).
"""

import unicodedata
from collections.abc import Iterator, Mapping

UNKNOWN_PIECE = "[UNK]"
_LONGEST = 100
"""Letters of a word beyond which BERT calls it unknown."""


def word_pieces(word: str, index: Mapping[str, int]) -> list[int]:
    """Return the table rows of a word's pieces, longest first match; [] for an empty word."""
    rows = list[int]()
    for part in _parts(word):
        rows += _split(part, index)
    return rows


def _split(part: str, index: Mapping[str, int]) -> list[int]:
    unknown = [index[UNKNOWN_PIECE]]
    if len(part) > _LONGEST:
        return unknown
    rows, at = list[int](), 0
    while at < len(part):
        lead = "##" if at else ""
        end = next((e for e in range(len(part), at, -1) if lead + part[at:e] in index), at)
        if end == at:
            return unknown
        rows.append(index[lead + part[at:end]])
        at = end
    return rows


def _parts(word: str) -> Iterator[str]:
    """Yield runs of letters, and each punctuation mark and ideograph by itself."""
    run = ""
    for char in unicodedata.normalize("NFD", word.lower()):
        kind = unicodedata.category(char)
        if kind == "Mn" or (kind[0] == "C" and char not in "\t\n\r") or char == "\ufffd":
            continue
        alone = _is_punctuation(char, kind) or _is_ideograph(char)
        if run and (alone or char.isspace()):
            yield run
            run = ""
        if alone:
            yield char
        elif not char.isspace():
            run += char
    if run:
        yield run


def _is_punctuation(char: str, kind: str) -> bool:
    """Return what BERT calls punctuation: Unicode's, and every ASCII mark and symbol."""
    return kind.startswith("P") or (char.isascii() and not char.isalnum() and not char.isspace())


def _is_ideograph(char: str) -> bool:
    code = ord(char)
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x2CEAF
        or 0x2F800 <= code <= 0x2FA1F
    )
