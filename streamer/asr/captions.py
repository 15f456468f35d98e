"""Words into lines for people to read: pure.

Lines come out at the pace of the audio, not of the words, so that a flood of
words is no flood of events.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import category

from streamer.asr.hypothesis import Hypothesis, Spoken
from streamer.clock import SAMPLE_RATE
from streamer.types import Event, WordEvent

LONGEST = 84
"""Characters of a caption: two lines of 42, as subtitles have them."""
LASTS = 6 * SAMPLE_RATE
"""Samples after which the next word begins a new caption."""
PAUSE = round(0.8 * SAMPLE_RATE)
"""A pause that begins a new caption."""
WAITING = 256
"""Words and captions that may wait each; of more the oldest are lost."""

_EVERY = SAMPLE_RATE // 10
_OVER = SAMPLE_RATE
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A line with its time in session samples; one that is not final may still change."""

    text: str
    start: int
    end: int
    final: bool

    def event(self) -> Event:
        """Return what viewers and files are told."""
        data = {"text": self.text, "start": self.start, "end": self.end, "final": self.final}
        return Event(kind="caption", sample=self.start, data=data)


class Captions:
    """Makes the captions of one stream, from hypotheses or from single words."""

    def __init__(self) -> None:
        self._utterance = -1
        self._heard: tuple[Spoken, ...] = ()
        self._coming = deque[WordEvent](maxlen=WAITING)
        self._said: list[Spoken] = []
        self._done = deque[Caption](maxlen=WAITING)
        self._shown = ""
        self._next = 0

    def hypothesis(self, hypothesis: Hypothesis) -> None:
        """Show what a recogniser says now."""
        if hypothesis.utterance != self._utterance:
            self._finish(self._heard)  # of a recogniser that died
            self._utterance = hypothesis.utterance
        self._heard = hypothesis.words
        if hypothesis.final:
            self._finish(self._heard)
            self._heard = ()

    def word(self, word: WordEvent) -> None:
        """Show a word when its time has come; a revision replaces what was said then."""
        self._coming.append(word)

    def forget(self) -> None:
        """Forget the words whose time has not come."""
        self._coming.clear()

    def poll(self, sample: int) -> list[Event]:
        """Return what is new at a session sample: at most ten times a second.

        That is the captions that became final, then the one that is under way.
        """
        if sample < self._next:
            return []
        self._next = sample + _EVERY
        self._admit(sample)
        events = [self._done.popleft().event() for _ in range(min(len(self._done), _AT_ONCE))]
        under_way = lines(self._heard or self._said)
        if under_way and not self._done:
            caption = _caption(under_way[-1], final=False)
            if caption.text != self._shown:
                self._shown = caption.text
                events.append(caption.event())
        elif events:
            self._shown = ""
        return events

    def end(self) -> list[Event]:
        """Return every caption that has not been told; the stream is over."""
        self._admit(None)
        self._finish(self._heard)
        self._finish(self._said)
        self._heard, self._said = (), []
        events = [caption.event() for caption in self._done]
        self._done.clear()
        return events

    def _admit(self, sample: int | None) -> None:
        """Take the words whose time has come; finish lines that nothing will be added to."""
        words = sorted(self._coming, key=lambda word: word.start)
        due = [word for word in words if sample is None or word.start <= sample]
        self._coming = deque(words[len(due) :], maxlen=WAITING)
        for word in due:
            self._say(word)
        *full, last = lines(self._said) or [[]]
        if last and sample is not None and sample - last[-1].end > _OVER:
            full, last = [*full, last], []
        for line in full:
            self._done.append(_caption(line, final=True))
        self._said = list(last)

    def _say(self, word: WordEvent) -> None:
        text = clean(word.text)[:LONGEST].strip()
        spoken = Spoken(text, word.start, max(word.end, word.start))
        if not spoken.text:
            return
        if word.revision:
            self._said = [w for w in self._said if w.end <= spoken.start or w.start >= spoken.end]
        self._said.append(spoken)
        self._said.sort(key=lambda w: w.start)

    def _finish(self, words: Sequence[Spoken]) -> None:
        self._done += [_caption(line, final=True) for line in lines(words)]


def lines(words: Sequence[Spoken]) -> list[list[Spoken]]:
    """Divide words, in order, into captions short enough to read."""
    out = list[list[Spoken]]()
    length = 0
    for word in words:
        fits = bool(out) and (
            length + 1 + len(word.text) <= LONGEST
            and word.end - out[-1][0].start <= LASTS
            and word.start - out[-1][-1].end <= PAUSE
        )
        if not fits:
            out.append([])
            length = 0
        out[-1].append(word)
        length += 1 + len(word.text)
    return out


def join(words: Sequence[Spoken]) -> str:
    """Return words as text: no space where either side is written without spaces."""
    text = ""
    for word in words:
        tight = not text or (is_ideograph(text[-1]) and is_ideograph(word.text[:1]))
        text += word.text if tight else f" {word.text}"
    return text


def clean(text: str) -> str:
    """Return a text on one line: no control characters, single spaces."""
    return " ".join("".join(" " if category(c) == "Cc" else c for c in text).split())


def is_ideograph(character: str) -> bool:
    """Tell whether a character is of a script without spaces: Chinese or Japanese."""
    return "\u3040" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff"


def _caption(words: Sequence[Spoken], *, final: bool) -> Caption:
    end = max(word.end for word in words)
    return Caption(text=join(words), start=max(words[0].start, 0), end=max(end, 0), final=final)
