import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio.timeline import Arrival, CaptureClock, CaptureTimeline
from streamer.types import AudioChunk

RATE = 16_000
BLOCK = np.full(160, 0.5, np.float32)
NAN = math.nan


def stamp(clock: CaptureClock, frames: int, arrived: float, age: float) -> float:
    return clock.stamp([Arrival(frames=frames, arrived=arrived, age=age)])[0]


class Listener:
    """Feeds a timeline and keeps what it gives."""

    def __init__(self, start: float = 100.0) -> None:
        self.timeline = CaptureTimeline(start)
        self.chunks: list[AudioChunk] = []

    def audio(self, captured_at: float, now: float, samples: int = 160) -> None:
        block = np.full(samples, 0.5, np.float32)
        self._keep(list(self.timeline.audio(block, captured_at, now)))

    def silence(self, now: float) -> None:
        self._keep(list(self.timeline.silence(now)))

    def _keep(self, chunks: list[AudioChunk]) -> None:
        for chunk in chunks:
            assert chunk.start == self.end
            self.chunks.append(chunk)

    @property
    def end(self) -> int:
        return self.chunks[-1].end if self.chunks else 0

    @property
    def filled(self) -> int:
        return sum(chunk.filled for chunk in self.chunks)


@pytest.mark.parametrize("drift", [-0.002, 0.0, 0.002])
def test_a_device_that_runs_fast_or_slow_adds_no_silence_and_no_backlog(drift: float) -> None:
    listener = Listener()
    clock = CaptureClock(RATE)
    for block in range(1, 20_000):
        now = 100 + block * 0.01 * (1 + drift)  # 0.4 s off in the end
        captured_at = stamp(clock, 160, now, NAN)
        listener.audio(captured_at, now)
        assert abs(now - captured_at) < 0.005
    assert listener.end == 160 * 19_999
    assert listener.filled == listener.timeline.late == 0


def test_jitter_below_the_limit_is_no_stall() -> None:
    listener = Listener()
    now = 100.0
    for delay in np.random.default_rng(0).uniform(0, 0.14, 500):
        now += 0.01
        listener.silence(now + delay - 0.001)
        listener.audio(now, now + delay)
    assert listener.filled == 0
    assert listener.end == 500 * 160


def test_a_stall_is_filled_up_to_now_and_paced_from_there() -> None:
    listener = Listener()
    listener.audio(100.01, 100.012)
    listener.silence(100.15)
    assert listener.filled == 0
    listener.silence(100.17)
    assert listener.end == pytest.approx((100.17 - 100.002) * RATE - 1_600_000 + 100 * RATE, abs=2)
    before = listener.end
    for tick in range(1, 101):
        listener.silence(100.17 + tick * 0.02)
    assert listener.end - before == pytest.approx(2 * RATE, abs=1)
    last = listener.chunks[-1]
    assert last.filled == len(last.samples) == pytest.approx(320, abs=1)
    assert not last.samples.any()
    assert last.captured_at == pytest.approx(102.17 - 0.002, abs=1e-3)


def test_audio_that_was_only_delayed_is_not_counted_twice() -> None:
    listener = Listener()
    clock = CaptureClock(RATE)
    for block in range(1, 101):  # a second of audio
        now = 100 + block * 0.01
        listener.audio(stamp(clock, 160, now, NAN), now)
    for tick in range(25):  # half a second of nothing
        listener.silence(101.02 + tick * 0.02)
    for _ in range(50):  # which then comes at once
        listener.audio(stamp(clock, 160, 101.505, NAN), 101.505)
    for block in range(151, 301):
        now = 100 + block * 0.01 + 0.005
        listener.audio(stamp(clock, 160, now, NAN), now)
    assert listener.end == pytest.approx(3 * RATE, abs=0.02 * RATE)
    assert listener.timeline.late == pytest.approx(0.5 * RATE, abs=0.03 * RATE)
    assert all(chunk.filled == 0 for chunk in listener.chunks[-150:])


