"""Settings of remote sessions: each client's own, and a server's for all."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from streamer.comfort_settings import Settings, as_mapping
from streamer.errors import UsageError
from streamer.face import EXPRESSIONS, Face
from streamer.steered import House, SteeredSession
from streamer.types import AudioChunk, Event, Hello, SkeletonFrame, WordEvent
from tests.serving import HELLO, make_frame


class Inner:
    """A session that gives frames and remembers what it got."""

    def __init__(self, frames: int = 12) -> None:
        self.frames = frames
        self.heard: list[object] = []
        self.closed = 0

    def hello(self) -> Hello:
        return HELLO

    def push_audio(self, chunk: AudioChunk) -> None:
        self.heard.append(chunk)

    def push_word(self, word: WordEvent) -> object:
        self.heard.append(word)
        return True

    def interrupt(self) -> None:
        self.heard.append("interrupt")

    async def finish(self) -> None:
        self.heard.append("finish")

    async def items(self) -> AsyncIterator[SkeletonFrame | Event]:
        for n in range(self.frames):
            yield make_frame(n)

    async def aclose(self) -> None:
        self.closed += 1


async def frames_of(session: SteeredSession) -> list[SkeletonFrame]:
    return [i async for i in session.items() if isinstance(i, SkeletonFrame)]


async def test_each_client_has_settings_of_its_own() -> None:
    house = House()
    one, other = (SteeredSession(Inner(), house=house, face=None) for _ in range(2))
    settings = one.control({"still": True})
    assert settings == as_mapping(Settings(still=True))
    stills, moving = await frames_of(one), await frames_of(other)
    assert np.abs(stills[-1].rotations - stills[-2].rotations).max() < 1e-3
    np.testing.assert_array_equal(moving[-1].rotations, make_frame(11).rotations)
    with pytest.raises(UsageError, match="no setting"):
        one.control({"speed": 2})


async def test_the_house_changes_all_sessions_and_those_to_come() -> None:
    house = House()
    early = SteeredSession(Inner(), house=house, face=None)
    assert house.control({"amplitude": 0.5})["amplitude"] == 0.5
    late = SteeredSession(Inner(), house=house, face=None)
    items = [i async for i in early.items()]
    events = [i for i in items if isinstance(i, Event)]
    assert [(e.kind, e.data["amplitude"]) for e in events] == [("settings", 0.5)]
    assert late.control({})["amplitude"] == 0.5
    late.control({"amplitude": 1.0})  # its own business
    assert early.control({})["amplitude"] == 0.5
    await early.aclose()
    house.control({"energy": 0.0})
    assert early.control({})["energy"] == 1.0  # it has left
    assert late.control({})["energy"] == 0.0
    assert late.control({})["amplitude"] == 1.0


async def test_a_gesture_of_the_house_is_performed_once_by_who_is_there() -> None:
    house = House()
    session = SteeredSession(Inner(30), house=house, face=None)
    house.control({"trigger": "wave"})
    shown = await frames_of(session)
    assert np.abs(shown[12].rotations - make_frame(12).rotations).max() > 0.3
    later = SteeredSession(Inner(), house=house, face=None)
    assert (await frames_of(later))[5].rotations is not None
    np.testing.assert_array_equal((await frames_of(later))[-1].rotations, make_frame(11).rotations)


@pytest.mark.parametrize("profile", ["save", "load"])
def test_profiles_are_the_local_streams(profile: str) -> None:
    house = House()
    session = SteeredSession(Inner(), house=house, face=None)
    with pytest.raises(UsageError, match="profiles"):
        session.control({"profile": profile})
    with pytest.raises(UsageError, match="profiles"):
        house.control({"profile": profile})
    assert session.control({"profile": "neutral", "sway": 0.2})["sway"] == 0.2


async def test_faces_and_everything_else_are_handed_on() -> None:
    inner = Inner(3)
    session = SteeredSession(inner, house=House(), face=Face())
    assert session.hello().face == EXPRESSIONS
    chunk = AudioChunk(samples=np.zeros(3200, np.float32), start=0, captured_at=0.0)
    session.push_audio(chunk)
    word = WordEvent(text="so", start=0, end=100)
    assert session.push_word(word) is True
    session.interrupt()
    await session.finish()
    assert inner.heard == [chunk, word, "interrupt", "finish"]
    assert all(f.face is not None for f in await frames_of(session))
    await session.aclose()
    assert inner.closed == 1
    assert SteeredSession(Inner(), house=House(), face=None).hello() is HELLO
