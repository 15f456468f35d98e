"""The parts of the Python client, on values: clock, buffer, playback, config."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from streamer.client import ClientConfig, JitterBuffer, Playback, StreamClock
from streamer.client.buffer import MOST_FRAMES, MOST_ITEMS
from streamer.client.connection import backoff_s
from streamer.errors import UsageError
from streamer.types import Event
from streamer.wire import WireFrame
from streamer.wire_requests import ClientHello
from tests.serving import HELLO, make_frame


def frame(index: int, *, reset: bool = False, angle: float | None = None) -> WireFrame:
    """Return a frame; with `angle`, every bone is turned by so much about x."""
    made = make_frame(index)
    rotations = made.rotations
    if angle is not None:
        turned = np.array([np.sin(angle / 2), 0, 0, np.cos(angle / 2)], np.float32)
        rotations = np.tile(turned, (len(HELLO.bones), 1))
    return WireFrame(
        seq=index,
        index=index,
        sample=made.sample,
        state="speaking",
        reset=reset,
        root=np.full(3, index, np.float32),
        rotations=rotations,
    )


def event(text: str) -> Event:
    return Event(kind="caption", sample=0, data={"text": text, "final": True})


# -- clock ---------------------------------------------------------------------------------------


def test_the_earliest_frame_tells_the_time():
    clock = StreamClock()
    for i, late in enumerate([0.5, 0.52, 0.45, 0.6]):
        clock.arrive(i / 15, i / 15 + late)
    assert clock.time(1.0) == pytest.approx(1.0 - 0.45 - clock.jitter_s)


def test_corrections_are_slow_and_jitter_is_bounded():
    clock = StreamClock(most_jitter_s=0.02)
    clock.arrive(0, 0.5)
    clock.time(0.5)
    for i in range(1, 60):
        clock.arrive(i / 15, i / 15 + 0.5 + 0.1 * (i % 2))
    shown = [clock.time(0.5 + k / 60) for k in range(240)]
    for a, b in pairwise(shown):
        assert 0.94 / 60 < b - a < 1.06 / 60
    assert clock.jitter_s == 0.02


def test_a_stream_that_jumps_is_followed_at_once_but_one_late_frame_is_not():
    clock = StreamClock()
    for i in range(20):
        clock.arrive(i / 15, i / 15)
    clock.arrive(20 / 15, 20 / 15 + 5)
    assert clock.time(2) == pytest.approx(2 - clock.jitter_s)
    clock.arrive(100.0, 3.0)  # ahead: a new time
    assert clock.time(3.0) == pytest.approx(100.0)
    for i in range(8):  # behind, again and again
        clock.arrive(100 + i / 15, 13 + i / 15)
    assert clock.time(14.0) == pytest.approx(101.0)


def test_fresh_frames_after_a_gap_move_the_clock_at_once():
    clock = StreamClock()
    clock.arrive(0, 0)
    clock.arrive(1, 3, fresh=True)
    assert clock.time(3) == pytest.approx(1)


def test_what_is_older_than_the_window_is_forgotten():
    clock = StreamClock()
    clock.arrive(0, 0)  # by chance 0.1 s early
    for i in range(1, 150):
        clock.arrive(i / 15, i / 15 + 0.1)
    clock.time(10)
    assert clock.time(20) == pytest.approx(19.9)  # the jitter is gone too


# -- buffer --------------------------------------------------------------------------------------


def test_frames_of_a_burst_come_out_to_the_beat():
    buffer = JitterBuffer(most_jitter_s=0.045)
    buffer.push(HELLO, 0.0)
    assert buffer.wait(0.0) == 0
    assert buffer.pop() is HELLO
    for i in range(30):  # on time: each is due when it comes
        buffer.push(frame(i), 0.1 + i / 15)
        assert buffer.wait(0.1 + i / 15) == pytest.approx(0, abs=1e-4)
        buffer.pop()
    for i in range(30, 33):  # two came early by the clock of the rest: they wait
        buffer.push(frame(i), 0.1 + 30 / 15)
    assert buffer.wait(2.1) == pytest.approx(0, abs=1e-3)
    buffer.pop()
    assert buffer.wait(2.1) == pytest.approx(1 / 15, abs=1e-2)


def test_events_keep_their_place():
    buffer = JitterBuffer(most_jitter_s=0)
    for item in (HELLO, event("a"), frame(0), event("b"), frame(1)):
        buffer.push(item, 0.0)
    out: list[Any] = []
    while buffer.wait(0.0) == 0:
        out.append(buffer.pop())
    assert [getattr(item, "index", None) for item in out] == [None, None, 0, None, 1]
    assert buffer.wait(0.0) is None


def test_who_reads_slowly_loses_the_oldest_frames_and_no_event():
    buffer = JitterBuffer(most_jitter_s=0)
    for i in range(MOST_FRAMES + 10):
        buffer.push(frame(i), i / 15)
        buffer.push(event(str(i)), i / 15)
    out: list[Any] = []
    while buffer.wait(9.0) == 0:
        out.append(buffer.pop())
    assert [item.index for item in out if isinstance(item, WireFrame)] == [
        *range(10, MOST_FRAMES + 10)
    ]
    assert sum(isinstance(item, Event) for item in out) == MOST_FRAMES + 10
    assert buffer.dropped == 10


def test_who_never_reads_bounds_the_memory():
    buffer = JitterBuffer(most_jitter_s=0)
    for i in range(MOST_ITEMS + 50):
        buffer.push(event(str(i)), 0.0)
    assert buffer.dropped == 50
    first = buffer.pop()
    assert isinstance(first, Event)
    assert first.data["text"] == "50"


def test_frames_before_a_new_hello_are_not_held_back():
    buffer = JitterBuffer(most_jitter_s=0.045)
    buffer.push(frame(0), 0.0)
    buffer.push(frame(100), 0.01)
    buffer.push(HELLO, 0.02)
    buffer.push(frame(0), 0.03)
    for _ in range(3):
        assert buffer.wait(0.03) == 0
        buffer.pop()


# -- playback ------------------------------------------------------------------------------------


def test_playback_interpolates_once_one_frame_behind():
    playback = Playback()
    playback.begin(HELLO, 0.0)
    for i in range(20):
        playback.push(frame(i, angle=0.1 * i), i / 15)
        shown = playback.update(i / 15 + 1 / 30)
    assert shown.sample == pytest.approx(16000 * (19 / 15 - 1 / 30), abs=1)
    assert shown.rotations[7, 0] == pytest.approx(np.sin(0.1 * 18.5 / 2), abs=1e-4)
    assert shown.root[0] == pytest.approx(18.5, abs=0.01)
    assert (shown.mode, shown.weight, shown.state) == ("live", 1.0, "speaking")


def test_playback_holds_then_fades_then_blends_back():
    playback = Playback()
    playback.begin(HELLO, 0.0)
    for i in range(15):
        playback.push(frame(i, angle=0.0), i / 15)
        playback.update(i / 15)
    modes = [playback.update(1 + k / 60) for k in range(240)]
    held = [s for s in modes if s.mode == "held"]
    assert held[0].weight == 1
    assert 1.0 < len(held) / 60 < 1.2
    assert (modes[-1].mode, modes[-1].weight, modes[-1].state) == ("rest", 0.0, "idle")
    playback.begin(HELLO, 5.0)  # the engine is back, elsewhere
    playback.push(frame(0, angle=2.0), 5.0)
    angles = list[float]()
    for k in range(40):
        if k % 4 == 0:
            playback.push(frame(k // 4, angle=2.0), 5.0 + k / 60)
        angles.append(2 * np.arcsin(playback.update(5.0 + k / 60).rotations[3, 0]))
    assert angles[0] == pytest.approx(0, abs=1e-3)
    assert angles[-1] == pytest.approx(2, abs=1e-3)
    assert max(b - a for a, b in pairwise(angles)) < 2 / 18 * 1.6  # a smooth step over 0.3 s


def test_a_hole_of_more_than_a_second_is_blended_not_crawled_through():
    playback = Playback()
    playback.begin(HELLO, 0.0)
    for i in range(10):
        playback.push(frame(i, angle=0.0), i / 15)
        playback.update(i / 15)
    playback.push(frame(40, angle=1.0), 40 / 15)
    shown = [playback.update(40 / 15 + k / 60) for k in range(30)]
    angles = [2 * np.arcsin(s.rotations[0, 0]) for s in shown]
    assert angles[0] < 0.05
    assert angles[-1] == pytest.approx(1, abs=1e-3)


# -- config --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"url": "http://127.0.0.1:8765/v1/watch"}, "no address of an engine"),
        ({"url": "ws:///v1/watch"}, "no address of an engine"),
        ({"url": "ws://127.0.0.1:8765/"}, "path must be /v1/watch or /v1/session"),
        ({"include": frozenset({"colours"})}, "cannot include 'colours'"),
        ({"most_jitter_s": -0.1}, "expected 0 to 1"),
    ],
)
def test_a_config_that_cannot_work_says_why(given, reason):
    with pytest.raises(UsageError, match=reason):
        ClientConfig(**given)


def test_a_session_of_ones_own_starts_with_a_hello():
    assert ClientConfig().greeting is None
    assert ClientConfig(url="ws://127.0.0.1:1/v1/session").greeting == ClientHello()
    mine = ClientHello(token="a-token-of-sixteen")
    assert ClientConfig(hello=mine).greeting is mine


def test_backoff_doubles_to_five_seconds():
    middle = [backoff_s(n, lambda: 0.5) for n in range(8)]
    assert middle == pytest.approx([0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5])
    assert (backoff_s(0, lambda: 0.0), backoff_s(0, lambda: 1.0)) == pytest.approx((0.3, 0.5))
    assert backoff_s(10_000, lambda: 1.0) == pytest.approx(6.25)
