"""From `--asr` to words in a session, with a session that only notes what it gets."""

import asyncio
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from streamer.asr.listening import Listening
from streamer.asr.opening import (
    FromOutside,
    NoWords,
    Recognised,
    WordSource,
    open_words,
    parse_asr,
)
from streamer.asr.scripted import ScriptedWords
from streamer.cli import main
from streamer.errors import InputError, UsageError
from streamer.types import AudioChunk, Event, WordEvent
from tests.asr_models import tiny_sherpa
from tests.fakes import ManualClock
from tests.unit.test_asr_external import osc

WORKER = (sys.executable, str(Path(__file__).parents[1] / "asr_worker.py"))


class Source:
    name = "talk.wav"
    live = True
    period = 0

    def __init__(self, *words: WordEvent) -> None:
        self.words = words


class Noting:
    """What a session is told."""

    def __init__(self) -> None:
        self.position = 0
        self.ended = False
        self.words: list[tuple[str, int | None]] = []
        self.warnings: list[str] = []
        self.interrupts = 0
        self.useful = True
        self.changed = asyncio.Event()

    def push_word(self, word: WordEvent, arrival: int | None = None) -> bool:
        self.words.append((word.text, arrival))
        self.changed.set()
        return self.useful

    def interrupt(self) -> None:
        self.interrupts += 1

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)
        self.changed.set()


class Stream:
    """A listening with audio that a test pushes block by block."""

    def __init__(self, words: WordSource, *, live: bool = True) -> None:
        self.session = Noting()
        self.told: list[Event] = []
        self.listening = Listening(
            words,
            self.session,
            policy="all_partials",
            tell=self.told.append,
            clock=ManualClock(),
            live=live,
        )

    async def hear(self, order: int = 0, samples: int = 1_600) -> None:
        audio = np.zeros(samples, np.float32)
        audio[0] = order / 32768
        chunk = AudioChunk(samples=audio, start=self.session.position, captured_at=0.0)
        await self.listening.hear(chunk)
        self.session.position += samples

    @property
    def captions(self) -> list[str]:
        assert all(event.kind == "caption" for event in self.told)
        return [e.data["text"] for e in self.told if e.data["final"]]


def word(text: str, start: int) -> WordEvent:
    return WordEvent(text=text, start=start, end=start + 1_000)


async def test_scripted_words_go_in_with_their_arrivals_and_become_captions() -> None:
    source = Source(word("hello", 0), word("there", 1_500))
    stream = Stream(open_words("auto", source, recognise=True))
    for _ in range(6):
        await stream.hear()
    await stream.listening.finish()
    assert stream.session.words == [("hello", 4_200), ("there", 5_700)]
    assert stream.captions == ["hello there"]
    assert stream.listening.report() == {"asr": "scripted"}


@pytest.mark.parametrize("live", [True, False])
async def test_recognised_words(live: bool) -> None:
    stream = Stream(Recognised(name="fake", command=(*WORKER, "well"), wanted=True), live=live)
    stream.listening.start()
    await stream.listening.ready()
    await stream.hear(1)
    await stream.hear(2)
    await stream.listening.finish()
    arrivals = (None, None) if live else (1_600, 3_200)
    assert stream.session.words == [("u0", arrivals[0]), ("u1", None if live else 3_200)]
    assert stream.captions[0] == "u0"
    assert stream.listening.report() == {"asr": "fake", "restarts": 0, "unheard_s": 0.0}
    await stream.listening.aclose()


async def test_a_recogniser_that_nobody_named_may_fail() -> None:
    stream = Stream(Recognised(name="fake", command=(*WORKER, "refuses"), wanted=False))
    stream.listening.start()
    await stream.listening.ready()
    await stream.hear()
    async with asyncio.timeout(30):
        await stream.session.changed.wait()
    assert "gestures go on from the voice alone" in stream.session.warnings[0]
    await stream.hear()
    await stream.listening.aclose()


async def test_one_that_was_named_must_load(tmp_path: Path) -> None:
    """A real sherpa-onnx, whose native code ends its process over a broken file."""
    folder = tiny_sherpa(tmp_path / "tiny")
    (folder / "encoder.onnx").write_bytes(b"no model")
    stream = Stream(open_words(f"sherpa:{folder}", Source(), recognise=True))
    stream.listening.start()
    with pytest.raises(InputError, match=r"--asr sherpa:.*tiny: "):
        await stream.listening.ready()
    await stream.listening.aclose()


async def test_osc_words_over_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    stream = Stream(FromOutside(port=port))
    await stream.listening.ready()
    stream.session.position = 160_000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for i in range(100):
            other.sendto(osc(f"w{i}"), ("127.0.0.1", port))
        async with asyncio.timeout(30):
            while not stream.session.warnings:
                stream.session.changed.clear()
                await stream.session.changed.wait()
    assert [text for text, _ in stream.session.words] == [f"w{i}" for i in range(20)]
    assert stream.session.warnings == ["words: too many at once; further ones are counted only"]
    await stream.hear()
    assert stream.listening.report()["refused"] > 0
    await stream.listening.aclose()


async def test_words_and_interrupts_of_the_server() -> None:
    stream = Stream(NoWords())
    stream.listening.word(word("now", 0))
    stream.session.useful = False
    stream.listening.word(word("", 0))
    stream.session.useful = True
    stream.listening.word(word("later", 100_000))
    await stream.hear()
    stream.listening.interrupt()
    await stream.listening.finish()
    assert stream.session.interrupts == 1
    assert stream.captions == ["now"]
    assert len(stream.session.words) == 3


@pytest.mark.parametrize(
    ("asr", "says"),
    [
        ("whisper", "there are auto, none"),
        ("", "there are auto, none"),
        ("auto:x", "there are auto, none"),
        ("sherpa", "which model"),
        ("transformers:", "which model"),
        ("external:0", "1 to 65535"),
        ("external:65536", "1 to 65535"),
        ("external:osc", "1 to 65535"),
        ("scripted", "brings no words"),
        ("sherpa:/no/such", "no such folder"),
        ("transformers:/no/such", "no such folder"),
    ],
)
def test_bad_recognisers(asr: str, says: str) -> None:
    with pytest.raises((UsageError, InputError), match=says):
        open_words(asr, Source(), recognise=True)


def test_a_folder_may_have_colons() -> None:
    assert parse_asr(r"sherpa:C:\models\zipformer") == ("sherpa", r"C:\models\zipformer")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("streamer.asr.opening.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'gesture-streamer\[asr\]'"):
        open_words("pocketsphinx", Source(), recognise=True)
    with pytest.raises(UsageError, match=r"gesture-streamer\[sherpa\]"):
        open_words(f"sherpa:{tiny_sherpa(tmp_path / 't')}", Source(), recognise=True)
    assert open_words("auto", Source(), recognise=True) == NoWords()


def test_auto_takes_the_sources_words_then_a_recogniser_where_it_may() -> None:
    assert isinstance(open_words("auto", Source(word("a", 0)), recognise=True), ScriptedWords)
    assert open_words("auto", Source(), recognise=False) == NoWords()
    assert open_words("none", Source(word("a", 0)), recognise=True) == NoWords()
    assert open_words("external:9010", Source(), recognise=True) == FromOutside(port=9_010)
    assert open_words("external:-", Source(), recognise=True) == FromOutside(lines=True)


def test_the_command_line_says_it_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "--asr", "sherpa"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == "gesture: --asr sherpa: which model? sherpa:DIR names its folder"
