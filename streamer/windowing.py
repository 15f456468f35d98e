"""From audio chunks and words to the inputs of each step: pure, no threads, no wall clock.

The one place that knows the names of a step graph's inputs. An input that a
manifest does not declare is not built.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.asr.timeline import TimedWord, WordTimeline
from streamer.clock import SAMPLE_RATE
from streamer.errors import ArtifactError, UsageError
from streamer.spec import ModelSpec, TensorSpec
from streamer.types import AudioChunk, Float32, Window, WordEvent
from streamer.words import word_ids

LONGEST_GAP = SAMPLE_RATE
"""A longer gap in the audio is not filled: the session starts afresh behind it."""

PER_FRAME = frozenset({"audio", "word", "word_info", "hop"})
"""Inputs of each pose frame; a step of K > 1 frames has K of them, on the leading axis."""

MOST_FRAMES = 8
"""Frames that a step may hold."""

_PIECE = 4096
_SEEDS = 30_000


class Windower:
    """Builds each step's inputs as soon as the last sample it needs has come.

    A window depends on the samples and on the arrivals of words alone, not on
    how the audio was cut into chunks. Samples before the session, and in gaps,
    are zeros. A word arrives, unless said otherwise, at the end of the audio
    that has been pushed.
    """

    def __init__(self, spec: ModelSpec, *, lookahead: int, style: Float32, seed: int) -> None:
        _check(spec, lookahead)
        self._spec = spec
        self._clock = spec.clock
        self._frames = spec.frames_per_step
        self._seed = seed
        self._starts = 0
        self._fixed = {
            "lookahead": np.full(1, lookahead, np.int32),
            "style": np.asarray(style, np.float32),
            "seed": gesture_seed(seed, 0),
        }
        self._names = tuple(t.name for t in spec.inputs)
        self._words = WordTimeline(self._clock)
        self._start = True
        self._step = 0
        self._set_position(0)
        self.filled = 0
        self.jumps = 0

    @property
    def position(self) -> int:
        """One past the last session sample that has been pushed."""
        return self._end

    @property
    def words_dropped(self) -> int:
        """Words that were of no use: empty, absurd times, a flood."""
        return self._words.dropped

    def push_audio(self, chunk: AudioChunk) -> list[Window]:
        """Add audio; return the windows that it completes, in order.

        Samples that were already there are ignored. A gap up to 1 s is filled
        with silence and counted in `filled`; behind a longer one, counted in
        `jumps`, steps are skipped and the next window starts a fresh state.
        """
        windows = list[Window]()
        self.filled += chunk.filled
        gap = chunk.start - self._end
        if gap > LONGEST_GAP:
            self.begin_at(chunk.start)
            self.restart()
            self.jumps += 1
        elif gap > 0:
            self.filled += gap
            self._append(np.zeros(gap, np.float32), chunk.end, chunk.captured_at, windows)
        late = max(self._end - chunk.start, 0)
        self._append(chunk.samples[late:], chunk.end, chunk.captured_at, windows)
        return windows

    def begin_at(self, sample: int) -> None:
        """Go on from a sample as if all before it were silence; the step it is in comes next."""
        self._step = self._clock.frame_of(sample) // self._frames
        self._set_position(sample)

    def push_word(self, word: WordEvent, arrival: int | None = None) -> bool:
        """Add a word that arrives at a session sample; False if it is of no use."""
        return self._words.push(word, self._end if arrival is None else arrival)

    def restart(self) -> None:
        """Let the next window start a fresh state, with a gesture code of its own."""
        if not self._start:
            self._start = True
            self._starts += 1
            self._fixed["seed"] = gesture_seed(self._seed, self._starts)

    def forget(self) -> None:
        """Forget the words that wait, and hear the past as silence."""
        self._words.clear()
        self._buffer[:] = 0.0

    def silenced(self, window: Window) -> Window:
        """Return a window of the same step with no voice and no word in it."""
        quiet = {
            name: np.zeros_like(tensor) if name in ("audio", "word", "word_info") else tensor
            for name, tensor in window.tensors.items()
        }
        return replace(window, tensors=quiet, words=())

    def _set_position(self, sample: int) -> None:
        """Put the end of the audio at a sample, with silence before it."""
        history = self._spec.audio.window + self._clock.end(self._frames - 1) + 1
        self._buffer = np.zeros(history + _PIECE, np.float32)
        self._end = sample
        self._base = sample - history

    def _append(
        self, samples: Float32, end: int, captured_at: float, windows: list[Window]
    ) -> None:
        """Take samples in; `captured_at` is the wall time of sample `end`."""
        for at in range(0, len(samples), _PIECE):
            piece = samples[at : at + _PIECE]
            self._make_room(len(piece))
            used = self._end - self._base
            self._buffer[used : used + len(piece)] = piece
            self._end += len(piece)
            while (needed := self._clock.end(self._last_frame())) <= self._end:
                windows.append(self._window(captured_at - (end - needed) / SAMPLE_RATE))
                self._step += 1

    def _make_room(self, count: int) -> None:
        used = self._end - self._base
        if used + count > len(self._buffer):
            kept = len(self._buffer) - _PIECE
            self._buffer[:kept] = self._buffer[used - kept : used].copy()
            self._base = self._end - kept

    def _window(self, captured_at: float) -> Window:
        first = self._step * self._frames
        heard = [(frame, self._words.take(frame)) for frame in range(first, first + self._frames)]
        tensors = {name: self._tensor(name, heard) for name in self._names}
        window = Window(
            step=self._step,
            tensors=tensors,
            start=self._start,
            captured_at=captured_at,
            words=tuple(word.word for _, word in heard if word is not None),
        )
        self._start = False
        return window

    def _last_frame(self) -> int:
        return (self._step + 1) * self._frames - 1

    def _tensor(self, name: str, heard: list[tuple[int, TimedWord | None]]) -> npt.NDArray[Any]:
        if name not in PER_FRAME:
            return self._fixed[name]
        rows = [self._frame_tensor(name, frame, word) for frame, word in heard]
        return rows[0] if self._frames == 1 else np.stack(rows)

    def _frame_tensor(self, name: str, frame: int, word: TimedWord | None) -> npt.NDArray[Any]:
        match name:
            case "audio":
                return self._audio(frame)
            case "word":
                return word_ids(word.word.text if word else "", self._spec.words)
            case "word_info":
                return _word_info(word)
            case _:  # hop: how many samples the frame has
                return np.full(1, self._clock.end(frame) - self._clock.start(frame), np.int32)

    def _audio(self, frame: int) -> Float32:
        width, columns = self._spec.audio.window, self._spec.audio.columns
        out = np.empty((columns, width), np.float32)
        for column in range(columns):
            end = self._clock.column_end(frame, column) - self._base
            out[column] = self._buffer[end - width : end]
        return out


DEFAULT_SEED = 18
"""Its first minutes draw the most varied gestures of a hundred: `python -m training seeds`."""


def gesture_seed(seed: int, start: int) -> Float32:
    """Return the Wichmann-Hill seed [3], integers in [1, 30000], of a session's nth start."""
    state = np.random.SeedSequence((seed, start)).generate_state(3)
    return (state % _SEEDS + 1).astype(np.float32)