@pytest.mark.parametrize("samples", [32, 160, 1_600])
def test_late_audio_does_not_creep_in_by_small_blocks(samples: int) -> None:
    listener = Listener()
    listener.audio(100.01, 100.01)
    listener.silence(100.51)
    clock = CaptureClock(RATE)
    for _ in range(8_000 // samples):  # all that was missing, at once
        listener.audio(stamp(clock, samples, 100.515, NAN), 100.515, samples)
    assert listener.end == pytest.approx(0.515 * RATE, abs=0.006 * RATE)


def test_a_delay_that_nobody_noticed_leaves_no_backlog_either() -> None:
    listener = Listener()
    clock = CaptureClock(RATE)
    for block in range(1, 101):
        now = 100 + block * 0.01
        listener.audio(stamp(clock, 160, now, NAN), now)
    for block in range(101, 301):  # what 0.4 s held up comes block by block, each seen alone
        now = max(101.4, 100 + block * 0.01) + (block - 100) * 1e-5
        listener.audio(stamp(clock, 160, now, NAN), now)
    assert listener.end == pytest.approx(3 * RATE, abs=0.02 * RATE)


def test_audio_that_was_lost_leaves_a_gap_of_its_length() -> None:
    listener = Listener()
    clock = CaptureClock(RATE)
    for block in range(1, 101):
        now = 100 + block * 0.01
        listener.audio(stamp(clock, 160, now, NAN), now)
    for block in range(1, 101):  # nobody called `silence` in the meantime
        now = 101.4 + block * 0.01
        listener.audio(stamp(clock, 160, now, NAN), now)
    assert listener.filled == pytest.approx(0.4 * RATE, abs=2)
    assert listener.end == pytest.approx(2.4 * RATE, abs=2)
    assert listener.timeline.late == 0


def test_hours_of_sleep_are_filled_a_second_at_a_time_from_the_same_memory() -> None:
    listener = Listener()
    listener.audio(100.01, 100.01)
    listener.silence(100.01 + 3 * 3_600)
    assert listener.filled == pytest.approx(3 * 3_600 * RATE, abs=2)
    filled = listener.chunks[1:]
    assert max(len(chunk.samples) for chunk in filled) == RATE
    assert all(np.shares_memory(chunk.samples, filled[0].samples) for chunk in filled)
    assert not filled[0].samples.flags.writeable


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["audio", "silence", "lost"]),
            st.floats(0, 0.4),
            st.floats(-0.3, 0.01),
            st.integers(1, 500),
        ),
        max_size=40,
    )
)
def test_chunks_always_join_and_say_what_is_filled(
    steps: list[tuple[str, float, float, int]],
) -> None:
    timeline, now, end, filled = CaptureTimeline(0.0), 0.0, 0, 0
    for kind, wait, offset, samples in steps:
        now += wait
        match kind:
            case "audio":
                out = timeline.audio(np.full(samples, 0.5, np.float32), now + offset, now)
            case "silence":
                out = timeline.silence(now)
            case _:
                out = timeline.lost(samples)
        for chunk in out:
            assert chunk.start == end
            assert chunk.filled in (0, len(chunk.samples))
            assert bool(chunk.filled) == (not chunk.samples.any())
            end, filled = chunk.end, filled + chunk.filled
    assert timeline.filled == filled


def test_captured_at_is_steady_though_blocks_come_in_bursts() -> None:
    clock = CaptureClock(48_000)
    errors = []
    for block in range(1, 400):
        true = 50 + block * 0.01
        arrived = 50 + (block + block % 3) * 0.01 + 0.004  # two of three are late
        errors.append(stamp(clock, 480, arrived, NAN) - true)
    assert np.allclose(errors[3:], 0.004, atol=1e-6)


def test_blocks_that_waited_together_are_told_apart() -> None:
    clock = CaptureClock(RATE)
    for block in range(1, 51):
        stamp(clock, 160, 10 + block * 0.01, NAN)
    waited = [Arrival(frames=160, arrived=11.0, age=NAN)] * 50
    expected = [10.5 + block * 0.01 for block in range(1, 51)]
    np.testing.assert_allclose(clock.stamp(waited), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("ages", "believed"),
    [
        ([0.012] * 50, 0.012),  # a device that says a steady delay
        ([0.012, 0.030, 0.050] * 20, 0.012),  # and one whose blocks wait
        ([NAN] * 50, 0.0),  # says nothing
        ([-0.01] * 50, 0.0),  # from the future
        ([0.7] * 50, 0.0),  # too long to be true
        (list(np.linspace(-0.01, 0.7, 50)), 0.0),  # PulseAudio
    ],
)
def test_only_a_believable_delay_of_the_device_counts(ages: list[float], believed: float) -> None:
    clock = CaptureClock(RATE)
    stamps = [stamp(clock, 160, 10 + i * 0.01, age) for i, age in enumerate(ages)]
    assert stamps[-1] == pytest.approx(10 + (len(ages) - 1) * 0.01 - believed, abs=1e-6)


def test_a_device_that_lost_audio_starts_a_new_line() -> None:
    clock = CaptureClock(RATE)
    for block in range(100):
        stamp(clock, 160, 10 + block * 0.01, NAN)
    assert stamp(clock, 160, 11.5, NAN) == pytest.approx(11.5)
    clock.skip(1_600)
    assert stamp(clock, 160, 11.61, NAN) == pytest.approx(11.61)
