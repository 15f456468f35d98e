"""PocketSphinx: small, English, and its package carries the model; loaded in its own process."""

from collections.abc import Sequence
from typing import Any

from streamer.asr.gate import Pcm
from streamer.asr.hearing import EVERY
from streamer.asr.hypothesis import Spoken
from streamer.clock import SAMPLE_RATE

_FRAME = SAMPLE_RATE // 100


class PocketSphinx:
    """One decoder with the package's US English model.

    A running hypothesis is the best path so far; the final one comes from a
    second pass over the utterance's lattice and may differ.
    """

    every = EVERY

    def __init__(self) -> None:
        import pocketsphinx

        package: Any = pocketsphinx
        self._decoder: Any = package.Decoder(loglevel="FATAL", samprate=float(SAMPLE_RATE))
        self._start = 0

    def begin(self, sample: int) -> None:
        """Begin an utterance at a session sample."""
        self._start = sample
        self._decoder.start_utt()

    def feed(self, pcm: Pcm) -> None:
        """Hear the next samples of it."""
        if len(pcm):
            self._decoder.process_raw(pcm.tobytes(), False, False)

    def words(self) -> Sequence[Spoken]:
        """Return the words of the best path so far."""
        if self._decoder.hyp() is None:
            return ()
        return [
            Spoken(
                segment.word.split("(")[0],  # "was(2)" is another way to say "was"
                self._start + segment.start_frame * _FRAME,
                self._start + (segment.end_frame + 1) * _FRAME,
            )
            for segment in self._decoder.seg()
            if segment.word[0] not in "<["  # silence and noises
        ]

    def end(self) -> Sequence[Spoken]:
        """End the utterance and return the words of the second pass."""
        self._decoder.end_utt()
        return self.words()
