"""The one interface of everything that takes frames."""

from typing import Literal, Protocol, runtime_checkable

from streamer.types import AudioChunk, Event, SkeletonFrame

Policy = Literal["latest", "every"]


class Sink(Protocol):
    """Takes frames and events of one session; the event loop calls it.

    `latest` sinks (viewers) are handed the newest frame when they are slow;
    `every` sinks (files) are handed each frame. Events are never dropped. A
    sink that raises is closed and reported; the session goes on.
    """

    @property
    def name(self) -> str:
        """Short name for messages and metrics, `vmc 127.0.0.1:39539`."""
        ...

    @property
    def policy(self) -> Policy:
        """What to do when it is slower than the stream."""
        ...

    async def send(self, frame: SkeletonFrame) -> None:
        """Deliver one frame."""
        ...

    async def event(self, event: Event) -> None:
        """Deliver one event."""
        ...

    async def aclose(self) -> None:
        """Flush and close."""
        ...


@runtime_checkable
class Hearing(Protocol):
    """A sink that also wants the voice: a video."""

    def hear(self, chunk: AudioChunk) -> None:
        """Take audio as it goes into the session; must not wait."""
        ...
