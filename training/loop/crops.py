"""Crops of a store as the streaming networks read them, with the teacher's windows beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.frontend import LevelTracker, MelFrontEnd, column_windows
from models.ha2g_stream import COLUMNS
from streamer.errors import UsageError
from streamer.spec import WordSpec
from streamer.types import Float32
from training.dataset import word_rows
from training.loop.order import Key
from training.loop.windows import Reading, WindowSet
from training.measures import voiced_frames
from training.progress import track
from training.store.reader import Store
from training.store.types import FPS, Crop, Split
from training.store.windows import FRAMES
from training.systems.gestures import Gestures, code_table, codes_of, read_gestures
from training.systems.stream import STRIDE, StreamSystem


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    gestures: Gestures
    code: Any
    style: int


class CropSet(WindowSet):
    """Crops of `data.frames` frames; decisions and codes are read from each clip's motion.

    codes: the table [M, 12] that the network takes over; that of the training
    split for all. Styles are thirds of the clips by how much their arms move.
    """

    def __init__(
        self,
        store: Store,
        split: Split,
        reading: Reading,
        system: StreamSystem,
        codes: Float32 | None = None,
    ) -> None:
        frames = reading.data.frames
        if frames < FRAMES or (frames - FRAMES) % STRIDE:
            raise UsageError(f"recipe: data.frames is {frames}, expected 34 + a multiple of 30")
        super().__init__(store, split, reading)
        config = system.config
        self.teacher = system.teacher is not None
        self.lookaheads = config.lookaheads
        self.styles = len(config.styles)
        self.words_spec = WordSpec(buckets=config.buckets, slots=config.word_slots)
        self.window = config.window
        self.front, self.tracker = (
            MelFrontEnd(config.window, config.mels),
            LevelTracker(config.mels),
        )
        self.clips, self.codes = self._clips(codes)

    def _clips(self, codes: Float32 | None) -> tuple[Mapping[str, _Clip], Float32]:
        infos = {clip.name: clip for clip, _ in map(self.windows.place, self.kept)}
        read: dict[str, Gestures] = {}
        for name, info in track(infos.items(), len(infos), "read gestures"):
            directions = self.store.crop(info, 0, info.length).directions
            read[name] = read_gestures(self.store.skeleton, directions)
        table = code_table(list(read.values()), self.reading.seed) if codes is None else codes
        edges = np.quantile([g.speed for g in read.values()] or [0.0], (1 / 3, 2 / 3))
        clips = {
            name: _Clip(
                gestures=gestures,
                code=codes_of(gestures, table),
                style=min(self.styles - 1, int(np.searchsorted(edges, gestures.speed))),
            )
            for name, gestures in read.items()
        }
        return clips, table

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return the arrays of a crop."""
        index, number = key
        info, begin = self.windows.place(self.kept[index])
        crop = self.windows[self.kept[index]]
        random = np.random.default_rng((self.reading.seed, number))
        frames, clip = len(crop.directions), self.clips[info.name]
        rows = slice(begin, begin + frames)
        ahead = int(random.choice(self.lookaheads))
        image, level = self._front(crop.audio, frames)
        word, word_info = self._words(crop, random)
        style = np.zeros(self.styles, np.float32)
        style[clip.style] = 1.0
        out = self.moved(crop, random) | {
            "image": image,
            "level": level,
            "word": word,
            "word_info": word_info,
            "lookahead": np.array([ahead]),
            "style": style,
            # a step emits the pose of `ahead` frames ago, and decides for it
            "code": _delayed(clip.code[rows], ahead),
            "move": _delayed(clip.gestures.move[rows], ahead),
            "known": _delayed(crop.valid, ahead) & (np.arange(frames) >= ahead),
            "voiced": voiced_frames(crop.audio, frames, FPS).astype(np.float32),
        }
        if self.teacher:
            count = 1 + (frames - FRAMES) // STRIDE
            cut = [self.store.crop(info, begin + STRIDE * i, FRAMES) for i in range(count)]
            heard = [self.heard_in(window, random) for window in cut]
            for name in heard[0]:
                out[f"window_{name}"] = np.stack([np.asarray(window[name]) for window in heard])
        return out

    @torch.no_grad()
    def _front(self, audio: Float32, frames: int) -> tuple[Tensor, Tensor]:
        """Return the front end's image and level of a session that starts here."""
        windows = torch.from_numpy(column_windows(audio, frames, COLUMNS, self.window))
        mel = self.front(windows.float()).flatten(0, 1)
        energy = self.tracker.energy(mel)
        image, level = self.tracker.features(mel, energy, self.tracker.scan(energy))
        shape = (frames, COLUMNS)
        return image.unflatten(0, shape), self.tracker.frame(level.unflatten(0, shape))

    def _words(self, crop: Crop, random: np.random.Generator) -> tuple[Any, Any]:
        """Return hashed words where they arrive, and when they were spoken."""
        arriving = self.arrivals(crop, random)
        return word_rows(
            len(crop.directions),
            np.array([a.came.text for a in arriving], np.str_),
            np.array([int(a.came.start_s * FPS) for a in arriving], np.int32),
            np.array([int(a.spoken.start_s * FPS) for a in arriving], np.int32),
            np.ones(len(arriving), np.bool_),
            self.words_spec,
        )


def _delayed(rows: Any, ahead: int) -> Any:
    """Return rows [T] as a step sees them: row m is that of frame m - ahead."""
    return rows[np.maximum(np.arange(len(rows)) - ahead, 0)]
