from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio.resample import FirResampler

RATES = [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000]


def gain_db(rate: int, hertz: float) -> float:
    """Gain of a tone, measured at whatever frequency it comes out."""
    tone = np.sin(2 * np.pi * hertz * np.arange(rate // 4) / rate).astype(np.float32)
    out = FirResampler(rate).push(tone)[200:-200]
    return 20 * np.log10(np.sqrt(2 * np.mean(np.square(out, dtype=np.float64))) + 1e-12)


@pytest.mark.parametrize("rate", RATES)
def test_waits_for_less_than_three_milliseconds(rate: int) -> None:
    resampler = FirResampler(rate)
    assert resampler.delay_s <= 0.003
    resampler.push(np.zeros(rate // 100, np.float32))
    assert 0 <= resampler.pending_s <= resampler.delay_s + 1 / 16_000


@pytest.mark.parametrize("rate", RATES)
def test_pass_band_is_flat(rate: int) -> None:
    edge = min(rate, 16_000) / 2 - 900
    gains = [gain_db(rate, hertz) for hertz in np.linspace(100, edge, 8)]
    assert max(map(abs, gains)) < 0.02  # measured: 0.007 dB at worst


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate > 16_000])
def test_what_would_alias_is_gone(rate: int) -> None:
    gains = [gain_db(rate, hertz) for hertz in np.linspace(8_050, rate / 2 - 50, 15)]
    assert max(gains) < -70  # measured: -76 dB at worst


@pytest.mark.parametrize("rate", [8_000, 11_025])
def test_upsampling_leaves_no_image(rate: int) -> None:
    rng = np.random.default_rng(1)
    out = FirResampler(rate).push(rng.standard_normal(rate * 4).astype(np.float32))
    hertz, power = scipy.signal.welch(out, 16_000, nperseg=1024, window="blackmanharris")
    images, voice = power[hertz > rate / 2 + 100], power[hertz < rate / 2 - 1_000]
    assert 10 * np.log10(images.max() / voice.mean()) < -65


@pytest.mark.parametrize("rate", RATES)
def test_agrees_with_soxr_in_gain_and_in_time(rate: int) -> None:
    rng = np.random.default_rng(0)
    edge = (min(rate, 16_000) / 2 - 1_000) / (rate / 2)
    noise = scipy.signal.lfilter(
        scipy.signal.firwin(1_001, edge), 1, rng.standard_normal(rate // 2)
    ).astype(np.float32)
    ours = FirResampler(rate).push(noise)
    theirs = soxr.resample(noise, rate, 16_000, quality="VHQ")[: len(ours)]
    inner = slice(600, len(ours) - 600)
    error = np.sqrt(np.mean(np.square(ours[inner] - theirs[inner])))
    # One sample of shift would be an error above 0.5; measured: 1.6e-4.
    assert error / np.std(theirs[inner]) < 1e-3


@pytest.mark.parametrize("rate", RATES)
def test_no_sample_is_lost_in_ten_seconds_of_odd_blocks(rate: int) -> None:
    resampler = FirResampler(rate)
    block = np.zeros(rate // 97, np.float32)
    out = sum(len(resampler.push(block)) for _ in range(970))
    seconds = Fraction(970 * len(block), rate)
    assert out == pytest.approx(float(seconds - resampler.delay_s) * 16_000, abs=1)
    assert resampler.pending_s == pytest.approx(float(seconds - Fraction(out, 16_000)), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    rate=st.sampled_from(RATES),
    cuts=st.lists(st.integers(0, 3_000), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
def test_any_chunking_gives_identical_output(rate: int, cuts: list[int], seed: int) -> None:
    total = sum(cuts)
    audio = np.random.default_rng(seed).uniform(-1, 1, total).astype(np.float32)
    whole = FirResampler(rate).push(audio)
    piecewise = FirResampler(rate)
    edges = np.cumsum([0, *cuts])
    parts = [piecewise.push(audio[a:b]) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
