"""The rule-made corpus as a store: the default model's speech and motion for every recipe.

`python -m training corpus` writes minutes of real and synthesised speech with
motion that a planner set from captured gesture clips. Here they become an
ordinary store, with the plan of the longest lookahead, the one in best time
with the speech. Nobody moved like this while saying these words.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import InputError
from streamer.skeleton import load_skeleton
from training.convert.gestures import to_layout
from training.convert.takes import Recording, Take, file_stamp
from training.corpus import FORMAT
from training.store.manifest import StoreSettings
from training.store.types import FPS, Word
from training.store.writer import Problem

_LONGEST_WORD_S = 0.4
_ARRAYS = ("audio", "directions", "word", "word_start", "word_final")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSource:
    """A folder that `python -m training corpus` wrote. One speaker a style of planning."""

    folder: Path
    skeleton: str
    filters: bool = False
    min_words: int = 2
    clip_s: float = 20.0

    def settings(self) -> StoreSettings:
        """Return what identifies the conversion."""
        return StoreSettings(
            kind="corpus",
            source=str(self.folder.resolve()),
            skeleton=self.skeleton,
            filters=self.filters,
            min_words=self.min_words,
            clip_s=self.clip_s,
            origin="rule-aligned motion capture: " + "; ".join(self._described()["licences"]),
            licence="LGPL-2.1 (the gesture clips)",
        )

    def recordings(self) -> list[Recording]:
        """Return the sequences, in order."""
        self._described()
        paths = sorted(self.folder.glob("[0-9]*.npz"))
        if not paths:
            raise InputError(f"{self.folder}: a corpus without sequences; build it again")
        return [Recording(name=p.stem, stamp=file_stamp(p), place=(str(p),)) for p in paths]

    def takes(self, recording: Recording) -> Iterator[Take | Problem]:
        """Yield a sequence as one take; the words are those that were final when heard."""
        path = Path(recording.place[0])
        try:
            with np.load(path, allow_pickle=False) as data:
                audio, plans, texts, starts, finals = (data[name] for name in _ARRAYS)
                style = int(data["style"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"{path.name}: not a sequence that can be read ({error})") from error
        spoken = sorted(
            (int(start) / FPS, str(text))
            for text, start, final in zip(texts, starts, finals, strict=True)
            if final
        )
        ends = [start for start, _ in spoken[1:]] + [float("inf")]
        yield Take(
            name=recording.name,
            speaker=f"style{style}",
            start_s=0.0,
            audio=audio,
            directions=to_layout(plans[-1].astype(np.float32), load_skeleton(self.skeleton)),
            words=tuple(
                Word(text=text, start_s=start, end_s=min(end, start + _LONGEST_WORD_S))
                for (start, text), end in zip(spoken, ends, strict=True)
            ),
        )

    def _described(self) -> dict[str, Any]:
        path = self.folder / "corpus.json"
        try:
            data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.folder}: no corpus ({error}); make one with `python -m training corpus`"
            ) from error
        if data.get("format") != FORMAT:
            raise InputError(f"{path}: format {data.get('format')}, expected {FORMAT}")
        return data
