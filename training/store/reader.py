"""Reading a store: clips, windows of the papers' size, crops of any length."""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

from streamer.errors import InputError, UsageError
from streamer.skeleton import Skeleton
from training.angles import Angles
from training.store.manifest import SHARDS, VOCABULARY, Manifest
from training.store.shards import ShardReader, words_of
from training.store.types import FPS, SPLITS, Clip, ClipInfo, Crop, Split
from training.store.windows import (
    FRAMES,
    STRIDE,
    WindowSizes,
    cut,
    to_float,
    words_between,
)


class Store:
    """A store on disk. Arrays are memory-mapped and read where they are cut.

    May be used by one thread; copies for other processes (pickling) open the
    folder anew.
    """

    def __init__(self, folder: Path) -> None:
        """Open a store; raises `InputError` where it is incomplete or damaged."""
        self.folder = folder
        self.manifest = Manifest.read(folder)
        self._shards: dict[int, ShardReader] = {}
        for entry in self.manifest.shards:
            path = folder / SHARDS / entry.file
            size = path.stat().st_size if path.is_file() else None
            if size != entry.bytes:
                got = "is missing" if size is None else f"has {size} bytes"
                raise InputError(
                    f"{path}: {got}, the manifest says {entry.bytes} bytes; convert again "
                    "into an empty folder"
                )

    def __reduce__(self) -> tuple[Any, ...]:
        return (Store, (self.folder,))

    @property
    def skeleton(self) -> Skeleton:
        """The layout; `skeleton.mean` [D, 3] is what networks subtract."""
        return self.manifest.skeleton

    @property
    def angles(self) -> Angles:
        """Constants of the physical loss and of beat consistency for this data."""
        return self.manifest.angles

    @property
    def speakers(self) -> tuple[str, ...]:
        """Speakers of the training split; indices count from 1, row 0 is nobody (ha2g.md 1.7)."""
        return self.manifest.speakers

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Word to index, special tokens first."""
        return json.loads((self.folder / VOCABULARY).read_text("utf-8"))

    @cached_property
    def all_clips(self) -> tuple[ClipInfo, ...]:
        """Every clip, in the order of the source."""
        split_of: dict[str, Split] = {
            name: split for split, names in self.manifest.splits.items() for name in names
        }
        speaker_of = {name: i for i, name in enumerate(self.speakers, 1)}
        out: list[ClipInfo] = []
        for shard in range(len(self.manifest.shards)):
            reader = self._shard(shard)
            for row in reader.rows:
                reasons = reader.read("reasons", *row["windows"])
                out.append(
                    ClipInfo(
                        name=row["name"],
                        shard=shard,
                        split=split_of.get(row["name"], "train"),
                        speaker=speaker_of.get(row["speaker"], 0),
                        speaker_name=row["speaker"],
                        start_s=float(row["start_s"]),
                        frames=tuple(row["frames"]),
                        samples=tuple(row["samples"]),
                        columns=tuple(row["columns"]),
                        words=words_of(row),
                        kept=tuple(i * STRIDE for i, reason in enumerate(reasons) if reason == 0),
                    )
                )
        return tuple(out)

    def clips(self, split: Split) -> tuple[ClipInfo, ...]:
        """Return the clips of a split; raises `InputError` where it is empty."""
        found = tuple(clip for clip in self.all_clips if clip.split == split)
        if not found:
            counts = {s: sum(c.split == s for c in self.all_clips) for s in SPLITS}
            raise InputError(
                f"{self.folder}: split {split!r} is empty ({counts}); convert more recordings, "
                "cut them into shorter clips (--clip-seconds), or name speakers for it"
            )
        return found

    def windows(self, split: Split, *, frames: int = FRAMES, stride: int = STRIDE) -> "Windows":
        """Return the kept windows of a split, cut on access.

        frames: up to the 42 that were judged. stride: a multiple of 10.
        """
        return Windows(self, self.clips(split), frames, stride)

    def crop(self, clip: ClipInfo, begin: int, frames: int) -> Crop:
        """Return frames `begin` to `begin + frames` of a clip and what goes with them."""
        if not 0 <= begin <= begin + frames <= clip.length:
            raise UsageError(
                f"clip {clip.name}: frames {begin} to {begin + frames} of {clip.length}"
            )
        shard, sizes = self._shard(clip.shard), WindowSizes.of(frames)
        first = clip.frames[0] + begin

        def piece(name: str, place: tuple[int, int], count: int) -> Any:
            # only what the crop needs is read, or the rest of the clip where it is mirrored
            offset = begin * (place[1] - place[0]) // clip.length
            start = place[0] + offset
            end = min(start + count, place[1])
            return cut(shard.read(name, start, end), 0, 1, count)

        return Crop(
            clip=clip.name,
            begin=begin,
            audio=to_float(piece("audio", clip.samples, sizes.samples)),
            mel=piece("mel", clip.columns, sizes.columns).astype("float32").T,
            directions=shard.read("directions", first, first + frames),
            valid=shard.read("valid", first, first + frames),
            words=words_between(clip.words, begin / FPS, (begin + frames) / FPS),
            speaker=clip.speaker,
        )

    def read(self, clip: ClipInfo) -> Clip:
        """Return a whole clip as it was written."""
        shard = self._shard(clip.shard)
        row = next(row for row in shard.rows if row["name"] == clip.name)
        return Clip(
            name=clip.name,
            speaker=clip.speaker_name,
            start_s=clip.start_s,
            audio=shard.read("audio", *clip.samples),
            mel=shard.read("mel", *clip.columns),
            directions=shard.read("directions", *clip.frames),
            valid=shard.read("valid", *clip.frames),
            words=clip.words,
            reasons=shard.read("reasons", *row["windows"]),
            split=clip.split,
        )

    def verify(self) -> None:
        """Compare every file with its SHA-256; raises `InputError` at the first that differs."""
        wanted = {f"{SHARDS}/{e.file}": e.sha256 for e in self.manifest.shards}
        for name, digest in (wanted | dict(self.manifest.files)).items():
            path = self.folder / name
            with path.open("rb") as file:
                got = hashlib.file_digest(file, "sha256").hexdigest()
            if got != digest:
                raise InputError(
                    f"{path}: does not match the manifest's SHA-256; convert again "
                    "into an empty folder"
                )

    def _shard(self, number: int) -> ShardReader:
        reader = self._shards.get(number)
        if reader is None:
            path = self.folder / SHARDS / self.manifest.shards[number].file
            reader = self._shards[number] = ShardReader(path)
        return reader


class Windows(Sequence[Crop]):
    """The kept windows of some clips as a sequence; each is cut when asked for.

    A window that would end past its clip is not among them.
    """

    def __init__(self, store: Store, clips: Sequence[ClipInfo], frames: int, stride: int) -> None:
        if stride < STRIDE or stride % STRIDE:
            raise UsageError(f"window stride {stride}; the store knows multiples of {STRIDE}")
        self._store, self._frames = store, frames
        self._clips = tuple(clips)
        self._begins = [
            tuple(b for b in clip.kept if b % stride == 0 and b + frames <= clip.length)
            for clip in clips
        ]
        self._ends = list(accumulate(map(len, self._begins)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Crop: ...
    @overload
    def __getitem__(self, index: slice) -> list[Crop]: ...
    def __getitem__(self, index: int | slice) -> Crop | list[Crop]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        clip, begin = self.place(index)
        return self._store.crop(clip, begin, self._frames)

    def place(self, index: int) -> tuple[ClipInfo, int]:
        """Return the clip of a window and the frame in it at which the window begins."""
        index += len(self) if index < 0 else 0
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        number = bisect_right(self._ends, index)
        before = self._ends[number - 1] if number else 0
        return self._clips[number], self._begins[number][index - before]