def style_mixture(spec: ModelSpec, weights: Mapping[str, float] | None) -> Float32:
    """Return the style vector [len(styles)], summing to 1; the model's default if none."""
    styles = spec.styles
    if not weights:
        weights = {spec.default_style: 1.0}
    unknown = sorted(set(weights) - set(styles))
    if unknown:
        raise UsageError(f"style {unknown[0]!r} is unknown; the model has {', '.join(styles)}")
    mixture = np.array([weights.get(name, 0.0) for name in styles], np.float64)
    total = mixture.sum()
    if not np.isfinite(total) or total <= 0 or mixture.min() < 0:
        raise UsageError("style weights must be numbers >= 0 with a positive sum")
    return (mixture / total).astype(np.float32)


def _word_info(word: TimedWord | None) -> Float32:
    if word is None:
        return np.zeros(3, np.float32)
    return np.array([1.0, np.log1p(word.age), float(word.word.final)], np.float32)


def _check(spec: ModelSpec, lookahead: int) -> None:
    """Raise where the engine cannot fill what the manifest declares."""
    known = {
        "audio": TensorSpec(name="audio", shape=(spec.audio.columns, spec.audio.window)),
        "word": TensorSpec(name="word", shape=(spec.words.slots,), dtype="int32"),
        "word_info": TensorSpec(name="word_info", shape=(3,)),
        "hop": TensorSpec(name="hop", shape=(1,), dtype="int32"),
        "lookahead": TensorSpec(name="lookahead", shape=(1,), dtype="int32"),
        "style": TensorSpec(name="style", shape=(len(spec.styles),)),
        "seed": TensorSpec(name="seed", shape=(3,)),
    }
    if not 1 <= spec.frames_per_step <= MOST_FRAMES:
        raise ArtifactError(
            f"model {spec.name}: {spec.frames_per_step} frames a step; this engine runs 1 to "
            f"{MOST_FRAMES}"
        )
    if spec.frames_per_step > 1:
        for name in PER_FRAME:
            shape = (spec.frames_per_step, *known[name].shape)
            known[name] = replace(known[name], shape=shape)
    for tensor in spec.inputs:
        if known.get(tensor.name) != tensor:
            raise ArtifactError(
                f"model {spec.name}: input {tensor.name} {tensor.dtype} {list(tensor.shape)}: this "
                f"engine fills {', '.join(known)} of fixed shapes; update gesture-streamer"
            )
    if lookahead not in spec.lookaheads:
        allowed = ", ".join(str(a) for a in spec.lookaheads)
        raise UsageError(f"lookahead {lookahead} frames: model {spec.name} allows {allowed}")
