"""Which words of a recogniser's changing hypotheses enter the motion, and when: pure."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import chain, repeat, takewhile
from typing import Literal, get_args

from streamer.asr.hypothesis import Hypothesis, Spoken
from streamer.clock import SAMPLE_RATE
from streamer.types import WordEvent
from streamer.words import normalise

Policy = Literal["final_only", "stable_prefix", "all_partials"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

STALE = 3 * SAMPLE_RATE
"""Samples after the end of a word from which on it is of no use to the motion."""

LONGEST = 400
"""Words of one utterance that are looked at."""


class WordPolicy:
    """Turns the hypotheses of one recogniser into words, each as soon as it is trusted.

    `final_only` trusts an utterance that has ended; `stable_prefix` also the
    words, from the first on, on which two hypotheses in a row agree;
    `all_partials` every word at once. A word that was told and then turns out to
    be another is told again with a higher `revision`: what has entered the
    motion is never taken back (hop.md 12). A word that becomes known more than
    `STALE` after it was spoken is left out: a gesture for it would be for
    something else by then.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy: Policy = policy
        self._utterance = -1
        self._told: list[WordEvent] = []
        self._before: tuple[str, ...] = ()

    def __call__(self, hypothesis: Hypothesis) -> list[WordEvent]:
        """Return the words that a hypothesis adds or revises, in order."""
        if hypothesis.utterance != self._utterance:
            self._utterance = hypothesis.utterance
            self._told, self._before = [], ()
        words = [word for word in hypothesis.words if normalise(word.text)][:LONGEST]
        texts = tuple(normalise(word.text) for word in words)
        agreed = _agreed(self._before, texts)
        self._before = texts
        trusted = words[: self._trusted(hypothesis, agreed)]
        return self._revise(trusted, hypothesis.heard, hypothesis.final)

    def _trusted(self, hypothesis: Hypothesis, agreed: int) -> int:
        """Return how many words, from the first on, may be told."""
        match self._policy:
            case "all_partials":
                return LONGEST
            case "stable_prefix":
                return LONGEST if hypothesis.final else agreed
            case "final_only":
                return LONGEST if hypothesis.final else 0

    def _revise(self, words: list[Spoken], heard: int, final: bool) -> list[WordEvent]:
        """Align the words with what was told; tell what is new or different."""
        old = [normalise(word.text) for word in self._told]
        new = [normalise(word.text) for word in words]
        told, fresh = list[WordEvent](), list[WordEvent]()
        for kind, i, i_end, j, j_end in SequenceMatcher(None, old, new, False).get_opcodes():
            if kind == "equal":
                told += self._told[i:i_end]
            elif kind == "delete" and j_end == len(new) and not final:
                told += self._told[i:i_end]  # not unsaid: this hypothesis is just not that far
            else:
                revisions = [word.revision + 1 for word in self._told[i:i_end]]
                pairs = zip(words[j:j_end], chain(revisions, repeat(0)), strict=False)
                changed = [_event(word, final, revision) for word, revision in pairs]
                told += changed
                fresh += [word for word in changed if word.end > heard - STALE]
        self._told = told
        return fresh


def _agreed(before: Sequence[str], now: Sequence[str]) -> int:
    """Return how many words, from the first on, are the same."""
    pairs = zip(before, now, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _event(word: Spoken, final: bool, revision: int) -> WordEvent:
    return WordEvent(text=word.text, start=word.start, end=word.end, final=final, revision=revision)
