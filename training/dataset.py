"""Corpus shards as training tensors: features once, then random crops."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.frontend import LevelTracker, MelFrontEnd, column_windows
from models.ha2g_stream import COLUMNS, LOOKAHEADS
from models.rhythm import LONGEST, Course, Move, true_course
from streamer.errors import InputError
from streamer.skeleton import Skeleton, load_skeleton
from streamer.spec import WordSpec
from streamer.words import word_ids
from training.planner import Phase
from training.progress import track


class Hearing(Protocol):
    """What a network's configuration says of its inputs: a column's samples, mels, words."""

    @property
    def window(self) -> int:
        """Samples of a column."""
        ...

    @property
    def mels(self) -> int:
        """Mel bins of a column."""
        ...

    @property
    def buckets(self) -> int:
        """Rows of the word table."""
        ...

    @property
    def word_slots(self) -> int:
        """Hashes of a word."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch of crops; shapes as `Ha2gStream.forward` takes them.

    course: the planner's decisions; target [B, T, D, 3]: the directions that
    each row's step emits; known [B, T]: rows that count; voiced [B, T]: someone
    speaks.
    """

    image: Tensor
    level: Tensor
    word: Tensor
    word_info: Tensor
    lookahead: Tensor
    style: Tensor
    code: Tensor
    course: Course
    target: Tensor
    known: Tensor
    voiced: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """One shard in memory, float16 where it saves.

    plan [T, D, 3]: row s is the pose that step s emits, whatever the lookahead:
    the planner shows step n + A in pose n. code int64 [T]; word int32 [T, slots];
    move int8 [T], age [T] and latched int64 [T]: the planner's course, the code
    latched as its index, -1 before the first gesture.
    """

    image: Tensor
    level: Tensor
    word: Tensor
    word_info: Tensor
    plan: Tensor
    code: Tensor
    move: Tensor
    age: Tensor
    latched: Tensor
    voiced: Tensor
    style: int

    @property
    def frames(self) -> int:
        """Pose frames of the sequence."""
        return len(self.level)


class CorpusTensors:
    """All shards of a corpus folder, cropped at random with a seeded generator."""

    def __init__(self, sequences: list[Sequence], codes: Tensor, skeleton: Skeleton) -> None:
        self.sequences, self.codes, self.skeleton = sequences, codes, skeleton

    @classmethod
    def load(cls, folder: Path, config: Hearing, *, only: slice = slice(None)) -> "CorpusTensors":
        """Read the shards `only` of a corpus and compute their features.

        Raises `InputError` where the folder holds no corpus.
        """
        paths = sorted(folder.glob("[0-9]*.npz"))[only]
        if not paths or not (folder / "codes.npz").is_file():
            raise InputError(f"{folder}: no corpus; build one with `python -m training corpus`")
        codes = torch.tensor(np.load(folder / "codes.npz")["table"], dtype=torch.float32)
        skeleton = load_skeleton("upper_body")
        sequences: list[Sequence] = []
        groups = [paths[i : i + _GROUP] for i in range(0, len(paths), _GROUP)]
        for group in track(groups, len(groups), "load"):
            sequences += _sequences([np.load(path) for path in group], config)
        mean = np.load(folder / "rest.npz")["mean"].astype(np.float32)
        return cls(sequences, codes, replace(skeleton, mean=mean))

    @property
    def hours(self) -> float:
        """Length of the corpus."""
        return sum(s.frames for s in self.sequences) / 15 / 3600

    def batch(self, size: int, frames: int, generator: np.random.Generator) -> Batch:
        """Draw `size` crops of `frames` rows, each with a lookahead of its own."""
        rows: list[tuple[Tensor, ...]] = []
        for _ in range(size):
            sequence = self.sequences[generator.integers(len(self.sequences))]
            ahead = LOOKAHEADS[generator.integers(len(LOOKAHEADS))]
            room = max(0, sequence.frames - frames)
            # a third of the crops begin where a session does
            begin = 0 if generator.random() < 0.3 else int(generator.integers(room + 1))
            rows.append(self._crop(sequence, ahead, begin, frames))
        columns = [torch.stack(column) for column in zip(*rows, strict=True)]
        return Batch(
            image=columns[0],
            level=columns[1],
            word=columns[2],
            word_info=columns[3],
            lookahead=columns[4],
            style=columns[5],
            code=columns[6],
            target=columns[7],
            known=columns[8],
            voiced=columns[9],
            course=Course(
                move=columns[10],
                age=columns[11],
                code=columns[12],
                before_move=columns[13],
                before_age=columns[14],
            ),
        )

    def _crop(self, sequence: Sequence, ahead: int, begin: int, frames: int) -> tuple[Tensor, ...]:
        rows = slice(begin, begin + frames)
        # a step before the first pose of its lookahead emits nothing
        known = torch.arange(frames) >= ahead
        style = torch.zeros(3)
        style[sequence.style] = 1.0
        latched = sequence.latched[rows]
        return (
            sequence.image[rows].float(),
            sequence.level[rows].float(),
            sequence.word[rows],
            sequence.word_info[rows],
            torch.tensor([ahead]),
            style,
            self.codes[sequence.code[rows]],
            sequence.plan[rows].float(),
            known,
            sequence.voiced[rows],
            sequence.move[rows].long(),
            sequence.age[rows].float(),
            self.codes[latched.clamp(min=0)] * (latched >= 0)[:, None],
            # before a session the hands are at rest, and have been
            sequence.move[begin - 1].long() if begin else torch.tensor(int(Move.IDLE)),
            sequence.age[begin - 1].float() if begin else torch.tensor(LONGEST),
        )


_GROUP = 48
"""Shards whose levels are tracked side by side."""


@torch.no_grad()
def _sequences(shards: "list[np.lib.npyio.NpzFile]", config: Hearing) -> list[Sequence]:
    """Return shards of equal length as sequences; the level tracker runs over all at once."""
    front, tracker = MelFrontEnd(config.window, config.mels), LevelTracker(config.mels)
    plans = [torch.tensor(shard["directions"][0]) for shard in shards]
    frames = len(plans[0])
    mels: list[Tensor] = []
    for shard in shards:
        audio = shard["audio"].astype(np.float32) / 32768
        windows = torch.tensor(column_windows(audio, frames, COLUMNS, config.window))
        mels.append(front(windows).flatten(0, 1))
    mel = torch.stack(mels, 1)  # [columns, shards, M]
    energy = tracker.energy(mel)
    image, level = tracker.features(mel, energy, tracker.scan(energy))
    moves = torch.tensor(np.stack([_moves(shard) for shard in shards]))
    codes = torch.tensor(np.stack([shard["code"].astype(np.int64) for shard in shards]))
    # numbers latch as codes do; shifted by one, so that nothing is zero
    course = true_course(moves, codes[..., None].float() + 1.0)
    spec = WordSpec(buckets=config.buckets, slots=config.word_slots)
    out: list[Sequence] = []
    for i, shard in enumerate(shards):
        word, info = word_rows(
            frames,
            shard["word"],
            shard["word_frame"],
            shard["word_start"],
            shard["word_final"],
            spec,
        )
        out.append(
            Sequence(
                image=image[:, i].unflatten(0, (frames, COLUMNS)).half(),
                level=tracker.frame(level[:, i].unflatten(0, (frames, COLUMNS))).half(),
                word=torch.tensor(word),
                word_info=torch.tensor(info),
                plan=plans[i],
                code=codes[i],
                move=moves[i],
                age=course.age[i].half(),
                latched=course.code[i, :, 0].long() - 1,
                voiced=torch.tensor(shard["voiced"].astype(np.float32)),
                style=int(shard["style"]),
            )
        )
    return out


def _moves(shard: "np.lib.npyio.NpzFile") -> npt.NDArray[np.int64]:
    """Return the planner's moves [T] of a shard."""
    table = np.zeros(len(Phase), np.int64)
    for phase in Phase:
        table[phase] = Move[phase.name]
    moves = table[shard["phase"].astype(np.int64)]
    moves[shard["released"]] = Move.RELEASE
    return moves


def word_rows(
    frames: int,
    words: npt.NDArray[np.str_],
    arrivals: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int32],
    finals: npt.NDArray[np.bool_],
    spec: WordSpec,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return ids [T, slots] and info [T, 3] of words that enter at their arrival frame.

    info = (present, log(1 + frames since it was spoken), final).
    """
    ids = np.zeros((frames, spec.slots), np.int32)
    info = np.zeros((frames, 3), np.float32)
    for word, arrival, start, final in zip(words, arrivals, starts, finals, strict=True):
        if 0 <= arrival < frames:
            ids[arrival] = word_ids(str(word), spec)
            info[arrival] = (1.0, np.log1p(max(0, arrival - start)), float(final))
    return ids, info
