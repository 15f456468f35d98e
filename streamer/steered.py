"""A remote session whose motion its client may set, as the local stream's may be."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from streamer.comfort_settings import Settings
from streamer.errors import UsageError
from streamer.face import Face, with_face
from streamer.serving.remote import RemoteSession
from streamer.steering import Steering
from streamer.types import AudioChunk, Event, Hello, SkeletonFrame, WordEvent


class SteeredSession:
    """Applies a client's settings to its own frames; the event loop's alone.

    session: what makes the frames. house: the settings that every session begins
    with, and hears of. face: gives frames their mouth and lids, None for none.
    """

    def __init__(self, session: RemoteSession, *, house: "House", face: Face | None) -> None:
        self._session = session
        self._house = house
        self._face = face
        self._steering = Steering(profiles=None, face=face)
        if (begin := house.changed_settings()) is not None:
            self._steering.control(begin)
        self._told: list[Event] = []
        self._sample = 0
        house.sessions.add(self)

    def control(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change settings by name; return all that are in effect. Raises `UsageError`."""
        if wanted.get("profile") in ("save", "load"):
            raise UsageError("a remote session keeps no profiles; send the settings themselves")
        return self._steering.control(wanted)

    def told(self, wanted: Mapping[str, Any]) -> None:
        """Take settings of the house, and let the client know with the next frame."""
        settings = self._steering.control(wanted)
        self._told = [Event(kind="settings", sample=self._sample, data=settings)]

    def hello(self) -> Hello:
        """Return the header of this stream."""
        hello = self._session.hello()
        return hello if self._face is None else with_face(hello)

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take audio."""
        if self._face is not None:
            self._face.hear(chunk)
        self._session.push_audio(chunk)

    def push_word(self, word: WordEvent) -> object:
        """Take a word."""
        return self._session.push_word(word)

    def interrupt(self) -> None:
        """Stop the gesture at hand."""
        self._session.interrupt()

    async def finish(self) -> None:
        """Say that the audio has ended."""
        await self._session.finish()

    async def items(self) -> AsyncIterator[SkeletonFrame | Event]:
        """Yield frames as they shall be seen, and events."""
        async for item in self._session.items():
            while self._told:
                yield self._told.pop(0)
            if isinstance(item, SkeletonFrame):
                self._sample = item.sample
                item = self._steering.apply(item)
            yield item

    async def aclose(self) -> None:
        """End now; may be called again."""
        self._house.sessions.discard(self)
        await self._session.aclose()


class House:
    """The settings of a server: every session begins with them and follows a change."""

    def __init__(self) -> None:
        self.sessions = set[SteeredSession]()
        self._steering = Steering(profiles=None)

    def control(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change settings for everyone; return the house's. Raises `UsageError`."""
        if wanted.get("profile") in ("save", "load"):
            raise UsageError("a server keeps no profiles; give the settings themselves")
        settings = self._steering.control(wanted)
        for session in tuple(self.sessions):
            session.told(wanted)
        return settings

    def changed_settings(self) -> Mapping[str, Any] | None:
        """Return the house's settings, None while nobody has changed any."""
        return self._steering.in_effect() if self._steering.settings != Settings() else None
