"""What one client is sent, and when: the flow control of DESIGN 6, without I/O.

A socket hides a deep buffer (198 s of frames were measured for a client that
does not read), so writing tells nothing about reading: clients acknowledge
sequence numbers, and while `MAX_IN_FLIGHT` frames are unacknowledged newer ones
replace the one that waits. Events are never replaced, only bounded.
"""

from collections import deque
from dataclasses import replace
from typing import Final, Literal

from streamer.clock import Clock
from streamer.errors import ProtocolError
from streamer.types import Event, SkeletonFrame
from streamer.wire import (
    MAX_IN_FLIGHT,
    NOTHING,
    CloseCode,
    event_json,
    frame_bytes,
    frame_json,
)

Form = Literal["json", "bin"]

_TEXT, _BINARY = 0x81, 0x82

MAX_EVENTS: Final = 256
"""Events that may wait for one client before it is closed."""

LAG_AFTER_S: Final = 1.0
"""A window that stays full for longer makes a `lag` warning, once per stall."""


def framed(message: str | bytes) -> bytes:
    """Return a message as a server's WebSocket frame (RFC 6455, 5.2): whole and unmasked."""
    payload = message.encode() if isinstance(message, str) else message
    first = _TEXT if isinstance(message, str) else _BINARY
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


class SharedFrame:
    """One frame of the stream, encoded and framed at most once per form for all clients."""

    __slots__ = ("_encoded", "frame", "seq")

    def __init__(self, frame: SkeletonFrame, seq: int) -> None:
        self.frame = frame
        self.seq = seq
        self._encoded: dict[tuple[Form, frozenset[str], bool], bytes] = {}

    def encoded(self, form: Form, include: frozenset[str], reset: bool) -> bytes:
        """Return the bytes for the socket; `reset` also stands for frames that this client missed.

        Raises `ProtocolError` when the pose is not finite.
        """
        key = (form, include, reset)
        if (message := self._encoded.get(key)) is None:
            frame = replace(self.frame, reset=reset)
            encode = frame_bytes if form == "bin" else frame_json
            message = self._encoded[key] = framed(encode(frame, self.seq, include))
        return message


class Mailbox:
    """The messages of one client; the event loop alone uses it.

    `offer`, `push` and `ack` say what happened, `take` returns what to write.
    """

    def __init__(self, form: Form, clock: Clock) -> None:
        self.form: Final = form
        self.include = NOTHING
        self.sent = 0
        self.dropped = 0
        self._clock = clock
        self._events: deque[bytes] = deque()
        self._waiting: SharedFrame | None = None
        self._reset = False
        self._in_flight: deque[tuple[int, float]] = deque()
        self._last_seq = -1
        self._warned = False

    @property
    def blocked(self) -> bool:
        """Events wait, so that `take` must be tried again."""
        return bool(self._events)

    def offer(self, shared: SharedFrame) -> bool:
        """Let a frame wait to be taken; True when it replaced one, which is lost."""
        replaced = self._waiting is not None
        self._waiting = shared
        self._reset = self._reset or shared.frame.reset
        if replaced:
            self.dropped += 1
            self._warn_of_lag(shared.frame.sample)
        return replaced

    def push(self, event: str) -> None:
        """Queue an encoded event; raises `ProtocolError` when too many wait.

        event: its text.
        """
        if len(self._events) >= MAX_EVENTS:
            raise ProtocolError(
                f"{MAX_EVENTS} events wait for this client; read faster or reconnect",
                code=CloseCode.TOO_SLOW,
            )
        self._events.append(framed(event))

    def ack(self, seq: int) -> None:
        """Take note of an acknowledged frame; raises `ProtocolError` if never sent."""
        if seq > self._last_seq:
            raise ProtocolError(f"ack: frame {seq} was never sent, the last is {self._last_seq}")
        while self._in_flight and self._in_flight[0][0] <= seq:
            self._in_flight.popleft()
            self._warned = False

    def take(self, *, writable: bool) -> list[bytes]:
        """Return the framed messages to write now, events first.

        writable: the socket's own buffer has room; without it everything waits,
        since a client can acknowledge what it never read.
        """
        if not writable:
            return []
        messages = list(self._events)
        self._events.clear()
        if self._waiting is not None and len(self._in_flight) < MAX_IN_FLIGHT:
            shared, reset = self._waiting, self._reset
            self._waiting, self._reset = None, False
            messages.append(shared.encoded(self.form, self.include, reset))
            self._in_flight.append((shared.seq, self._clock()))
            self._last_seq = shared.seq
            self.sent += 1
        return messages

    def _warn_of_lag(self, sample: int) -> None:
        if self._warned or not self._in_flight:
            return
        stalled = self._clock() - self._in_flight[0][1]
        if stalled < LAG_AFTER_S:
            return
        self._warned = True
        data = {
            "code": "lag",
            "message": f"frames are not acknowledged since {stalled:.1f} s",
            "dropped": self.dropped,
        }
        self.push(event_json(Event(kind="warning", sample=sample, data=data)))
