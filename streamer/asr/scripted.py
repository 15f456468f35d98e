"""Words that are known beforehand, told as a recogniser would tell them."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from streamer.clock import SAMPLE_RATE
from streamer.types import WordEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardWord:
    """A word and the session sample at which a recogniser would have told it."""

    word: WordEvent
    arrival: int


class ScriptedWords:
    """Tells each word `delay` samples after its end, as live recognition does.

    The arrival is an exact sample, whatever the chunks of the audio are.
    """

    def __init__(self, words: Sequence[WordEvent], *, delay: int = SAMPLE_RATE // 5) -> None:
        heard = [HeardWord(word=w, arrival=w.end + delay) for w in words]
        self._heard = sorted(heard, key=lambda h: h.arrival)
        self._arrivals = [h.arrival for h in self._heard]
        self._told = 0

    def until(self, sample: int) -> Sequence[HeardWord]:
        """Return the words that arrive up to a session sample and are not yet told."""
        last = bisect_right(self._arrivals, sample)
        heard = self._heard[self._told : last]
        self._told = max(self._told, last)
        return heard
