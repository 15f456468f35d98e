"""Words that other programs recognise: OSC on loopback, lines on standard input.

OBS caption tools, cloud recognisers, speech synthesisers that know their words
ahead of time. The third way, the WebSocket, is the server's.
"""

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pythonosc.osc_message import ParseError
from pythonosc.osc_packet import OscPacket
from pythonosc.osc_packet import ParseError as PacketError

from streamer.asr.hypothesis import spread
from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError
from streamer.types import WordEvent
from streamer.udp import listen_on_loopback

_log = logging.getLogger(__name__)

ADDRESS = "/words"
LONGEST = 2_000
"""Characters of one message; a longer one is refused."""
MOST_S = 30.0
"""How far from now, and how long, a message may be."""

_PER_CHARACTER = SAMPLE_RATE // 15
_PIECE = 4_096
_LINES = 50
_PACE_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What another program says is being spoken.

    start_s: seconds from now at which it begins, negative for the past; None:
    it has just been spoken. duration_s: None for a length as of usual speech.
    """

    text: str
    start_s: float | None = None
    duration_s: float | None = None
    final: bool = True

    def words(self, now: int) -> list[WordEvent]:
        """Return its words, at session sample `now`."""
        length = len(self.text) * _PER_CHARACTER
        if self.duration_s is not None:
            length = round(self.duration_s * SAMPLE_RATE)
        start = now - length if self.start_s is None else now + round(self.start_s * SAMPLE_RATE)
        return [
            WordEvent(text=w.text, start=max(w.start, 0), end=max(w.end, 0), final=self.final)
            for w in spread(self.text, start, start + length)
        ]


def told(
    text: object, start_s: object = None, duration_s: object = None, final: object = True
) -> Told:
    """Check what a program told; raises `InputError` with the reason."""
    if not isinstance(text, str) or not text.strip():
        raise InputError("words: expected a text that is not empty")
    if len(text) > LONGEST:
        raise InputError(f"words: a text of {len(text)} characters; send at most {LONGEST}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError("words: half a surrogate pair; send whole characters") from error
    if not isinstance(final, bool | int):
        raise InputError(f"words: final is {final!r}; expected true or false")
    return Told(
        text=text,
        start_s=_seconds("start", start_s, -MOST_S),
        duration_s=_seconds("duration", duration_s, 0.0),
        final=bool(final),
    )


def parse_line(line: str) -> Told:
    """Read a line: plain text, or JSON `{"text", "start", "duration", "final"}`.

    Times are seconds from now. Raises `InputError`.
    """
    line = line.strip().removeprefix("\ufeff")
    if not line.startswith("{"):
        return told(line)
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"words: not JSON: {str(error)[:60]}") from error
    message = cast(dict[str, Any], value)
    if unknown := sorted(message.keys() - {"text", "start", "duration", "final"}):
        raise InputError(
            f"words: unknown key {unknown[0][:40]!r}; there are text, start, duration, final"
        )
    start, duration = message.get("start"), message.get("duration")
    return told(message.get("text"), start, duration, message.get("final", True))


def parse_osc(datagram: bytes) -> list[Told]:
    """Read `/words text [start [duration [final]]]`; other addresses are ignored.

    Raises `InputError` for anything that is no OSC or has other arguments.
    """
    try:
        messages = [timed.message for timed in OscPacket(datagram).messages]
    except (PacketError, ParseError) as error:
        raise InputError(f"words: no OSC message: {str(error)[:60]}") from error
    found = list[Told]()
    for message in messages:
        if message.address == ADDRESS:
            parameters = cast(Sequence[object], message.params)
            if not 1 <= len(parameters) <= 4:
                raise InputError(f"words: {len(parameters)} arguments; expected 1 to 4")
            found.append(told(*parameters))
    return found


def _seconds(name: str, value: object, least: float) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"words: {name} is {str(value)[:40]!r}; expected seconds")
    if not least <= value <= MOST_S:
        raise InputError(f"words: {name} is {value:g} s; expected {least:g} to {MOST_S:g}")
    return float(value)


class OscWords(asyncio.DatagramProtocol):
    """Hears OSC on a loopback port; only programs of this machine reach it."""

    def __init__(self, take: Callable[[Told], None], refuse: Callable[[str], None]) -> None:
        self._take = take
        self._refuse = refuse
        self._transport: asyncio.DatagramTransport | None = None

    async def listen(self, port: int) -> int:
        """Listen on 127.0.0.1; return the port. Raises `UsageError` for one in use."""
        self._transport, bound = await listen_on_loopback(f"--asr external:{port}", port, self)
        return bound

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Take one datagram."""
        try:
            for words in parse_osc(data):
                self._take(words)
        except InputError as error:
            self._refuse(str(error))

    def error_received(self, exc: Exception) -> None:
        """Note what the system reports of earlier datagrams; there is nothing to do."""
        _log.debug("OSC words: %s", exc)

    def close(self) -> None:
        """Listen no more."""
        if self._transport is not None:
            self._transport.close()


class LineWords:
    """Reads lines of a file descriptor, standard input, in a thread of its own.

    The thread may wait in the system for ever, so it is never joined; it reads
    the descriptor itself, because Python's own buffer would hold a lock that
    stops the interpreter from ending.
    """

    def __init__(
        self,
        take: Callable[[Told], None],
        refuse: Callable[[str], None],
        *,
        descriptor: int = 0,
    ) -> None:
        self._take = take
        self._refuse = refuse
        self._descriptor = descriptor
        self._closed = False

    def start(self) -> None:
        """Read from now on; calls come on the running loop."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop,), name="words", daemon=True).start()

    def close(self) -> None:
        """Take nothing any more."""
        self._closed = True

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        rest = b""
        while not self._closed:
            try:
                data = os.read(self._descriptor, _PIECE)
            except OSError:
                return
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[: 4 * LONGEST + 1]  # of a line without end only so much is kept
            told = [line for line in lines if line.strip()][:_LINES]
            try:
                loop.call_soon_threadsafe(self._lines, told)
            except RuntimeError:
                return  # the loop has closed
            time.sleep(_PACE_S)  # so that a flood leaves the loop its time

    def _lines(self, lines: Sequence[bytes]) -> None:
        for line in () if self._closed else lines:
            try:
                self._take(parse_line(line.decode("utf-8", "replace")))
            except InputError as error:
                self._refuse(str(error))
