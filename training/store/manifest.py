"""A store's manifest as values, and what identifies a conversion."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streamer.errors import InputError
from streamer.skeleton import Skeleton
from training.angles import Angles
from training.store.shards import ShardEntry
from training.store.types import FPS, SAMPLE_RATE, Split
from training.store.windows import CACHED, FRAMES, REASONS, SEEDS, STRIDE

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
JOURNAL: Final = "journal.jsonl"
VOCABULARY: Final = "vocabulary.json"
SHARDS: Final = "shards"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """What a conversion was asked for; a folder holds one such.

    kind: which converter. source: where the data lay. skeleton: a built-in
    layout. filters: the motion filters of the papers. min_words: fewer in a
    window drop it. clip_s: longest clip that recordings are cut into.
    published: constants are the papers' own, not measured. licence and origin
    are for people; they go with everything built from the store.
    """

    kind: str
    source: str
    skeleton: str
    filters: bool = True
    min_words: int = 2
    clip_s: float = 20.0
    published: bool = False
    val_speakers: tuple[str, ...] = ()
    test_speakers: tuple[str, ...] = ()
    origin: str = ""
    licence: str = "unknown"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        out = {name: getattr(self, name) for name in self.__slots__}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in out.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StoreSettings":
        """Read the JSON form."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `manifest.json` says.

    skeleton: with the mean that networks subtract. angles: constants of the
    physical loss and of beat consistency, for this skeleton. speakers: of the
    training split, index 1 is the first. splits: names of the clips in `val`
    and `test`; the rest is `train`. units: one entry a recording, as the
    journal had it. totals: counts for people.
    """

    settings: StoreSettings
    skeleton: Skeleton
    angles: Angles
    constants: str
    speakers: tuple[str, ...]
    splits: Mapping[Split, tuple[str, ...]]
    shards: tuple[ShardEntry, ...]
    units: tuple[Mapping[str, Any], ...]
    totals: Mapping[str, Any]
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "format": FORMAT,
            "settings": self.settings.to_json(),
            "fps": FPS,
            "sample_rate": SAMPLE_RATE,
            "mel": "HA2G: 1024/512, 128 bands, dB under the clip's maximum (ha2g.md 1.3)",
            "window": {"frames": FRAMES, "seeds": SEEDS, "stride": STRIDE, "cached": CACHED},
            "reasons": list(REASONS),
            "totals": dict(self.totals),
            "constants": self.constants,
            "skeleton": self.skeleton.to_json(),
            "angles": {
                "normals": [list(p) for p in self.angles.normals],
                "pairs": [list(p) for p in self.angles.pairs],
                "mean": list(self.angles.mean),
                "variance": list(self.angles.variance),
                "change": list(self.angles.change),
            },
            "speakers": list(self.speakers),
            "splits": {name: list(names) for name, names in self.splits.items()},
            "files": dict(self.files),
            "shards": [entry.to_json() for entry in self.shards],
            "units": [dict(unit) for unit in self.units],
        }

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read a store's manifest; raises `InputError` where there is none that can be used."""
        path = folder / MANIFEST
        if not path.is_file():
            if (folder / JOURNAL).is_file():
                raise InputError(
                    f"{folder}: the conversion has not finished; run the same "
                    "`python -m training convert` again, it continues"
                )
            raise InputError(f"{folder}: no store; make one with `python -m training convert`")
        try:
            data: dict[str, Any] = json.loads(path.read_text("utf-8"))
            if data["format"] != FORMAT:
                raise InputError(
                    f"{path}: format {data['format']}, this program reads {FORMAT}; convert again"
                )
            return cls(
                settings=StoreSettings.from_json(data["settings"]),
                skeleton=Skeleton.from_json(data["skeleton"]),
                angles=_angles(data["angles"]),
                constants=str(data["constants"]),
                speakers=tuple(str(s) for s in data["speakers"]),
                splits={name: tuple(names) for name, names in data["splits"].items()},
                shards=tuple(ShardEntry(**entry) for entry in data["shards"]),
                units=tuple(data["units"]),
                totals=data["totals"],
                files=data["files"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: damaged ({error!r}); convert again") from error


def _angles(data: Mapping[str, Any]) -> Angles:
    return Angles(
        normals=tuple((int(a), int(b)) for a, b in data["normals"]),
        pairs=tuple((int(a), int(b)) for a, b in data["pairs"]),
        mean=tuple(float(x) for x in data["mean"]),
        variance=tuple(float(x) for x in data["variance"]),
        change=tuple(float(x) for x in data["change"]),
    )
