"""Writing a store: resumable, one recording at a time, the manifest last.

Each recording that is done is one line of `journal.jsonl`. Killed at any
moment, the folder holds whole shards and the journal; the same command
continues. `finish` turns the journal into the manifest.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.errors import InputError, UsageError
from streamer.skeleton import Skeleton, load_skeleton
from training.angles import Angles, published_angles
from training.progress import track
from training.store.constants import measure
from training.store.manifest import (
    FORMAT,
    JOURNAL,
    MANIFEST,
    SHARDS,
    VOCABULARY,
    Manifest,
    StoreSettings,
)
from training.store.shards import (
    PART,
    SUFFIX,
    ShardEntry,
    ShardReader,
    words_of,
    write_whole,
)
from training.store.types import SPLITS, Split
from training.store.vocabulary import build_vocabulary
from training.store.windows import REASONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something of a recording that was left out: which part, and why."""

    part: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitResult:
    """What became of one recording.

    unit: its name in the source. stamp: changes when the source does. entry: its
    shard, None where nothing of it could be kept. reasons: windows by
    `windows.REASONS`. failed: nothing was read; it is tried again next time.
    """

    unit: str
    stamp: str
    entry: ShardEntry | None
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])
    problems: tuple[Problem, ...] = ()
    failed: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a journal line."""
        return {
            "unit": self.unit,
            "stamp": self.stamp,
            "shard": self.entry and self.entry.to_json(),
            "reasons": dict(self.reasons),
            "problems": [[p.part, p.why] for p in self.problems],
            "failed": self.failed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "UnitResult":
        """Read a journal line."""
        return cls(
            unit=data["unit"],
            stamp=data["stamp"],
            entry=ShardEntry(**data["shard"]) if data["shard"] else None,
            reasons=data["reasons"],
            problems=tuple(Problem(part=p, why=w) for p, w in data["problems"]),
            failed=data["failed"],
        )


class StoreWriter:
    """Owns a store's folder while it is written. One process at a time.

    Shards are written by `shards.write_shard`, which worker processes may do;
    `record` and `finish` belong to one process.
    """

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        """Open a new, interrupted or finished store.

        Raises `UsageError` where the folder holds something else or a store of
        other settings.
        """
        self.folder, self.settings = folder, settings
        self.shards = folder / SHARDS
        self.shards.mkdir(parents=True, exist_ok=True)
        self.units = {unit.unit: unit for unit in self._earlier()}
        for part in (*folder.glob(f"*{PART}"), *self.shards.glob(f"*{PART}")):
            part.unlink()
        # From here on the folder is no whole store, until `finish`.
        lines = [{"format": FORMAT, "settings": settings.to_json()}]
        lines += [unit.to_json() for unit in self.units.values()]
        write_whole(folder / JOURNAL, "".join(map(_line, lines)).encode())
        (folder / MANIFEST).unlink(missing_ok=True)

    def pending(self, unit: str, stamp: str) -> bool:
        """Whether a recording is still to be converted: new, changed, failed before or damaged."""
        known = self.units.get(unit)
        if known is None or known.stamp != stamp or known.failed:
            return True
        if known.entry is None:
            return False
        path = self.shards / known.entry.file
        return not path.is_file() or path.stat().st_size != known.entry.bytes

    def record(self, result: UnitResult) -> None:
        """Remember a recording that is done; its shard is on the disk."""
        self.units[result.unit] = result
        with (self.folder / JOURNAL).open("ab") as file:
            file.write(_line(result.to_json()).encode())
            file.flush()
            os.fsync(file.fileno())

    def finish(self, order: Sequence[str]) -> Manifest:
        """Write the manifest; the store mirrors the recordings in `order`.

        Shards of recordings that the source no longer has are deleted. Raises
        `InputError` where nothing was kept.
        """
        units = [self.units[unit] for unit in order if unit in self.units]
        entries = tuple(unit.entry for unit in units if unit.entry is not None)
        if not entries:
            whys = [f"{u.unit}: {p.part}: {p.why}" for u in units for p in u.problems]
            first = f"; first of {len(whys)}: {whys[0]}" if whys else ""
            raise InputError(f"{self.folder}: nothing could be kept{first}")
        wanted = {entry.file for entry in entries}
        for path in self.shards.glob(f"*{SUFFIX}"):
            if path.name not in wanted:
                path.unlink()
        rows = [row for entry in entries for row in ShardReader(self.shards / entry.file).rows]
        splits = assign_splits(rows, self.settings)
        train = [row for row in rows if splits[row["name"]] == "train"]
        by_split = [row for split in SPLITS for row in rows if splits[row["name"]] == split]
        vocabulary = build_vocabulary(w.text for row in by_split for w in words_of(row))
        content = json.dumps(vocabulary, ensure_ascii=False, indent=0).encode() + b"\n"
        write_whole(self.folder / VOCABULARY, content)
        skeleton, angles, constants = self._constants(entries, splits)
        manifest = Manifest(
            settings=self.settings,
            skeleton=skeleton,
            angles=angles,
            constants=constants,
            speakers=tuple(dict.fromkeys(row["speaker"] for row in train)),
            splits={
                split: tuple(row["name"] for row in rows if splits[row["name"]] == split)
                for split in ("val", "test")
            },
            shards=entries,
            units=tuple(unit.to_json() for unit in units),
            totals=_totals(units, rows, splits, vocabulary),
            files={VOCABULARY: hashlib.sha256(content).hexdigest()},
        )
        text = json.dumps(manifest.to_json(), ensure_ascii=False, indent=1) + "\n"
        write_whole(self.folder / MANIFEST, text.encode())
        (self.folder / JOURNAL).unlink()
        return manifest

    def _constants(
        self, entries: Sequence[ShardEntry], splits: Mapping[str, Split]
    ) -> tuple[Skeleton, Angles, str]:
        skeleton = load_skeleton(self.settings.skeleton)
        if self.settings.published:
            return skeleton, published_angles(skeleton.name), "published (ha2g.md 1.1, 3.4)"

        def training() -> Iterator[Any]:
            for entry in track(entries, len(entries), "constants"):
                reader = ShardReader(self.shards / entry.file)
                for row in reader.rows:
                    if splits[row["name"]] == "train":
                        yield reader.read("directions", *row["frames"])

        return *measure(skeleton, training()), "measured on the training split"

    def _earlier(self) -> list[UnitResult]:
        """Return what an earlier run has done in this folder."""
        journal, manifest = self.folder / JOURNAL, self.folder / MANIFEST
        if manifest.is_file():
            earlier = Manifest.read(self.folder)
            self._compare(earlier.settings)
            return [UnitResult.from_json(unit) for unit in earlier.units]
        if not journal.is_file():
            strange = sorted(p.name for p in self.folder.iterdir() if p.name != SHARDS)
            if any(not name.endswith(PART) for name in strange):
                raise UsageError(
                    f"{self.folder}: holds {strange[0]}, which is no store; choose an empty folder"
                )
            return []
        lines = journal.read_text("utf-8", errors="replace").splitlines()
        try:
            self._compare(StoreSettings.from_json(json.loads(lines[0])["settings"]))
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{journal}: damaged; choose an empty folder") from error
        out: list[UnitResult] = []
        for line in lines[1:]:
            try:
                out.append(UnitResult.from_json(json.loads(line)))
            except (KeyError, TypeError, ValueError):
                break  # the line that was being written when the power went
        return out

    def _compare(self, earlier: StoreSettings) -> None:
        old, new = earlier.to_json(), self.settings.to_json()
        for name, value in new.items():
            if old[name] != value:
                raise UsageError(
                    f"{self.folder}: holds a store with {name} {old[name]!r}, not {value!r}; "
                    "choose another folder"
                )


def assign_splits(rows: Sequence[Mapping[str, Any]], settings: StoreSettings) -> dict[str, Split]:
    """Return the split of each clip by name.

    Where the source says, that. Else by speaker, where speakers were named.
    Else of the clips counted from 0, number % 10 == 8 is `val` and 9 is `test`
    (ha2g.md 1.4); of 3 to 9 clips the last two are.
    """
    free = [row["name"] for row in rows if row["split"] is None]
    ninth, tenth = (8, 9) if len(free) >= 10 else (len(free) - 2, len(free) - 1)
    by_number: dict[str, Split] = {}
    for number, name in enumerate(free):
        place = number % 10
        few = len(free) < 3
        by_number[name] = (
            "val"
            if place == ninth and not few
            else "test"
            if place == tenth and not few
            else "train"
        )
    out: dict[str, Split] = {}
    named = bool(settings.val_speakers or settings.test_speakers)
    for row in rows:
        if row["split"] is not None:
            out[row["name"]] = row["split"]
        elif row["speaker"] in settings.val_speakers:
            out[row["name"]] = "val"
        elif row["speaker"] in settings.test_speakers:
            out[row["name"]] = "test"
        else:
            out[row["name"]] = "train" if named else by_number[row["name"]]
    if len(out) != len(rows):
        raise InputError("two clips have one name; rename one of the recordings")
    return out


def _totals(
    units: Sequence[UnitResult],
    rows: Sequence[Mapping[str, Any]],
    splits: Mapping[str, Split],
    vocabulary: Mapping[str, int],
) -> dict[str, Any]:
    """Return counts for people."""
    windows: dict[str, int] = dict.fromkeys(REASONS, 0)
    for unit in units:
        for reason, count in unit.reasons.items():
            windows[reason] += count
    frames = dict.fromkeys(SPLITS, 0)
    clips = dict.fromkeys(SPLITS, 0)
    for row in rows:
        split = splits[row["name"]]
        clips[split] += 1
        frames[split] += row["frames"][1] - row["frames"][0]
    return {
        "recordings": len(units),
        "recordings_failed": sum(unit.failed for unit in units),
        "problems": sum(len(unit.problems) for unit in units),
        "clips": clips,
        "hours": {split: round(n / 15 / 3600, 4) for split, n in frames.items()},
        "windows": windows,
        "words": len(vocabulary) - 4,
    }


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
