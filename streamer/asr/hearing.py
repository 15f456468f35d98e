"""Audio into hypotheses with one recogniser's decoder; runs in the recogniser's process."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from streamer.asr.gate import Pcm, Piece, VoiceGate
from streamer.asr.hypothesis import Hypothesis, Spoken
from streamer.clock import SAMPLE_RATE

EVERY = SAMPLE_RATE // 5
"""Voice that is heard between two hypotheses; some decoders want more."""


class Decoder(Protocol):
    """A recogniser of one utterance after the other, all at 16 kHz."""

    every: int
    """Samples of voice after which asking for words is worth its cost."""

    def begin(self, sample: int) -> None:
        """Begin an utterance at a session sample."""
        ...

    def feed(self, pcm: Pcm) -> None:
        """Hear the next samples of it."""
        ...

    def words(self) -> Sequence[Spoken]:
        """Return its words so far, with session samples."""
        ...

    def end(self) -> Sequence[Spoken]:
        """End it and return its words."""
        ...


class Hearing:
    """Feeds a decoder with what a gate lets through; pure but for the decoder."""

    def __init__(self, decoder: Decoder, gate: VoiceGate) -> None:
        self._decoder = decoder
        self._gate = gate
        self._utterance = -1
        self._since = 0
        self._heard = 0

    def push(self, start: int, pcm: Pcm) -> list[Hypothesis]:
        """Hear session audio from `start` on; return what there is to say."""
        self._heard = start + len(pcm)
        return list(self._hypotheses(self._gate.push(start, pcm)))

    def flush(self) -> list[Hypothesis]:
        """End the utterance under way."""
        return list(self._hypotheses(self._gate.flush()))

    def _hypotheses(self, pieces: Iterator[Piece]) -> Iterator[Hypothesis]:
        for piece in pieces:
            if piece.first:
                self._utterance += 1
                self._since = 0
                self._decoder.begin(piece.start)
            self._decoder.feed(piece.pcm)
            self._since += len(piece.pcm)
            if piece.last:
                yield self._hypothesis(self._decoder.end(), final=True)
            elif self._since >= self._decoder.every:
                self._since = 0
                yield self._hypothesis(self._decoder.words(), final=False)

    def _hypothesis(self, words: Sequence[Spoken], *, final: bool) -> Hypothesis:
        return Hypothesis(
            utterance=self._utterance, words=tuple(words), heard=self._heard, final=final
        )
