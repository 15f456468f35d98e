"""Words and captions of remote sessions: each session's own viewers, and nobody else, get them."""

import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from streamer.asr.opening import FromOutside, Recognised, WordSource, open_remote_words
from streamer.asr.remote import HeardSession, check
from streamer.cli import main
from streamer.client.recorder import Recorder
from streamer.engine import Engine
from streamer.errors import InputError, UsageError
from streamer.session import SessionOptions
from streamer.types import AudioChunk, Event
from streamer.wire import JSON_SUBPROTOCOL, decode_hello
from streamer.wire_requests import encode_audio
from tests.fakes import ManualClock, NumpyBackend, Unturned
from tests.serving import HELLO, serving, soon, until, ws_url

WORKER = (sys.executable, str(Path(__file__).parents[1] / "asr_worker.py"))


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(NumpyBackend, slots=2, retarget=Unturned)
    yield engine
    await engine.aclose()


def opened(engine: Engine, words: WordSource) -> Any:
    """Return what opens sessions that hear `words`."""

    def open_session(options: SessionOptions) -> HeardSession:
        session = engine.open_session(options)
        return HeardSession(session, words, policy="all_partials", clock=ManualClock())

    return open_session


class Client:
    """One client of `/v1/session`, which keeps what it is told."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.at = 0
        self.events: list[dict[str, Any]] = []

    @property
    def captions(self) -> list[tuple[str, bool]]:
        return [(e["text"], e["final"]) for e in self.events if e["event"] == "caption"]

    async def say(self, **message: Any) -> None:
        await self.ws.send(json.dumps(message))

    async def word(self, text: str, start: int, end: int) -> None:
        await self.say(type="word", text=text, start=start, end=end, final=True)

    async def speak(self, seconds: float, order: int = 0) -> None:
        """Send audio; its first sample tells `asr_worker` what to do."""
        samples = np.zeros(round(seconds * 16_000), np.float32)
        samples[0] = order / 32768
        chunk = AudioChunk(samples=samples, start=self.at, captured_at=0.0)
        await self.ws.send(encode_audio(chunk))
        self.at += len(samples)

    async def read(self, kind: str) -> None:
        """Read until the next event of a kind."""
        while True:
            message = json.loads(await soon(self.ws.recv()))
            if message["type"] == "frame":
                await self.say(type="ack", seq=message["seq"])
            if message["type"] == "event":
                self.events.append(message)
                if message["event"] == kind:
                    return

    async def end(self) -> None:
        """End the session and read what is left."""
        await self.say(type="end")
        try:
            while True:
                await self.read("end")
        except ConnectionClosed:
            pass


async def clients(url: str, count: int) -> Sequence[Client]:
    made: list[Client] = []
    for _ in range(count):
        ws = await connect(ws_url(url, "/v1/session"), subprotocols=[JSON_SUBPROTOCOL])
        await ws.send('{"type":"hello","protocol":"gesture.v1"}')
        assert decode_hello(await soon(ws.recv())).bones
        made.append(Client(ws))
    return made


async def test_words_that_a_client_sends_become_its_own_captions(tmp_path: Path, engine: Engine):
    async with serving(tmp_path, open_session=opened(engine, FromOutside())) as (_, url):
        talker, other = await clients(url, 2)
        await talker.word("hello", 1_000, 5_000)
        await talker.word("there", 6_000, 9_000)
        await talker.word("tomorrow", 40_000, 44_000)
        await talker.speak(0.5)
        await talker.read("word")
        await talker.read("word")
        assert talker.captions == [("hello there", False)], "interim, without what is to come"
        await talker.say(type="interrupt")
        await talker.speak(0.5)
        await other.speak(0.5)
        await talker.end()
        await other.end()
        assert talker.captions[-1] == ("hello there", True)
        assert all("tomorrow" not in text for text, _ in talker.captions), "it was cut off"
        assert [e["text"] for e in talker.events if e["event"] == "word"] == ["hello", "there"]
        assert other.captions == []
    await until(lambda: engine.free_slots == 2)


async def test_a_recogniser_hears_each_session_and_ends_with_it(tmp_path: Path, engine: Engine):
    words = Recognised(name="fake", command=(*WORKER, "well"), wanted=True)
    async with serving(tmp_path, open_session=opened(engine, words)) as (_, url):
        first, second = await clients(url, 2)
        for client in (first, second):
            while not client.captions:  # its process starts with the first audio
                await client.speak(0.1, order=1)
                while True:
                    message = json.loads(await soon(client.ws.recv()))
                    if message["type"] == "frame":
                        await client.say(type="ack", seq=message["seq"])
                        break
                    client.events.append(message)
        assert first.captions[-1] == ("u0", False)
        await first.speak(0.1, order=2)
        await first.end()
        assert first.captions[-1] == ("u0", True)
        assert second.captions[-1] == ("u0", False)
        await second.ws.close()
    await until(lambda: engine.free_slots == 2)


async def test_captions_are_recorded_by_the_python_client(tmp_path: Path):
    path = tmp_path / "talk.vtt"
    recorder = Recorder([path])
    await recorder.begin(HELLO)
    data = {"text": "hello there", "start": 16_000, "end": 32_000, "final": True}
    await recorder.event(Event(kind="caption", sample=16_000, data=data))
    await recorder.aclose()
    assert path.read_text("utf-8") == "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nhello there\n"


async def test_audio_that_silence_stood_in_for_is_not_heard_late(engine: Engine):
    session = engine.open_session(SessionOptions())
    heard = HeardSession(session, FromOutside(), policy="final_only", clock=ManualClock())
    spans: list[tuple[int, int]] = []
    heard._listening.overhear = lambda chunk: spans.append((chunk.start, chunk.end))

    def chunk(start: int, samples: int) -> AudioChunk:
        return AudioChunk(samples=np.zeros(samples, np.float32), start=start, captured_at=0.0)

    for start, samples in ((0, 1_600), (800, 400), (800, 1_600), (4_000, 1_600)):
        heard.push_audio(chunk(start, samples))
    assert spans == [(0, 1_600), (1_600, 2_400), (4_000, 5_600)]
    await heard.aclose()


async def test_a_recogniser_that_cannot_load_is_an_error_at_the_start():
    words = Recognised(name="fake", command=(*WORKER, "refuses"), wanted=True)
    with pytest.raises(InputError, match="the model is of wood"):
        await check(words, clock=ManualClock())
    await check(FromOutside(), clock=ManualClock())


@pytest.mark.parametrize("asr", ["auto", "none", "scripted", "external:9000", "external:-"])
def test_what_sessions_cannot_have_is_said(asr: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UsageError, match="clients send their words"):
        open_remote_words(asr)
    assert main(["serve", "--asr", asr]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pocketsphinx" in error


def test_a_folder_without_a_model_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["serve", "--asr", f"sherpa:{tmp_path}"]) == 2
    assert "tokens.txt" in capsys.readouterr().err
