import ctypes.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr

from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError, UsageError
from tests.support import require
from training import noise
from training.sentences import any_word, sentence
from training.speech import (
    LEVEL_DB,
    LJ_HELD_APART,
    Synthesiser,
    align,
    load_ljspeech,
    synthesise,
)
from training.triggers import TRIGGERS, trigger_class
from training.voices import ESPEAK_VOICES, FLITE_VOICES, Voice, speak

TEXT = "Well, I don't think that you are right, but maybe we should stop here."
WORDS = [w.strip(".,") for w in TEXT.split()]


@pytest.fixture(scope="module", autouse=True)
def engines() -> None:
    missing = [n for n in ("flite", "espeak-ng") if ctypes.util.find_library(n) is None]
    require(not missing, f"needs the system packages {', '.join(missing)}")


def voice(engine: str, name: str) -> Voice:
    return Voice(engine=engine, name=name, rate=1.0, pitch=1.0)


ALL = [("flite", n) for n in FLITE_VOICES] + [("espeak", n) for n in ESPEAK_VOICES]


@pytest.mark.parametrize(("engine", "name"), ALL)
def test_every_voice_says_every_word_in_order(engine: str, name: str) -> None:
    samples, rate, words = speak(voice(engine, name), TEXT)
    assert [w.text for w in words] == WORDS
    assert all(a.end <= b.start + 1e-6 for a, b in pairwise(words))
    assert words[-1].end <= len(samples) / rate + 0.01
    assert 2.5 < len(samples) / rate < 8


@pytest.mark.parametrize("name", ["rms", "slt", "awb"])
def test_word_times_agree_with_a_recogniser(name: str) -> None:
    """pocketsphinx, which knows nothing of flite, hears the words where flite says."""
    samples, rate, words = speak(voice("flite", name), TEXT)
    heard = align(np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32), TEXT)
    assert [w.text for w in heard] == WORDS
    apart = [abs(a.start - b.start) for a, b in zip(words, heard, strict=True)]
    assert np.median(apart) < 0.05
    assert max(apart) < 0.2


def test_word_times_of_espeak_agree_with_a_recogniser() -> None:
    samples, rate, words = speak(voice("espeak", "en-us"), TEXT)
    heard = align(np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32), TEXT)
    apart = [abs(a.start - b.start) for a, b in zip(words, heard, strict=True)]
    assert np.median(apart) < 0.08


def test_an_unknown_engine_or_voice_is_one_clear_error() -> None:
    with pytest.raises(UsageError, match="festival"):
        speak(voice("festival", "x"), "Hello.")
    with pytest.raises(UsageError, match="espeak-ng has no voice"):
        speak(voice("espeak", "no-such-voice"), "Hello.")


def test_what_was_said_before_does_not_matter() -> None:
    forward = [synthesise(n) for n in range(6)]
    backward = [synthesise(n) for n in reversed(range(6))][::-1]
    for a, b in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(a.samples, b.samples)
        assert a.words == b.words
    assert len({u.source for u in forward}) > 2


def test_utterances_have_one_level_and_no_silent_ends() -> None:
    for number in range(4):
        samples = synthesise(number).samples
        blocks = samples[: len(samples) // 320 * 320].reshape(-1, 320)
        power = (blocks**2).mean(1)
        voiced = power[power > power.max() * 10**-2.5]
        assert 10 * np.log10(voiced.mean()) == pytest.approx(LEVEL_DB, abs=1.0)
        assert power[:8].max() > power.max() * 10**-4.5
        assert power[-8:].max() > power.max() * 10**-4.5


def test_the_cache_gives_back_what_was_made(tmp_path: Path) -> None:
    synthesiser = Synthesiser(tmp_path)
    first, again = synthesiser.utterance(3), Synthesiser(tmp_path).utterance(3)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.words == again.words
    assert first.source == again.source
    assert [p.suffix for p in (tmp_path / "speech-1").iterdir()] == [".npz"]


def test_ljspeech_is_aligned_and_keeps_clips_apart(shared: Path) -> None:
    folder = shared / "data" / "speech_ljspeech"
    clips = load_ljspeech(folder)
    assert len(clips) == 24 - len(LJ_HELD_APART)
    assert sum(len(c.words) > 0 for c in clips) >= 14
    first = clips[0]
    assert [w.text for w in first.words[:4]] == ["Printing", "in", "the", "only"]
    pace = len(first.words) / (len(first.samples) / SAMPLE_RATE)
    assert 2.0 < pace < 4.0


def test_no_ljspeech_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="speech_ljspeech"):
        load_ljspeech(tmp_path)


def test_text_that_does_not_fit_is_left_unaligned() -> None:
    quiet = np.random.default_rng(0).normal(scale=1e-3, size=SAMPLE_RATE).astype(np.float32)
    assert align(quiet, "Xyzzyqwx is no word.") == ()


def test_sentences_vary_and_hold_every_kind_of_trigger() -> None:
    generator = np.random.default_rng(0)
    texts = [sentence(generator) for _ in range(400)]
    assert len(set(texts)) > 330
    assert all(t.isascii() and "{" not in t and t[-1] in ".?!" for t in texts)
    found = [trigger_class(word) for text in texts for word in text.split()]
    assert set(TRIGGERS) <= set(found)
    share = sum(f is not None for f in found) / len(found)
    assert 0.1 < share < 0.5
    assert len({any_word(generator) for _ in range(300)}) > 100


@pytest.mark.parametrize("name", list(noise.SOUNDS))
def test_sounds_are_at_one_level(name: str) -> None:
    sound = noise.SOUNDS[name](np.random.default_rng(5), 10 * SAMPLE_RATE)
    assert len(sound) == 10 * SAMPLE_RATE
    assert np.isfinite(sound).all()
    power = np.sort((sound.reshape(-1, SAMPLE_RATE // 20) ** 2).mean(1))
    assert power[-len(power) // 3 :].mean() == pytest.approx(1.0, rel=0.2)


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    sound = noise.pink(np.random.default_rng(5), 8 * SAMPLE_RATE)
    power = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    octaves = [power[(hertz >= f) & (hertz < 2 * f)].mean() for f in (200, 400, 800, 1600)]
    np.testing.assert_allclose(np.diff(10 * np.log10(octaves)), -3.0, atol=0.5)


def test_a_microphone_keeps_length_and_timing() -> None:
    click = np.zeros(SAMPLE_RATE)
    click[4000] = 1.0
    for seed in range(20):
        heard = noise.colour(np.random.default_rng(seed), click)
        assert len(heard) == len(click)
        assert abs(heard[:4000]).max() < 1e-9  # nothing sounds before it is said
        assert 0 <= int(np.abs(heard).argmax()) - 4000 < 40
