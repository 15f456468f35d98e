"""The server's rules without sockets: flow control, floods, timelines."""

import json
from typing import Any

import numpy as np
import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from streamer.errors import ProtocolError
from streamer.serving.flow import LAG_AFTER_S, MAX_EVENTS, Mailbox, SharedFrame, framed
from streamer.serving.gate import Flood
from streamer.serving.remote import AHEAD_S, LATE_S, Timeline
from streamer.types import AudioChunk
from streamer.wire import INCLUDES, MAX_IN_FLIGHT
from tests.serving import make_frame


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def offer(mailbox: Mailbox, seq: int, *, reset: bool = False) -> list[dict[str, Any]]:
    mailbox.offer(SharedFrame(make_frame(seq, reset=reset), seq))
    return take(mailbox)


def take(mailbox: Mailbox) -> list[dict[str, Any]]:
    return [json.loads(payload(message)) for message in mailbox.take(writable=True)]


def payload(message: bytes) -> bytes:
    """Return what a whole, unmasked WebSocket frame carries, by the library's own reader."""
    reader = StreamReader()
    reader.feed_data(message)
    parser = Frame.parse(reader.read_exact, mask=False)
    try:
        while True:
            next(parser)
    except StopIteration as done:
        return bytes(done.value.data)


def test_four_frames_go_out_then_the_newest_waits_for_an_acknowledgement():
    mailbox = Mailbox("json", Clock())
    got = [m["seq"] for seq in range(10) for m in offer(mailbox, seq)]
    assert got == [0, 1, 2, 3]
    assert mailbox.dropped == 5  # 4 to 8; 9 waits
    mailbox.ack(0)
    assert [m["seq"] for m in take(mailbox)] == [9]
    assert take(mailbox) == []
    mailbox.ack(9)
    assert [m["seq"] for seq in range(10, 14) for m in offer(mailbox, seq)] == [10, 11, 12, 13]
    assert (mailbox.sent, mailbox.dropped) == (9, 5)


def test_a_client_that_keeps_up_gets_every_frame():
    mailbox = Mailbox("json", Clock())
    for seq in range(100):
        assert [m["seq"] for m in offer(mailbox, seq)] == [seq]
        if seq >= MAX_IN_FLIGHT - 1:
            mailbox.ack(seq - MAX_IN_FLIGHT + 1)
    assert mailbox.dropped == 0


def test_a_reset_that_was_replaced_is_on_the_frame_that_replaced_it():
    mailbox = Mailbox("json", Clock())
    for seq in range(4):
        offer(mailbox, seq)
    offer(mailbox, 4, reset=True)
    offer(mailbox, 5)
    mailbox.ack(3)
    (frame,) = take(mailbox)
    assert (frame["seq"], frame["reset"]) == (5, True)
    assert [m["reset"] for m in offer(mailbox, 6)] == [False]


def test_acknowledging_what_was_never_sent_breaks_the_protocol():
    mailbox = Mailbox("json", Clock())
    with pytest.raises(ProtocolError, match="never sent"):
        mailbox.ack(0)
    offer(mailbox, 7)
    mailbox.ack(7)
    mailbox.ack(7)  # again is harmless, and so is an older one
    mailbox.ack(2)
    with pytest.raises(ProtocolError, match="never sent"):
        mailbox.ack(8)


def test_events_pass_frames_that_wait_and_are_never_replaced():
    mailbox = Mailbox("json", Clock())
    for seq in range(6):
        offer(mailbox, seq)
    for i in range(3):
        mailbox.push(json.dumps({"event": i}))
    assert [m["event"] for m in take(mailbox)] == [0, 1, 2]


def test_nothing_goes_into_a_full_socket_and_events_are_bounded():
    mailbox = Mailbox("json", Clock())
    mailbox.offer(SharedFrame(make_frame(0), 0))
    for i in range(MAX_EVENTS):
        mailbox.push(str(i))
        assert mailbox.take(writable=False) == []
    assert mailbox.blocked
    with pytest.raises(ProtocolError, match="256 events") as caught:
        mailbox.push("one more")
    assert caught.value.code == 4410
    messages = mailbox.take(writable=True)
    assert [payload(m) for m in messages[:-1]] == [str(i).encode() for i in range(MAX_EVENTS)]
    assert not mailbox.blocked


