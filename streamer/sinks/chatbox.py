"""Captions in VRChat's chatbox, within its limits: 144 characters, 9 lines, few a second."""

import re
from collections import deque
from typing import Final

LONGEST: Final = 144
"""UTF-16 units, as VRChat counts."""
LINES: Final = 9
BUCKET: Final = 5
BUCKET_S: Final = 5.1
"""At most 5 messages in any 5.1 s; more and the speaker is muted for a while."""
INTERIM_S: Final = 1.3

_WAITING: Final = 20
_SENTENCE: Final = re.compile(r"(?<=[.!?…。！？])\s+")


class Captions:
    """Decides what the chatbox shows, and when; pure, by the times it is given.

    Finals are never dropped while fewer than 20 wait, and come in order. Of
    interims only the newest counts, at most one in 1.3 s.
    """

    def __init__(self) -> None:
        self._finals = deque[str](maxlen=_WAITING)
        self._interim = ""
        self._sent = deque[float](maxlen=BUCKET)

    def add(self, text: str, *, final: bool) -> None:
        """Take a caption."""
        text = " ".join(text.split())
        if final:
            self._finals.extend(split(text))
            self._interim = ""
        else:
            self._interim = tail(text)

    def next(self, now: float) -> str | None:
        """Return the text to send now, if there is one and the limits allow it."""
        if len(self._sent) == BUCKET and now - self._sent[0] < BUCKET_S:
            return None
        if self._finals:
            text = self._finals.popleft()
        elif self._interim and (not self._sent or now - self._sent[-1] >= INTERIM_S):
            text, self._interim = self._interim, ""
        else:
            return None
        self._sent.append(now)
        return text

    def due(self, now: float) -> float | None:
        """Return how long until `next` may have something; None while nothing waits."""
        if not self._finals and not self._interim:
            return None
        wait = BUCKET_S - (now - self._sent[0]) if len(self._sent) == BUCKET else 0.0
        if not self._finals and self._sent:
            wait = max(wait, INTERIM_S - (now - self._sent[-1]))
        return max(wait, 0.0)


def split(text: str) -> list[str]:
    """Return a text in pieces that fit, cut between sentences, else between words."""
    pieces, piece = list[str](), ""
    for part in _SENTENCE.split(text):
        for word in part.split(" ") if units(part) > LONGEST else [part]:
            for run in _runs(word):
                joined = f"{piece} {run}".strip()
                if units(joined) > LONGEST:
                    pieces.append(piece)
                    piece = run
                else:
                    piece = joined
    return [*pieces, piece] if piece else pieces


def tail(text: str) -> str:
    """Return the end of a long text behind an ellipsis, whole words where possible."""
    if units(text) <= LONGEST:
        return text
    kept = ""
    for word in reversed(text.split(" ")):
        longer = f"{word} {kept}".strip()
        if units(longer) > LONGEST - 2:
            break
        kept = longer
    return f"… {kept}" if kept else "…" + _runs(text, LONGEST - 1)[-1]


def units(text: str) -> int:
    """Return the length in UTF-16 units."""
    return len(text.encode("utf-16-le", errors="replace")) // 2


def _runs(word: str, longest: int = LONGEST) -> list[str]:
    """Return a word in runs that fit; most are one."""
    runs, run = list[str](), ""
    for letter in word:
        if units(run + letter) > longest:
            runs.append(run)
            run = ""
        run += letter
    return [*runs, run] if run else runs
