"""The one interface of everything that audio comes from."""

from collections.abc import AsyncIterator
from typing import Protocol

from streamer.types import AudioChunk, WordEvent


class AudioSource(Protocol):
    """Gives one session its audio; the event loop calls it.

    Whatever happens to the device or the file, the chunks of `chunks` join
    without gap or overlap: each starts where the last one ended, and audio that
    never came is silence counted in `AudioChunk.filled`. A microphone and the
    live demo go on for ever; a file ends.
    """

    @property
    def name(self) -> str:
        """Short name for messages and metrics, `mic Blue Yeti`."""
        ...

    @property
    def live(self) -> bool:
        """Whether chunks come at the pace of the clock, not of the reader."""
        ...

    @property
    def words(self) -> tuple[WordEvent, ...]:
        """The words known beforehand, in order, with session samples; most sources have none.

        Those of the first `period` samples, if the source repeats itself.
        """
        ...

    @property
    def period(self) -> int:
        """Samples after which audio and `words` start over; 0 when they do not."""
        ...

    def chunks(self) -> AsyncIterator[AudioChunk]:
        """Return the audio from session sample 0 on; may be called once.

        Raises `InputError` when a file turns out to be broken on the way, and
        `UsageError` when a device cannot be opened at the start; a device that
        is lost later is filled with silence until it is back.
        """
        ...

    async def aclose(self) -> None:
        """Release device or file and end `chunks`; may be called twice."""
        ...
