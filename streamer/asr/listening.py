"""One stream's words: from wherever they come into its session, and as captions to viewers."""

import logging
from collections.abc import Callable
from typing import Any, Protocol

from streamer.asr.captions import Captions
from streamer.asr.external import LineWords, OscWords, Told
from streamer.asr.hypothesis import Hypothesis
from streamer.asr.opening import FromOutside, NoWords, Recognised, WordSource
from streamer.asr.policy import Policy, WordPolicy
from streamer.asr.process import RecogniserProcess
from streamer.asr.scripted import ScriptedWords
from streamer.clock import SAMPLE_RATE, Clock
from streamer.types import AudioChunk, Event, WordEvent

_log = logging.getLogger(__name__)

_MESSAGES = 20
"""Messages of other programs that one chunk of audio lets through; more are lost."""


class WordTaker(Protocol):
    """What words need of `streamer.session.Session`."""

    @property
    def position(self) -> int:
        """One past the last session sample that was pushed."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no more audio will come."""
        ...

    def push_word(self, word: WordEvent, arrival: int | None = None) -> bool:
        """Take a word; False for one of no use."""
        ...

    def interrupt(self) -> None:
        """Forget what is to come and rest."""
        ...

    def on_warning(self, message: str) -> None:
        """Tell viewers of something that went wrong."""
        ...


class Listening:
    """Gives a session its words and viewers their captions; the event loop's alone.

    tell: takes the `caption` events. live: words arrive when they are
    recognised; else `hear` waits for the recogniser, which makes the words a
    function of the audio.
    """

    def __init__(
        self,
        words: WordSource,
        session: WordTaker,
        *,
        policy: Policy,
        tell: Callable[[Event], None],
        clock: Clock,
        live: bool = True,
    ) -> None:
        self._words = words
        self._session = session
        self._policy = WordPolicy(policy)
        self._tell = tell
        self._captions = Captions()
        self._clock = clock
        self._live = live
        self._recogniser: RecogniserProcess | None = None
        self._ways: list[OscWords | LineWords] = []
        self._allowed = _MESSAGES
        self._warned = False
        self.refused = 0

    @property
    def name(self) -> str:
        """Where the words come from, for people."""
        match self._words:
            case NoWords():
                return "none: gestures come from the voice alone"
            case ScriptedWords():
                return "those that the source brings"
            case Recognised(name=name, wanted=False):
                return f"recognised by {name}, English; --asr none for other languages"
            case Recognised(name=name):
                return f"recognised by {name}"
            case FromOutside(port=port, lines=lines):
                ways = ["the page's WebSocket"]
                ways += [f"OSC /words on 127.0.0.1:{port}"] if port is not None else []
                ways += ["lines on standard input"] if lines else []
                return f"from other programs, over {' and '.join(ways)}"

    def start(self) -> None:
        """Start a recogniser that the user named; it loads while the caller goes on.

        One that `auto` took starts with the audio, so that it delays nothing.
        """
        if isinstance(self._words, Recognised):
            self._recogniser = RecogniserProcess(
                self._words.command,
                name=self._words.name,
                told=self._heard,
                warn=self._session.on_warning,
                clock=self._clock,
            )
            if self._words.wanted:
                self._recogniser.start()

    async def ready(self) -> None:
        """Wait for a recogniser that the user named, and open the ways in.

        Raises `InputError` for a model that cannot be loaded and `UsageError`
        for a port in use.
        """
        match self._words:
            case Recognised(wanted=wanted):
                if self._recogniser is not None and wanted:
                    await self._recogniser.wait_until_ready()
            case FromOutside(port=port, lines=lines):
                if port is not None:
                    osc = OscWords(self._outside, self._refuse)
                    await osc.listen(port)
                    self._ways.append(osc)
                if lines:
                    reader = LineWords(self._outside, self._refuse)
                    reader.start()
                    self._ways.append(reader)
            case NoWords() | ScriptedWords():
                pass

    async def hear(self, chunk: AudioChunk) -> None:
        """Listen to audio that the session is about to get; waits only where nothing is live."""
        self._take_in(chunk)
        if self._recogniser is not None and not self._live:
            await self._recogniser.catch_up()
        self._show(self._captions.poll(chunk.end))

    def overhear(self, chunk: AudioChunk) -> None:
        """Listen as `hear` does, for a caller that cannot wait; live only."""
        assert self._live, "words that are a function of the audio are waited for"
        self._take_in(chunk)
        self._show(self._captions.poll(chunk.end))

    def word(self, word: WordEvent) -> None:
        """Take a word that a client of the server knows."""
        self._take(word, None)

    def interrupt(self) -> None:
        """Forget the words that are to come, and let the session rest."""
        self._captions.forget()
        self._session.interrupt()

    async def finish(self) -> None:
        """Take the last words, before the session ends."""
        if self._recogniser is not None:
            await self._recogniser.finish()
        self._show(self._captions.end())

    async def aclose(self) -> None:
        """End the recogniser and close the ways in; may be called twice."""
        for way in self._ways:
            way.close()
        if self._recogniser is not None:
            await self._recogniser.aclose()

    def report(self) -> dict[str, Any]:
        """Return what a run says of its recogniser at the end."""
        match self._words, self._recogniser:
            case Recognised(name=name), RecogniserProcess() as recogniser:
                skipped_s = round(recogniser.skipped / SAMPLE_RATE, 3)
                return {"asr": name, "restarts": recogniser.restarts, "unheard_s": skipped_s}
            case FromOutside(), _:
                return {"asr": "external", "refused": self.refused}
            case ScriptedWords(), _:
                return {"asr": "scripted"}
            case _:
                return {"asr": "none"}

    def _take_in(self, chunk: AudioChunk) -> None:
        self._allowed = _MESSAGES
        if isinstance(self._words, ScriptedWords):
            for heard in self._words.until(chunk.end):
                self._take(heard.word, heard.arrival)
        elif self._recogniser is not None:
            if not self._recogniser.started:
                self._recogniser.start()
            self._recogniser.hear(chunk)

    def _heard(self, hypothesis: Hypothesis) -> None:
        if self._session.ended:
            return
        arrival = None if self._live else hypothesis.heard
        for word in self._policy(hypothesis):
            self._session.push_word(word, arrival)
        self._captions.hypothesis(hypothesis)

    def _take(self, word: WordEvent, arrival: int | None) -> None:
        if self._session.push_word(word, arrival):
            self._captions.word(word)

    def _outside(self, told: Told) -> None:
        if self._session.ended:
            return
        if self._allowed <= 0:
            self._refuse("words: too many at once")
            return
        self._allowed -= 1
        for word in told.words(self._session.position):
            self._take(word, None)

    def _refuse(self, reason: str) -> None:
        """Count what is of no use; say so once."""
        self.refused += 1
        _log.debug("%s", reason)
        if not self._warned:
            self._warned = True
            self._session.on_warning(f"{reason}; further ones are counted only")

    def _show(self, events: list[Event]) -> None:
        for event in events:
            self._tell(event)