def test_a_stall_is_warned_of_once_and_again_after_it_was_over():
    clock = Clock()
    mailbox = Mailbox("json", clock)

    def warnings(first: int, seconds: float) -> list[dict[str, Any]]:
        found = list[dict[str, Any]]()
        for seq in range(first, first + int(seconds * 15)):
            clock.now += 1 / 15
            found += [m for m in offer(mailbox, seq) if m["type"] == "event"]
        return found

    assert warnings(0, LAG_AFTER_S) == []  # a hiccup is no stall
    (warning,) = warnings(15, 60.0)
    assert (warning["event"], warning["code"]) == ("warning", "lag")
    assert 0 < warning["dropped"] <= 15
    mailbox.ack(3)
    take(mailbox)
    assert len(warnings(1000, 60.0)) == 1


def test_each_form_is_encoded_once_and_shared():
    shared = SharedFrame(make_frame(1), 1)
    one, other = Mailbox("bin", Clock()), Mailbox("bin", Clock())
    full = Mailbox("bin", Clock())
    full.include = INCLUDES
    for mailbox in (one, other, full):
        mailbox.offer(shared)
    a, b, c = (mailbox.take(writable=True)[0] for mailbox in (one, other, full))
    assert a is b
    assert len(c) > len(a)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 740, 65_535, 65_536, 200_000])
def test_frames_are_framed_as_the_library_reads_them(size: int):
    for message in ("é" * (size // 2) + "e" * (size % 2), bytes(size)):
        whole = framed(message)
        wanted = message.encode() if isinstance(message, str) else message
        assert payload(whole) == wanted
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        assert whole == Frame(opcode, wanted).serialize(mask=False)


def test_a_flood_of_messages_or_bytes_is_stopped_but_a_late_minute_of_audio_is_not():
    clock = Clock()
    flood = Flood(clock)
    for _ in range(60 * 50):  # a minute in 20 ms messages, at once
        flood.check(bytes(656))
    with pytest.raises(ProtocolError) as caught:
        flood.check(b"x")
    assert caught.value.code == 4429
    clock.now += 1.0
    for _ in range(200):
        flood.check(b"x")
    clock.now += 60.0
    for _ in range(32):
        flood.check(bytes(64 * 1024))
    with pytest.raises(ProtocolError):
        flood.check(bytes(64 * 1024))


def chunk(start: int, samples: int = 320) -> AudioChunk:
    return AudioChunk(samples=np.zeros(samples, np.float32), start=start, captured_at=0.0)


def test_audio_goes_forward_and_not_far_ahead_of_time():
    clock = Clock()
    timeline = Timeline(clock)
    timeline.check(chunk(0))
    timeline.check(chunk(320))
    with pytest.raises(ProtocolError, match="sent before"):
        timeline.check(chunk(639))
    timeline.check(chunk(16000))  # a gap
    with pytest.raises(ProtocolError, match="ahead of time"):
        timeline.check(chunk(int((AHEAD_S + 1) * 16000)))
    clock.now += 300  # the microphone was off for five minutes
    timeline.check(chunk(300 * 16000))


def test_audio_may_be_pushed_faster_than_real_time_without_gaps():
    timeline = Timeline(Clock())
    for start in range(0, 60 * 16000, 16000):
        timeline.check(chunk(start, 16000))


def test_audio_that_is_late_counts_as_silence_and_may_still_come():
    clock = Clock()
    timeline = Timeline(clock)
    clock.now += 50  # the microphone was allowed late
    assert timeline.silence() is None
    timeline.check(chunk(0, 1600))
    clock.now += LATE_S
    assert timeline.silence() is None
    clock.now += 0.25
    silence = timeline.silence()
    assert silence
    assert (silence.start, len(silence.samples), silence.filled) == (1600, 4000, 4000)
    assert not silence.samples.any()
    assert timeline.silence() is None
    timeline.check(chunk(1600, 1600))  # late: the session ignores it, the client is not to blame
    clock.now += 0.1
    again = timeline.silence()
    assert again
    assert (again.start, len(again.samples)) == (5600, 1600)


def test_after_a_sleep_only_the_last_second_is_silence():
    clock = Clock()
    timeline = Timeline(clock)
    timeline.check(chunk(0, 1600))
    clock.now += 3600 + LATE_S
    silence = timeline.silence()
    assert silence
    assert len(silence.samples) == 16000
    assert silence.end == 1600 + 3600 * 16000
    assert timeline.silence() is None
