"""Frames, samples and columns: exact for ever."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.clock import SAMPLE_RATE, FrameClock

CLOCK = FrameClock(fps=Fraction(15), columns=2)


def test_first_frames_by_hand():
    # 16000 / 15 = 1066.67
    assert [CLOCK.start(n) for n in range(5)] == [0, 1067, 2133, 3200, 4267]
    assert [CLOCK.column_end(0, c) for c in range(2)] == [533, 1067]
    assert CLOCK.seconds(30) == 2.0


def test_a_day_does_not_drift():
    assert CLOCK.start(15 * 86_400) == SAMPLE_RATE * 86_400


@given(frame=st.integers(0, 10**9))
def test_frames_tile_the_samples(frame: int):
    begin, end = CLOCK.start(frame), CLOCK.end(frame)
    assert end - begin in (1066, 1067)
    assert CLOCK.frame_of(begin) == frame
    assert CLOCK.frame_of(end - 1) == frame
    assert CLOCK.column_end(frame, 1) == end
    assert CLOCK.frames_in(end) == frame + 1
    assert CLOCK.frames_in(end - 1) == frame


@pytest.mark.parametrize("fps", [Fraction(30), Fraction(30_000, 1001), Fraction(24)])
def test_other_rates(fps: Fraction):
    clock = FrameClock(fps=fps)
    assert clock.start(1_000_000) == round(Fraction(1_000_000 * SAMPLE_RATE) / fps)
