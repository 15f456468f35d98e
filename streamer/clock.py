"""Exact conversion between samples, frames and mel columns.

Inside a session time is an integer sample index at 16 kHz. 16000 / 15 is no
integer, so every conversion goes through `fractions.Fraction` and is exact for
ever (DESIGN 3).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

SAMPLE_RATE = 16_000


class Clock(Protocol):
    """Wall time in seconds, monotonic; injected so that tests can drive it."""

    def __call__(self) -> float:
        """Return the time."""
        ...


def _round_half_up(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameClock:
    """Maps pose frames to samples: frame n covers [start(n), start(n + 1)).

    fps: pose frames per second.
    columns: mel columns per pose frame; column c of frame n ends at
    `column_end(n, c)`, the last column at the frame's own end.
    """

    fps: Fraction
    columns: int = 1

    def start(self, frame: int) -> int:
        """Return the first sample of a frame: round(frame * 16000 / fps)."""
        return _round_half_up(Fraction(frame * SAMPLE_RATE) / self.fps)

    def end(self, frame: int) -> int:
        """Return one past the last sample of a frame."""
        return self.start(frame + 1)

    def frame_of(self, sample: int) -> int:
        """Return the frame that covers a sample."""
        frame = int(Fraction(sample) * self.fps / SAMPLE_RATE)
        while self.start(frame) > sample:
            frame -= 1
        while self.end(frame) <= sample:
            frame += 1
        return frame

    def frames_in(self, samples: int) -> int:
        """Return how many whole frames `samples` samples complete."""
        return self.frame_of(samples)

    def column_end(self, frame: int, column: int) -> int:
        """Return one past the last sample of a mel column of a frame."""
        exact = Fraction(frame * self.columns + column + 1) / (self.fps * self.columns)
        return _round_half_up(exact * SAMPLE_RATE)

    def seconds(self, frame: int) -> float:
        """Return the start of a frame in seconds."""
        return float(Fraction(frame) / self.fps)
