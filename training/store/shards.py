"""One shard: the clips of one recording in one safetensors file.

Arrays are those of its clips one after the other: `audio` float16 or int16 [N],
`mel` float16 [M, 128], `directions` float32 [T, D, 3], `valid` bool [T],
`reasons` uint8 [W]. The header's metadata hold `clips`, a JSON list: name,
speaker, start_s, split, where the clip begins and ends in each array, and its
words as [text, start_s, end_s]. Files appear whole or not at all.
"""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from streamer.errors import InputError
from training.store.types import MEL_BANDS, Clip, Word

SUFFIX = ".safetensors"
PART = ".part"

_RANGES = ("frames", "samples", "columns", "windows")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """What the manifest says of a shard."""

    file: str
    sha256: str
    bytes: int
    clips: int
    frames: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: getattr(self, name) for name in self.__slots__}


def shard_name(unit: str) -> str:
    """Return the file name of a recording's shard, fit for every file system."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", unit).strip("._") or "shard"
    if plain == unit and len(plain) <= 80 and plain.lower() == plain:
        return plain + SUFFIX
    # distinct names stay distinct where case or odd characters were lost
    return f"{plain[:80]}-{hashlib.sha256(unit.encode()).hexdigest()[:8]}{SUFFIX}"


def write_shard(folder: Path, unit: str, clips: Sequence[Clip]) -> ShardEntry:
    """Write the clips of a recording; the file appears whole or not at all.

    Raises `OSError` where the disk does, having removed what it had written.
    """
    check_clips(clips)
    rows: list[dict[str, Any]] = []
    ends = dict.fromkeys(_RANGES, 0)
    for clip in clips:
        sizes = (clip.frames, len(clip.audio), len(clip.mel), len(clip.reasons))
        row: dict[str, Any] = {
            "name": clip.name,
            "speaker": clip.speaker,
            "start_s": clip.start_s,
            "split": clip.split,
            "words": [[w.text, w.start_s, w.end_s] for w in clip.words],
        }
        for name, size in zip(_RANGES, sizes, strict=True):
            row[name] = [ends[name], ends[name] + size]
            ends[name] += size
        rows.append(row)
    arrays = {
        name: np.ascontiguousarray(np.concatenate([getattr(clip, name) for clip in clips]))
        for name in ("audio", "mel", "directions", "valid", "reasons")
    }
    blob = save(arrays, {"clips": json.dumps(rows, ensure_ascii=False)})
    name = shard_name(unit)
    write_whole(folder / name, blob)
    return ShardEntry(
        file=name,
        sha256=hashlib.sha256(blob).hexdigest(),
        bytes=len(blob),
        clips=len(clips),
        frames=ends["frames"],
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it appears whole or not at all, also after a power cut."""
    part = path.with_name(path.name + PART)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def check_clips(clips: Sequence[Clip]) -> None:
    """Raise `InputError` where clips contradict themselves or one another."""
    if not clips:
        raise InputError("a shard of no clips; leave the recording out")
    for clip in clips:
        want = (clip.frames, *clips[0].directions.shape[1:])
        bad = (
            f"directions {clip.directions.shape}, expected {want} like the first clip"
            if clip.directions.shape != want or clip.directions.shape[-1:] != (3,)
            else f"audio is {clip.audio.dtype}, expected int16 or float16 like the first clip"
            if clip.audio.dtype not in (np.int16, np.float16)
            or clip.audio.dtype != clips[0].audio.dtype
            else f"mel {clip.mel.shape} {clip.mel.dtype}, expected float16 [columns, {MEL_BANDS}]"
            if clip.mel.shape[1:] != (MEL_BANDS,) or clip.mel.dtype != np.float16
            else f"valid {clip.valid.shape}, expected {(clip.frames,)}"
            if clip.valid.shape != (clip.frames,)
            else "directions that are not finite"
            if not np.isfinite(clip.directions).all()
            else "audio that is not finite"
            if not np.isfinite(clip.audio.astype(np.float32)).all()
            else None
        )
        if bad:
            raise InputError(f"clip {clip.name}: {bad}")


class ShardReader:
    """A shard, memory-mapped; arrays are read only where they are cut."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = safe_open(path, framework="numpy")
            self.rows: list[dict[str, Any]] = json.loads(self._file.metadata()["clips"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: not a shard that can be read ({error}); convert this recording again"
            ) from error

    def read(self, name: str, begin: int, end: int) -> npt.NDArray[Any]:
        """Return rows of an array: `audio`, `mel`, `directions`, `valid` or `reasons`."""
        return self._file.get_slice(name)[begin:end]


def words_of(row: dict[str, Any]) -> tuple[Word, ...]:
    """Return the words of a clip's row."""
    return tuple(Word(text=str(t), start_s=float(a), end_s=float(b)) for t, a, b in row["words"])
