"""Streams with a network that only knows whole windows: overlapping ones that must agree."""

from collections.abc import Callable, Sequence

import numpy as np

from streamer.asr.gate import Pcm
from streamer.asr.hypothesis import Spoken
from streamer.clock import SAMPLE_RATE
from streamer.types import Float32
from streamer.words import normalise

Transcribe = Callable[[Float32], Sequence[Spoken]]
"""Words of a window [n] in -1..1, with samples from the window's start."""

LONG = 12 * SAMPLE_RATE
"""A window longer than this gives up the words on which two windows agreed."""

_OVERLAP = 2
_SEAM = 5


class LocalAgreement:
    """Hears an utterance in growing windows, each transcribed anew.

    When the window is long, the words that began it alike in two transcripts in
    a row are settled, and the window then begins at the last two of them.
    """

    every = SAMPLE_RATE

    def __init__(self, transcribe: Transcribe) -> None:
        self._transcribe = transcribe
        self.begin(0)

    def begin(self, sample: int) -> None:
        """Begin an utterance at a session sample."""
        self._start = sample
        self._window: Float32 = np.zeros(0, np.float32)
        self._settled: list[Spoken] = []
        self._before: list[Spoken] = []

    def feed(self, pcm: Pcm) -> None:
        """Hear the next samples of it."""
        samples = pcm.astype(np.float32) / np.float32(32768)
        self._window = np.concatenate([self._window, samples])

    def words(self) -> Sequence[Spoken]:
        """Transcribe the window; return the settled words and what follows them."""
        tail = self._unsettled()
        if len(self._window) > LONG:
            agreed = 0
            while agreed < min(len(tail), len(self._before)) and _same(
                tail[agreed], self._before[agreed]
            ):
                agreed += 1
            self._settled += tail[:agreed]
            tail = tail[agreed:]
            self._shorten()
        self._before = tail
        return [*self._settled, *tail]

    def end(self) -> Sequence[Spoken]:
        """End the utterance and return its words."""
        return [*self._settled, *self._unsettled()]

    def _unsettled(self) -> list[Spoken]:
        """Transcribe the window and leave out what is settled already."""
        heard = [
            Spoken(word.text, word.start + self._start, word.end + self._start)
            for word in self._transcribe(self._window)
        ]
        for n in range(min(_SEAM, len(heard), len(self._settled)), 0, -1):
            if all(map(_same, heard[:n], self._settled[-n:])):
                return heard[n:]
        settled = self._settled[-1].end if self._settled else self._start
        return [word for word in heard if (word.start + word.end) // 2 >= settled]

    def _shorten(self) -> None:
        if len(self._settled) >= _OVERLAP:
            cut = self._settled[-_OVERLAP].start
            if cut > self._start:
                self._window = self._window[cut - self._start :]
                self._start = cut


def _same(first: Spoken, second: Spoken) -> bool:
    return normalise(first.text) == normalise(second.text)
