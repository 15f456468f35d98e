"""What a source gives: recordings, and the takes that are read from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamer.types import Float32
from training.store.manifest import StoreSettings
from training.store.types import SAMPLE_RATE, Split, Word
from training.store.writer import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One unit of a source: a video's record, a take on the disk.

    name: unique, stays the same from run to run. stamp: changes with its
    content. place: what the source needs to find it again.
    """

    name: str
    stamp: str
    place: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Take:
    """Speech with motion, as read: 16 kHz mono and directions [T, D, 3] at 15 fps.

    audio: int16 or float16. poses: float32 [T, J, 3] as the source has them, for
    the motion filters; None: made from the directions. mel: float16
    [columns, 128] where the source has it. whole: it must not be cut.
    """

    name: str
    speaker: str
    start_s: float
    audio: npt.NDArray[Any]
    directions: Float32
    words: tuple[Word, ...]
    poses: Float32 | None = None
    mel: npt.NDArray[np.float16] | None = None
    split: Split | None = None
    whole: bool = False

    @property
    def seconds(self) -> float:
        """The length of the audio."""
        return len(self.audio) / SAMPLE_RATE


class Source(Protocol):
    """A kind of data. Instances go to worker processes."""

    def settings(self) -> StoreSettings:
        """Return what identifies the conversion."""
        ...

    def recordings(self) -> Sequence[Recording]:
        """Return the recordings, in order; raises `InputError` where there are none."""
        ...

    def takes(self, recording: Recording) -> Iterator[Take | Problem]:
        """Yield what a recording holds, or what is wrong with a part of it.

        Raises `InputError` where the recording as a whole cannot be used.
        """
        ...


def file_stamp(*paths: Path) -> str:
    """Return a stamp of files: sizes and times of change."""
    stats = [path.stat() for path in paths]
    return " ".join(f"{s.st_size}:{s.st_mtime_ns}" for s in stats)
