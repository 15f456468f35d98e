"""When captured audio was captured, and what stands in for audio that never came."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamer.clock import SAMPLE_RATE
from streamer.types import AudioChunk, Float32

STALL_S = 0.15
_SETTLE_S = 0.5
_TOLERANCE_S = 0.005
_WINDOW_S = 1.0
_MOST_AGE_S = 0.1
_SECOND_OF_SILENCE = np.zeros(SAMPLE_RATE, np.float32)
_SECOND_OF_SILENCE.flags.writeable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A block of so many `frames`, and when it arrived.

    age: how long before that its last sample was captured, as the device says;
    NaN if it does not.
    """

    frames: int
    arrived: float
    age: float


class CaptureClock:
    """Tells when the last sample of each block was captured.

    Blocks arrive late by chance (scheduler, garbage collector, two at a time),
    never early, so the promptest arrival of the last seconds against the sample
    count gives a steady line; the time that a device says to have kept its
    samples is taken off where it is believable. PulseAudio, for one, says
    anything from -10 to 700 ms: only the least that a stream ever said counts,
    and nothing above 100 ms. Later arrivals than 150 ms start a new line.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._frames = 0
        self._window_end = 0.0
        self._before = math.inf
        self._now = math.inf
        self._age = math.inf

    def skip(self, frames: int) -> None:
        """Count frames that were lost between device and here."""
        self._frames += frames

    def stamp(self, arrivals: Sequence[Arrival]) -> list[float]:
        """Return when the last sample of each block was captured, in the clock of `arrived`.

        Give it all blocks that are there, at least one: the first of many that
        waited looks like a late one, the last of them tells that it is not.
        """
        ends: list[float] = []
        line = math.inf
        for arrival in arrivals:
            self._frames += arrival.frames
            ends.append(self._frames / self._rate)
            line = min(line, arrival.arrived - ends[-1])
            if not math.isnan(arrival.age):
                self._age = min(self._age, max(arrival.age, 0.0))
        if line - min(self._before, self._now) > STALL_S:
            self._before = self._now = line
        if ends[-1] >= self._window_end:
            self._window_end = ends[-1] + _WINDOW_S
            self._before, self._now = self._now, line
        self._now = min(self._now, line)
        kept = self._age if self._age <= _MOST_AGE_S else 0.0
        return [min(self._before, self._now) + end - kept for end in ends]


class CaptureTimeline:
    """Joins captured audio to chunks without gap or overlap; pure, times come in.

    The session's clock is the sample count, so that a device that runs a little
    fast or slow adds neither silence nor backlog. Only a real stall, nothing
    for 150 ms, is filled with silence; what arrives within half a second of
    that and belongs to a time already filled is dropped and counted as `late`.
    """

    def __init__(self, now: float) -> None:
        self._position = 0
        self._reach = now  # capture time of the last sample given out
        self._arrived = now
        self._lag = 0.0  # of `_reach` behind the arrival of audio
        self._filling = False
        self._settled_at = -math.inf
        self.filled = 0
        self.late = 0

    def audio(self, samples: Float32, captured_at: float, now: float) -> Iterator[AudioChunk]:
        """Yield what a piece of audio adds; `captured_at` belongs to its last sample."""
        self._arrived = now
        settling = now < self._settled_at
        ahead = captured_at - self._reach - len(samples) / SAMPLE_RATE
        if settling and ahead < -_TOLERANCE_S:
            late = min(len(samples), round(-ahead * SAMPLE_RATE))
            self.late += late
            samples = samples[late:]
            if not len(samples):
                return
        elif ahead > (_TOLERANCE_S if self._filling else STALL_S):
            self._settled_at = now + _SETTLE_S
            yield from self._silence(round(ahead * SAMPLE_RATE))
        self._reach = self._reach + len(samples) / SAMPLE_RATE if settling else captured_at
        self._filling = False
        self._lag = max(0.0, now - self._reach)
        yield self._chunk(samples, captured_at)

    def lost(self, samples: int) -> Iterator[AudioChunk]:
        """Yield silence for audio that was captured and then dropped."""
        yield from self._silence(samples)

    def silence(self, now: float) -> Iterator[AudioChunk]:
        """Yield silence up to now if audio has stalled, at most 1 s a chunk."""
        if not self._filling and now - self._arrived < STALL_S:
            return
        self._filling = True
        self._settled_at = now + _SETTLE_S
        yield from self._silence(int((now - self._lag - self._reach) * SAMPLE_RATE))

    def _silence(self, samples: int) -> Iterator[AudioChunk]:
        while samples > 0:
            part = min(samples, SAMPLE_RATE)
            samples -= part
            self._reach += part / SAMPLE_RATE
            self.filled += part
            yield self._chunk(_SECOND_OF_SILENCE[:part], self._reach, filled=part)

    def _chunk(self, samples: Float32, captured_at: float, filled: int = 0) -> AudioChunk:
        chunk = AudioChunk(
            samples=samples, start=self._position, captured_at=captured_at, filled=filled
        )
        self._position = chunk.end
        return chunk
