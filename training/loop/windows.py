"""Windows of a store as the batches that systems read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import Dataset

from models.hop_window import PIECES
from models.language import Pieces, piece_slots
from models.melspectrogram import hop_log_mel, hop_released_log_mel
from streamer.errors import InputError
from training.loop.order import Key
from training.recipe import Data
from training.store.reader import Store
from training.store.types import FPS, Crop, Split, Word
from training.store.vocabulary import word_list, word_rows
from training.store.windows import FRAMES, words_between
from training.systems.base import Batch, Feature

HEARD = "heard.json"
"""A store's words as a recogniser heard them: {clip: [[word, start_s, end_s], ...]}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is read of each window: features, word rules, and HOP's pieces.

    speakers: 0 keeps each window's own; else speakers are drawn from 1 to that,
    as evaluation does, whose speakers training never saw.
    """

    features: tuple[Feature, ...]
    data: Data
    seed: int
    speakers: int = 0
    pieces: Pieces | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A word as it was spoken, and as and when it came."""

    spoken: Word
    came: Word


class WindowSet(Dataset[dict[str, Any]]):
    """The kept windows of a split; an item is a function of its key alone."""

    def __init__(self, store: Store, split: Split, reading: Reading) -> None:
        self.store, self.reading = store, reading
        self.mean = store.skeleton.mean
        self.windows = store.windows(split, frames=reading.data.frames, stride=reading.data.stride)
        kept = range(len(self.windows))
        if split == "train" and reading.data.fraction < 1:
            kept = _fraction(self.windows, reading.data.fraction, reading.seed)
        self.kept = list(kept)
        self.words = list(store.vocabulary)
        self.heard: Mapping[str, tuple[Word, ...]] = {}
        if reading.data.text == "asr":
            self.heard = read_heard(store)

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return the arrays of a window."""
        index, number = key
        crop = self.windows[self.kept[index]]
        random = np.random.default_rng((self.reading.seed, number))
        return self.moved(crop, random) | self.heard_in(crop, random)

    def moved(self, crop: Crop, random: np.random.Generator) -> dict[str, Any]:
        """Return poses and speaker of a crop of any length."""
        speakers = self.reading.speakers
        return {
            "poses": (crop.directions - self.mean).reshape(len(crop.directions), -1),
            "speaker": int(random.integers(1, speakers + 1)) if speakers else crop.speaker,
        }

    def heard_in(self, crop: Crop, random: np.random.Generator) -> dict[str, Any]:
        """Return audio and words of a window of 34 frames, as the features ask for them."""
        out: dict[str, Any] = {}
        reached = [arrival.came for arrival in self.arrivals(crop, random)]
        vocabulary = self.store.vocabulary
        for feature in self.reading.features:
            match feature:
                case "mel":
                    out["mel"] = crop.mel
                case "samples":
                    out["samples"] = crop.audio
                case "hop_mel":
                    out["hop_mel"] = hop_log_mel(crop.audio, FRAMES)
                case "hop_released_mel":
                    out["hop_mel"] = hop_released_log_mel(crop.audio)[:FRAMES]
                case "words":
                    out["words"] = word_rows(crop.words, FRAMES, vocabulary)
                    out["heard"] = word_rows(reached, FRAMES, vocabulary)
                case "listed":
                    out["listed"] = word_list(reached, vocabulary)
                case "pieces":
                    out["pieces"] = self._pieces(reached)
        return out

    def spoken(self, crop: Crop) -> tuple[Word, ...]:
        """Return the words of a crop as the recipe wants them, when they were spoken."""
        match self.reading.data.text:
            case "none":
                return ()
            case "asr":
                begin = crop.begin / FPS
                clip = self.heard.get(crop.clip, ())
                return words_between(clip, begin, begin + len(crop.directions) / FPS)
            case "transcript":
                return crop.words

    def arrivals(self, crop: Crop, random: np.random.Generator) -> tuple[Arrival, ...]:
        """Return the words of a crop as and when they reach the generators."""
        return arrivals(self.spoken(crop), self.reading.data, self.words, random)

    def _pieces(self, words: Sequence[Word]) -> torch.Tensor:
        pieces = self.reading.pieces
        assert pieces is not None, "a system that reads pieces brings their rule"
        placed = [
            (max(0, int(np.floor(w.start_s * FPS))), pieces(w.text.strip() or w.text))
            for w in words
        ]
        return piece_slots(placed, FRAMES, PIECES)


def arrivals(
    words: Sequence[Word], data: Data, vocabulary: Sequence[str], random: np.random.Generator
) -> tuple[Arrival, ...]:
    """Return words as a live recogniser brings them, in order of arrival (hop.md 12).

    With `data.delay` a fifth is exact, three tenths come up to a second ahead,
    half 0.2 to 1.5 s late, and in 15 % of the windows nothing comes.
    """
    if data.delay and random.random() < 0.15:
        return ()
    out: list[Arrival] = []
    for word in words:
        text, shift = word.text, 0.0
        if data.missing and random.random() < data.missing:
            continue
        if data.errors and random.random() < data.errors:
            text = vocabulary[int(random.integers(4, len(vocabulary)))]
        if data.delay:
            kind = random.random()
            if kind >= 0.5:
                shift = float(random.uniform(0.2, 1.5))
            elif kind >= 0.2:
                shift = -float(random.uniform(0.0, 1.0))
        came = Word(text=text, start_s=word.start_s + shift, end_s=word.end_s + shift)
        out.append(Arrival(spoken=word, came=came))
    return tuple(sorted(out, key=lambda arrival: arrival.came.start_s))


def read_heard(store: Store) -> dict[str, tuple[Word, ...]]:
    """Return what a recogniser heard in every clip; raises `InputError` where it is not there."""
    path = store.folder / HEARD
    if not path.is_file():
        raise InputError(
            f"{path}: missing; write it with `python -m training transcribe {store.folder}`"
        )
    described = cast(dict[str, list[list[Any]]], json.loads(path.read_text("utf-8")))
    return {
        clip: tuple(Word(text=str(t), start_s=float(s), end_s=float(e)) for t, s, e in words)
        for clip, words in described.items()
    }


def collate(items: Sequence[dict[str, Any]]) -> Batch:
    """Return the batch of some windows; with word lists the longest comes first."""
    ordered = list(items)
    batch: dict[str, torch.Tensor] = {}
    if "listed" in ordered[0]:
        ordered.sort(key=lambda item: -len(item["listed"]))
        lengths = [len(item["listed"]) for item in ordered]
        listed = torch.zeros(len(ordered), max(lengths), dtype=torch.int64)
        for row, item in zip(listed, ordered, strict=True):
            row[: len(item["listed"])] = torch.as_tensor(item["listed"])
        batch |= {"listed": listed, "lengths": torch.tensor(lengths)}
    for name in ordered[0]:
        if name != "listed":
            batch[name] = torch.stack([torch.as_tensor(item[name]) for item in ordered])
    return cast(Batch, batch)


def _fraction(windows: Any, fraction: float, seed: int) -> list[int]:
    """Return the windows of a share of the clips, the same ones for a seed."""
    places = [windows.place(i)[0].name for i in range(len(windows))]
    names = sorted(set(places))
    count = max(1, round(fraction * len(names)))
    chosen = set(np.random.default_rng(seed).permutation(names)[:count].tolist())
    return [i for i, name in enumerate(places) if name in chosen]
