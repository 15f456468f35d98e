"""Words that are known beforehand, told as a recogniser would tell them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    period: samples after which the words come again, 0 for never.
    """

    def __init__(
        self, words: Sequence[WordEvent], *, delay: int = SAMPLE_RATE // 5, period: int = 0
    ) -> None:
        self._words = sorted(words, key=lambda word: word.end)
        self._delay = delay
        self._period = period
        self._told = 0

    def until(self, sample: int) -> list[HeardWord]:
        """Return the words that arrive up to a session sample and are not yet told."""
        heard = list[HeardWord]()
        while (word := self._next()) is not None and word.arrival <= sample:
            heard.append(word)
            self._told += 1
        return heard

    def _next(self) -> HeardWord | None:
        loop, index = divmod(self._told, len(self._words)) if self._words else (1, 0)
        if loop and not (self._period and self._words):
            return None
        word, shift = self._words[index], loop * self._period
        word = replace(word, start=word.start + shift, end=word.end + shift)
        return HeardWord(word=word, arrival=word.end + self._delay)
