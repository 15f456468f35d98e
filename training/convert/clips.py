"""Takes to clips: checked, cut at pauses, their windows judged."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from models.melspectrogram import ha2g_log_mel
from streamer.clock import FrameClock
from streamer.errors import InputError
from streamer.skeleton import Skeleton
from streamer.types import Float32
from training.convert.filters import judge
from training.convert.takes import Take
from training.store.manifest import StoreSettings
from training.store.types import FPS, SAMPLE_RATE, Clip, Word
from training.store.windows import CACHED, REASONS, WindowSizes, to_float
from training.store.writer import Problem

_CLOCK = FrameClock(fps=Fraction(FPS))
_APART_S = 1.0
_APART_SHARE = 0.1
_LATE_S = 0.25  # a word may begin so much before its clip: cut at a frame
_COLUMNS_APART = 5
_GAP_FROM = 0.6  # a cut is looked for in the last two fifths of a clip's longest length


def take_clips(take: Take, skeleton: Skeleton, settings: StoreSettings) -> Iterator[Clip | Problem]:
    """Yield the clips of a take, or what is wrong with a part of it.

    Raises `InputError` where nothing of the take can be used.
    """
    _check_lengths(take)
    length = len(take.directions)
    if not take.whole:
        length = min(length, round(len(take.audio) * FPS / SAMPLE_RATE))
    words, strays = _inside(take.words, length / FPS)
    if strays:
        yield Problem(part=take.name, why=strays)
    if length < CACHED:
        raise InputError(
            f"{length / FPS:.1f} s long, a window needs {CACHED / FPS:.1f} s; left out"
        )
    ends = [length] if take.whole else cut_points(words, length, settings.clip_s)
    for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
        name = take.name if len(ends) == 1 else f"{take.name}/{number}"
        piece = _piece(take, words, begin, end, name)
        bad = _not_finite(piece)
        if bad:
            yield Problem(part=name, why=bad)
            continue
        yield _clip(piece, take.split, skeleton, settings)


def cut_points(words: tuple[Word, ...], length: int, clip_s: float) -> list[int]:
    """Return the frames at which the clips of a take end, the last at `length`.

    A clip ends in the widest pause between words of the last two fifths of its
    longest length; a rest too short for a window stays with the clip before.
    """
    longest = max(CACHED, int(clip_s * FPS))
    gaps = [(a.end_s, b.start_s) for a, b in pairwise(words)]
    ends: list[int] = []
    begin = 0
    while length - begin > longest:
        near = (begin + max(CACHED, _GAP_FROM * longest)) / FPS
        far = (begin + longest) / FPS
        inside = [(b - a, (a + b) / 2) for a, b in gaps if near <= (a + b) / 2 <= far]
        middle = max(inside)[1] if inside and max(inside)[0] > 0 else far
        begin = min(begin + longest, round(middle * FPS))
        if length - begin < CACHED:
            break
        ends.append(begin)
    return [*ends, length]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Piece:
    """A stretch of a take that becomes a clip."""

    name: str
    speaker: str
    start_s: float
    audio: npt.NDArray[Any]
    mel: npt.NDArray[np.float16] | None
    directions: Float32
    poses: Float32 | None
    words: tuple[Word, ...]


def _piece(take: Take, words: tuple[Word, ...], begin: int, end: int, name: str) -> _Piece:
    start_s = begin / FPS
    first = _CLOCK.start(begin)
    last = len(take.audio) if take.whole else min(len(take.audio), _CLOCK.start(end))
    return _Piece(
        name=name,
        speaker=take.speaker,
        start_s=take.start_s + start_s,
        audio=take.audio[first:last],
        mel=take.mel,
        directions=take.directions[begin:end],
        poses=None if take.poses is None else take.poses[begin:end],
        words=tuple(
            Word(text=w.text, start_s=w.start_s - start_s, end_s=w.end_s - start_s)
            for w in words
            if begin <= w.start_s * FPS < end or (begin == 0 and w.start_s < 0)
        ),
    )


def _clip(piece: _Piece, split: Any, skeleton: Skeleton, settings: StoreSettings) -> Clip:
    poses = skeleton.positions(piece.directions) if piece.poses is None else piece.poses
    mel = piece.mel
    if mel is None:
        mel = np.ascontiguousarray(ha2g_log_mel(to_float(piece.audio)).T)
    lengths = np.linalg.norm(piece.directions, axis=-1)
    return Clip(
        name=piece.name,
        speaker=piece.speaker,
        start_s=piece.start_s,
        audio=piece.audio,
        mel=mel,
        directions=np.ascontiguousarray(piece.directions, np.float32),
        valid=(np.abs(lengths - 1) < 0.01).all(-1),
        words=piece.words,
        reasons=judge(
            poses,
            piece.words,
            skeleton,
            min_words=settings.min_words,
            motion=settings.filters,
        ),
        split=split,
    )


def reasons_of(clip: Clip) -> dict[str, int]:
    """Return how many windows of a clip there are by verdict."""
    return dict(Counter(REASONS[i] for i in clip.reasons.tolist()))


def _check_lengths(take: Take) -> None:
    motion_s = len(take.directions) / FPS
    apart = abs(take.seconds - motion_s)
    if apart > max(_APART_S, _APART_SHARE * max(take.seconds, motion_s)):
        raise InputError(
            f"audio lasts {take.seconds:.1f} s and motion {motion_s:.1f} s; "
            "expected one take of both, check that the files belong together"
        )
    if take.mel is not None:
        want = WindowSizes.of(len(take.directions)).columns
        if abs(len(take.mel) - want) > _COLUMNS_APART:
            raise InputError(
                f"spectrogram has {len(take.mel)} columns, its {len(take.directions)} frames "
                f"of motion expect {want} (at most {_COLUMNS_APART} apart)"
            )


def _inside(words: tuple[Word, ...], seconds: float) -> tuple[tuple[Word, ...], str]:
    """Return the words that lie within the audio, in order, and a line about the others."""
    good: list[Word] = []
    bad: list[Word] = []
    for word in words:
        times = (word.start_s, word.end_s)
        fits = np.isfinite(times).all() and -_LATE_S <= word.start_s < seconds
        (good if fits and word.end_s >= word.start_s else bad).append(word)
    line = ""
    if bad:
        first = bad[0]
        line = (
            f"{len(bad)} of {len(words)} words lie outside of the audio's {seconds:.1f} s and are "
            f"left out, first {first.text!r} at {first.start_s:.2f} to {first.end_s:.2f} s"
        )
    return tuple(sorted(good, key=lambda w: w.start_s)), line


def _not_finite(piece: _Piece) -> str:
    for name, values in (("motion", piece.directions), ("joints", piece.poses)):
        if values is not None and not np.isfinite(values).all():
            frame = int(np.argmin(np.isfinite(values).all(axis=(1, 2))))
            at = piece.start_s + frame / FPS
            return f"{name} is not finite (NaN) at frame {frame}, {at:.2f} s; the clip is left out"
    if not np.isfinite(to_float(piece.audio)).all():
        return "audio is not finite (NaN); the clip is left out"
    return ""
