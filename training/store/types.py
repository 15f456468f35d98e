"""What a store holds, as values: words, clips, windows."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streamer.types import Float32

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

SAMPLE_RATE = 16_000
FPS = 15
MEL_BANDS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word and when it is spoken, seconds from the start of its clip or window."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """One stretch of speech with motion, as a store holds it.

    name: unique in the store. speaker: `vid` of a TED video, a person's name
    elsewhere. start_s: where it begins in its source. audio: [n] mono at 16 kHz,
    float16 or int16 as the source had it. mel: float16 [columns, 128], HA2G's
    log-mel of the whole clip (`models.melspectrogram.ha2g_log_mel`, transposed).
    directions: float32 [T, D, 3] at 15 fps, the mean not subtracted. valid: bool
    [T], frames to trust. reasons: uint8 [W], why the cached window that begins
    at frame 10 * i was dropped, an index into `windows.REASONS`; 0 is kept.
    split: where the source says so; None leaves it to the writer.
    """

    name: str
    speaker: str
    start_s: float
    audio: npt.NDArray[Any]
    mel: npt.NDArray[np.float16]
    directions: Float32
    valid: npt.NDArray[np.bool_]
    words: tuple[Word, ...]
    reasons: npt.NDArray[np.uint8]
    split: Split | None = None

    @property
    def frames(self) -> int:
        """The number T of pose frames."""
        return len(self.directions)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipInfo:
    """A clip without its arrays: what the store knows before it reads any.

    speaker: an index into `Store.speakers` counted from 1, 0 for one that the
    training split does not have. frames, samples, columns: begin and end of the
    clip in its shard's arrays. kept: frames at which a kept window begins.
    """

    name: str
    shard: int
    split: Split
    speaker: int
    speaker_name: str
    start_s: float
    frames: tuple[int, int]
    samples: tuple[int, int]
    columns: tuple[int, int]
    words: tuple[Word, ...]
    kept: tuple[int, ...]

    @property
    def length(self) -> int:
        """The number of pose frames."""
        return self.frames[1] - self.frames[0]

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.length / FPS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """Consecutive frames of a clip with everything that goes with them.

    begin: the first frame in the clip. audio: float32 [n], -1 to 1, as long as
    the frames (mirrored at its end where the clip has less). mel: float32
    [128, columns] of the clip's spectrogram. directions: float32 [T, D, 3], mean
    not subtracted. words: those that overlap, times from the crop's start.
    speaker: 1 and up, 0 unknown.
    """

    clip: str
    begin: int
    audio: Float32
    mel: Float32
    directions: Float32
    valid: npt.NDArray[np.bool_]
    words: tuple[Word, ...]
    speaker: int
