"""When each word enters the network: at most one a step, and never twice (hop.md 12)."""

from dataclasses import dataclass, field
from heapq import heappop, heappush

from streamer.clock import SAMPLE_RATE, FrameClock
from streamer.types import WordEvent
from streamer.words import normalise

FURTHEST = 30 * SAMPLE_RATE
"""A word whose time is further than this from its arrival is a mistake."""

CAPACITY = 256
"""Words that may wait; a flood beyond it is dropped and counted."""


@dataclass(frozen=True, slots=True, order=True)
class _Waiting:
    step: int
    order: int
    word: WordEvent = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWord:
    """A word in the step where it enters; `age` is in steps since the one in which it began."""

    word: WordEvent
    age: int


class WordTimeline:
    """The words that have arrived and wait for their step.

    Step m hears the audio of frame m. A word enters in the first step that was
    not complete when the word arrived and that has reached the word's start; a
    step takes one word, the others follow in the next steps. Lookahead plays no
    part: words go with the audio, as they do in training. What a step has taken
    never changes, so two logs that agree on the arrivals up to a time agree on
    every step up to it. A revised word is a new word: it enters again.
    """

    def __init__(self, clock: FrameClock) -> None:
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._order = 0
        self.dropped = 0

    def push(self, word: WordEvent, arrival: int) -> bool:
        """Add a word that arrives at a session sample; False if it is of no use.

        Without letters or digits, more than 30 s away from its arrival, or one
        of a flood: such a word is dropped and counted.
        """
        far = abs(word.start - arrival) > FURTHEST
        if far or not normalise(word.text) or len(self._waiting) >= CAPACITY:
            self.dropped += 1
            return False
        step = max(self._clock.frame_of(max(arrival, 0)), self._frame(word))
        heappush(self._waiting, _Waiting(step, self._order, word))
        self._order += 1
        return True

    def take(self, step: int) -> TimedWord | None:
        """Return the word that enters in this step; steps are asked for in order."""
        if not self._waiting or self._waiting[0].step > step:
            return None
        word = heappop(self._waiting).word
        return TimedWord(word=word, age=step - self._frame(word))

    def clear(self) -> None:
        """Forget the words that wait."""
        self._waiting.clear()

    def _frame(self, word: WordEvent) -> int:
        return self._clock.frame_of(max(word.start, 0))
