"""A remote session with words of its own: its client's, a recogniser's, and their captions."""

from collections.abc import AsyncIterator
from dataclasses import replace

from streamer.asr.listening import Listening
from streamer.asr.opening import Recognised, WordSource
from streamer.asr.policy import Policy
from streamer.asr.process import RecogniserProcess
from streamer.clock import Clock
from streamer.session import Session
from streamer.types import AudioChunk, Event, Hello, SkeletonFrame, WordEvent


class HeardSession:
    """A session whose items are also its captions, interim and final; the event loop's alone.

    Its client's words become captions when their time comes. A recogniser, if
    `words` names one, starts with the first audio and ends with the session.
    """

    def __init__(
        self, session: Session, words: WordSource, *, policy: Policy, clock: Clock
    ) -> None:
        if isinstance(words, Recognised):
            words = replace(words, wanted=False)  # it starts with the audio
        self._session = session
        self._listening = Listening(words, session, policy=policy, tell=session.tell, clock=clock)
        self._listening.start()

    def hello(self) -> Hello:
        """Return the header of this stream."""
        return self._session.hello()

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take audio; what silence has already stood in for is not heard either."""
        late = self._session.position - chunk.start
        fresh = (
            chunk
            if late <= 0
            else replace(chunk, start=chunk.start + late, samples=chunk.samples[late:])
        )
        if len(fresh.samples):
            self._listening.overhear(fresh)
        self._session.push_audio(chunk)

    def push_word(self, word: WordEvent) -> None:
        """Take a word that the client knows."""
        self._listening.word(word)

    def interrupt(self) -> None:
        """Stop the gesture at hand and forget the words to come."""
        self._listening.interrupt()

    async def finish(self) -> None:
        """Say that the audio has ended, and wait for the last words."""
        await self._listening.finish()
        await self._session.finish()

    def items(self) -> AsyncIterator[SkeletonFrame | Event]:
        """Yield frames and events until the session ends."""
        return self._session.items()

    async def aclose(self) -> None:
        """End now, the recogniser too; may be called again."""
        await self._session.aclose()
        await self._listening.aclose()


async def check(words: WordSource, *, clock: Clock) -> None:
    """Load a recogniser once and let it go; raises `InputError` for one that cannot be used."""
    if not isinstance(words, Recognised):
        return
    recogniser = RecogniserProcess(
        words.command, name=words.name, told=_nothing, warn=_nothing, clock=clock
    )
    recogniser.start()
    try:
        await recogniser.wait_until_ready()
    finally:
        await recogniser.aclose()


def _nothing(_: object) -> None:
    """Take a word or a warning of a recogniser that hears nothing."""
