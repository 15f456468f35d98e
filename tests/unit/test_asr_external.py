import asyncio
import json
import os
import socket
from itertools import pairwise

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from streamer.asr.external import LONGEST, LineWords, OscWords, Told, parse_line, parse_osc
from streamer.errors import InputError, UsageError


def osc(*values: object, address: str = "/words") -> bytes:
    builder = OscMessageBuilder(address=address)
    for value in values:
        builder.add_arg(value)  # type: ignore[arg-type]
    return builder.build().dgram


def test_a_text_without_times_has_just_been_spoken() -> None:
    words = Told(text="hello big world").words(now=100_000)
    assert [w.text for w in words] == ["hello", "big", "world"]
    assert words[-1].end == 100_000
    assert words[0].start == 100_000 - 15 * (16_000 // 15)
    assert all(a.end == b.start for a, b in pairwise(words))


def test_a_synthesiser_knows_ahead() -> None:
    (word,) = Told(text="soon", start_s=0.5, duration_s=0.25, final=False).words(now=16_000)
    assert (word.start, word.end, word.final) == (24_000, 28_000, False)


def test_nothing_begins_before_the_stream() -> None:
    (word,) = Told(text="old", start_s=-20.0, duration_s=1.0).words(now=16_000)
    assert (word.start, word.end) == (0, 0)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("hello there\n", Told(text="hello there")),
        ("\ufeffПривет, мир\r\n", Told(text="Привет, мир")),
        ('{"text": "日本", "start": 1, "duration": 0.5, "final": false}',
         Told(text="日本", start_s=1.0, duration_s=0.5, final=False)),
    ],
)  # fmt: skip
def test_lines(line: str, told: Told) -> None:
    assert parse_line(line) == told


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "not empty"),
        ("x" * (LONGEST + 1), f"{LONGEST + 1} characters"),
        ('{"text": "x"', "not JSON"),
        ('{"text": 3}', "expected a text"),
        ('{"text": "x", "when": 1}', "unknown key 'when'"),
        ('{"text": "x", "start": "soon"}', "start is 'soon'; expected seconds"),
        ('{"text": "x", "start": 31}', "expected -30 to 30"),
        ('{"text": "x", "start": NaN}', "expected -30 to 30"),
        ('{"text": "x", "duration": -1}', "expected 0 to 30"),
        ('{"text": "x", "final": "yes"}', "expected true or false"),
        ('{"text": "\\ud800"}', "surrogate"),
        ("{" * 5_000, "not JSON"),
        ('{"text": ' + "[" * 1_500, "not JSON"),
    ],
)
def test_bad_lines(line: str, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("{", r"\{")):
        parse_line(line)


def test_osc() -> None:
    assert parse_osc(osc("hello")) == [Told(text="hello")]
    assert parse_osc(osc("hé", -0.5, 0.25, False)) == [
        Told(text="hé", start_s=-0.5, duration_s=0.25, final=False)
    ]
    assert parse_osc(osc("other", address="/chat")) == []
    bundle = OscBundleBuilder(IMMEDIATELY)
    for text in ("one", "two"):
        message = OscMessageBuilder(address="/words")
        message.add_arg(text)
        bundle.add_content(message.build())
    assert [t.text for t in parse_osc(bundle.build().dgram)] == ["one", "two"]


@pytest.mark.parametrize(
    ("datagram", "says"),
    [
        (b"", "no OSC"),
        (b"\xff" * 40, "no OSC"),
        (b"#bundle\x00" + b"\xff" * 12, "no OSC"),
        (osc(), "0 arguments"),
        (osc("a", 1.0, 1.0, True, 5), "5 arguments"),
        (osc(7), "expected a text"),
        (osc("a", "b"), "expected seconds"),
    ],
)
def test_bad_osc(datagram: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_osc(datagram)


class Ear:
    def __init__(self, wanted: int) -> None:
        self.told: list[Told] = []
        self.refused: list[str] = []
        self.wanted = wanted
        self.enough = asyncio.Event()

    def take(self, told: Told) -> None:
        self.told.append(told)
        self._check()

    def refuse(self, reason: str) -> None:
        self.refused.append(reason)
        self._check()

    def _check(self) -> None:
        if len(self.told) + len(self.refused) >= self.wanted:
            self.enough.set()


async def test_osc_over_a_socket_on_loopback_alone() -> None:
    ear = Ear(3)
    words = OscWords(ear.take, ear.refuse)
    port = await words.listen(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for datagram in (osc("hello"), b"noise", osc("日本語")):
            other.sendto(datagram, ("127.0.0.1", port))
        async with asyncio.timeout(10):
            await ear.enough.wait()
    assert [t.text for t in ear.told] == ["hello", "日本語"]
    assert len(ear.refused) == 1
    with pytest.raises(UsageError, match=f"external:{port}.*cannot be used"):
        await OscWords(ear.take, ear.refuse).listen(port)
    words.close()


async def test_lines_from_a_pipe() -> None:
    ear = Ear(4)
    reading, writing = os.pipe()
    words = LineWords(ear.take, ear.refuse, descriptor=reading)
    words.start()
    message = json.dumps({"text": "two words", "start": 0.1})
    os.write(writing, f"hello\n\n{message}\n{{broken\n".encode())
    os.write(writing, b"\xff\xfe not utf-8\n" + b"no line end")
    os.close(writing)
    async with asyncio.timeout(10):
        await ear.enough.wait()
    words.close()
    os.close(reading)
    assert [t.text for t in ear.told] == ["hello", "two words", "\ufffd\ufffd not utf-8"]
    assert len(ear.refused) == 1
