"""What a recogniser says, whichever it is."""

from dataclasses import dataclass
from typing import NamedTuple


class Spoken(NamedTuple):
    """A word in a hypothesis; start and end are session samples."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What a recogniser takes an utterance for, so far.

    utterance: its number, growing by one. words: all of its words, in order.
    heard: one past the last session sample that the recogniser has heard.
    final: nothing of this utterance will change any more.
    """

    utterance: int
    words: tuple[Spoken, ...]
    heard: int
    final: bool = False


def spread(text: str, start: int, end: int) -> tuple[Spoken, ...]:
    """Divide a time among the words of a text by their lengths.

    For recognisers that know when a phrase was spoken and not when its words were.
    """
    words = text.split()
    weights = [len(word) + 1 for word in words]
    total, spoken, before = sum(weights), list[Spoken](), 0
    for word, weight in zip(words, weights, strict=True):
        after = before + weight
        length = end - start
        spoken.append(
            Spoken(word, start + length * before // total, start + length * after // total)
        )
        before = after
    return tuple(spoken)
