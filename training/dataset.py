"""Corpus shards as training tensors: features once, then random crops."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.frontend import column_windows
from models.ha2g_stream import COLUMNS, LOOKAHEADS, Ha2gStream, StreamConfig
from streamer.errors import InputError
from streamer.skeleton import Skeleton, load_skeleton
from streamer.spec import WordSpec
from streamer.words import word_ids
from training.progress import track


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch of crops; shapes as `Ha2gStream.forward` takes them.

    target [B, T, D, 3]: the directions that each row's step emits; known [B, T]:
    rows that count; voiced [B, T]: someone speaks.
    """

    image: Tensor
    level: Tensor
    word: Tensor
    word_info: Tensor
    lookahead: Tensor
    style: Tensor
    code: Tensor
    target: Tensor
    known: Tensor
    voiced: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """One shard in memory, float16 where it saves.

    plan [T, D, 3]: row s is the pose that step s emits, whatever the lookahead:
    the planner shows step n + A in pose n. code int64 [T]; word int32 [T, slots].
    """

    image: Tensor
    level: Tensor
    word: Tensor
    word_info: Tensor
    plan: Tensor
    code: Tensor
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
    def load(
        cls, folder: Path, config: StreamConfig, *, only: slice = slice(None)
    ) -> "CorpusTensors":
        """Read the shards `only` of a corpus and compute their features.

        Raises `InputError` where the folder holds no corpus.
        """
        paths = sorted(folder.glob("[0-9]*.npz"))[only]
        if not paths or not (folder / "codes.npz").is_file():
            raise InputError(f"{folder}: no corpus; build one with `python -m training corpus`")
        codes = torch.tensor(np.load(folder / "codes.npz")["table"], dtype=torch.float32)
        skeleton = load_skeleton("upper_body")
        network = Ha2gStream(config, skeleton, codes)
        sequences: list[Sequence] = []
        groups = [paths[i : i + _GROUP] for i in range(0, len(paths), _GROUP)]
        for group in track(groups, len(groups), "load"):
            sequences += _sequences([np.load(path) for path in group], network)
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
        )

    def _crop(self, sequence: Sequence, ahead: int, begin: int, frames: int) -> tuple[Tensor, ...]:
        rows = slice(begin, begin + frames)
        # a step before the first pose of its lookahead emits nothing
        known = torch.arange(frames) >= ahead
        style = torch.zeros(3)
        style[sequence.style] = 1.0
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
        )


_GROUP = 48
"""Shards whose levels are tracked side by side."""


@torch.no_grad()
def _sequences(shards: "list[np.lib.npyio.NpzFile]", network: Ha2gStream) -> list[Sequence]:
    """Return shards of equal length as sequences; the level tracker runs over all at once."""
    tracker, config = network.tracker, network.config
    plans = [torch.tensor(shard["directions"][0]) for shard in shards]
    frames = len(plans[0])
    mels: list[Tensor] = []
    for shard in shards:
        audio = shard["audio"].astype(np.float32) / 32768
        windows = torch.tensor(column_windows(audio, frames, COLUMNS, config.window))
        mels.append(network.front(windows).flatten(0, 1))
    mel = torch.stack(mels, 1)  # [columns, shards, M]
    energy = tracker.energy(mel)
    image, level = tracker.features(mel, energy, tracker.scan(energy))
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
                level=level[:, i].unflatten(0, (frames, COLUMNS))[:, -1].half(),
                word=torch.tensor(word),
                word_info=torch.tensor(info),
                plan=plans[i],
                code=torch.tensor(shard["code"].astype(np.int64)),
                voiced=torch.tensor(shard["voiced"].astype(np.float32)),
                style=int(shard["style"]),
            )
        )
    return out


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
