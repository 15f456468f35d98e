"""Word times of recordings: Praat TextGrid, TSV or JSON files."""

import csv
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from streamer.errors import InputError
from training.store.types import Word

SUFFIXES: Final = (".TextGrid", ".textgrid", ".words.json", ".json", ".tsv", ".csv")

_MAX_BYTES = 64 << 20
_SILENT = frozenset({"", "sp", "sil", "spn", "<eps>", "<sil>", "<unk>", "silence", "#"})
_WORD_TIERS = ("words", "word", "transcript")


def read_words(path: Path) -> tuple[Word, ...]:
    """Read words with their times in seconds, normalised, by the file's suffix.

    TextGrid: the tier `words`, or the only interval tier. TSV or CSV: columns
    start, end, word, with or without a heading. JSON: a list, or an object with
    a list `words`, of {word|text, start, end} or [word, start, end]. Raises
    `InputError` where it is none of these.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path.name}: larger than {_MAX_BYTES >> 20} MiB, not read")
    try:
        text = _decode(path.read_bytes())
        match path.suffix.lower():
            case ".textgrid":
                rows = _textgrid(text)
            case ".json":
                rows = _json(text)
            case ".tsv" | ".csv":
                rows = _table(text, "\t" if path.suffix.lower() == ".tsv" else ",")
            case suffix:
                raise InputError(
                    f"{path.name}: {suffix} files hold no words; {', '.join(SUFFIXES)}"
                )
    except (ValueError, KeyError, IndexError, TypeError, StopIteration) as error:
        raise InputError(
            f"{path.name}: not words with times ({error!r}); expected a TextGrid with a tier "
            "'words', a table of start, end, word, or JSON of word, start, end"
        ) from error
    words: list[Word] = []
    for raw, start, end in rows:
        if raw.strip().lower() in _SILENT:
            continue
        parts = normalise(raw).split()
        share = (end - start) / max(1, len(parts))
        words += [
            Word(text=part, start_s=start + i * share, end_s=start + (i + 1) * share)
            for i, part in enumerate(parts)
        ]
    return tuple(words)


def normalise(word: str) -> str:
    """Return a word, or the words it is made of, as the datasets spell them (ha2g.md 1.6).

    Lower case, letters only. Accents go and apostrophes vanish in Latin script,
    as in the datasets; other scripts stay.
    """
    word = word.lower().replace("'", "").replace("’", "")
    folded = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()
    if any(c.isalpha() for c in folded):
        return re.sub(r"[^a-z]+", " ", folded).strip()
    return re.sub(r"[\W\d_]+", " ", word).strip()


def _textgrid(text: str) -> list[tuple[str, float, float]]:
    """Read a TextGrid, long or short: strings and numbers in order, whatever stands between."""
    if "ooTextFile" not in text[:200] or "TextGrid" not in text[:400]:
        raise ValueError("no TextGrid heading")
    body = text.split("TextGrid", 1)[1].partition("\n")[2]
    found = re.finditer(
        r'"((?:[^"]|"")*)"|(<exists>)|(?<![\w\[.])(-?\d+(?:\.\d+)?(?:e-?\d+)?)(?![\w\]])', body
    )
    tokens = [
        m.group(1).replace('""', '"') if m.group(1) is not None else m.group(3) for m in found
    ]
    items = iter([t for t in tokens if t is not None])
    _span(items)  # of the file
    tiers: dict[str, list[tuple[str, float, float]]] = {}
    for _ in range(int(next(items))):
        kind, name = next(items), next(items)
        _span(items)
        rows: list[tuple[str, float, float]] = []
        for _ in range(int(next(items))):
            if kind == "IntervalTier":
                start, end = _span(items)
                rows.append((next(items), start, end))
            else:
                _point(items)
        if kind == "IntervalTier":
            tiers[name.strip().lower()] = rows
    for name in _WORD_TIERS:
        if name in tiers:
            return tiers[name]
    if len(tiers) == 1:
        return next(iter(tiers.values()))
    raise ValueError(f"no tier 'words' among {', '.join(tiers) or 'none'}")


def _span(items: Iterator[str]) -> tuple[float, float]:
    return float(next(items)), float(next(items))


def _point(items: Iterator[str]) -> tuple[float, str]:
    return float(next(items)), next(items)


def _json(text: str) -> list[tuple[str, float, float]]:
    data: Any = json.loads(text)
    items: Sequence[Any] = data["words"] if isinstance(data, Mapping) else data
    if not isinstance(items, list):
        raise ValueError("no list of words")
    rows: list[tuple[str, float, float]] = []
    for item in items:
        if isinstance(item, Mapping):
            word = item["word"] if "word" in item else item["text"]
            rows.append((str(word), float(item["start"]), float(item["end"])))
        else:
            word, start, end = item
            rows.append((str(word), float(start), float(end)))
    return rows


def _table(text: str, delimiter: str) -> list[tuple[str, float, float]]:
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if row]
    if rows and not _is_number(rows[0][0]):
        heading = [cell.strip().lower() for cell in rows[0]]
        places = [heading.index(name) for name in ("start", "end")]
        places.insert(0, heading.index("word" if "word" in heading else "text"))
        return [(row[places[0]], float(row[places[1]]), float(row[places[2]])) for row in rows[1:]]
    return [(row[2], float(row[0]), float(row[1])) for row in rows]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _decode(content: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode("utf-8-sig")
