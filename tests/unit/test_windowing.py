from dataclasses import replace

import numpy as np
import pytest

from streamer.errors import ArtifactError, UsageError
from streamer.spec import TensorSpec
from streamer.types import AudioChunk, Window, WordEvent
from streamer.windowing import Windower, gesture_seed, style_mixture
from streamer.words import word_ids
from tests.fakes import chunks, tiny_spec, voice

SPEC = tiny_spec()
STYLE = np.array([0.25, 0.75], np.float32)


def make(lookahead: int = 0, seed: int = 1) -> Windower:
    return Windower(SPEC, lookahead=lookahead, style=STYLE, seed=seed)


def feed(windower: Windower, samples: np.ndarray, *sizes: int, start: int = 0) -> list[Window]:
    out: list[Window] = []
    for chunk in chunks(samples, sizes or (320,), start):
        out += windower.push_audio(chunk)
    return out


def test_each_column_holds_the_samples_before_its_end_and_zeros_before_the_session() -> None:
    samples = voice(1.0)
    windows = feed(make(), samples)
    assert len(windows) == 15
    padded = np.concatenate([np.zeros(640, np.float32), samples])
    for window in windows:
        for column in range(2):
            # by hand: 30 columns a second, ends rounded half up
            end = int((window.step * 2 + column + 1) * 16_000 / 30 + 0.5)
            want = padded[end : end + 640]
            np.testing.assert_array_equal(window.tensors["audio"][column], want)


def test_the_fixed_inputs_and_start() -> None:
    first, second = feed(make(lookahead=2, seed=5), voice(0.2))[:2]
    assert (first.start, second.start) == (True, False)
    assert (first.step, second.step) == (0, 1)
    np.testing.assert_array_equal(first.tensors["style"], STYLE)
    np.testing.assert_array_equal(first.tensors["lookahead"], [2])
    seed = first.tensors["seed"]
    np.testing.assert_array_equal(seed, gesture_seed(5, 0))
    assert ((seed >= 1) & (seed <= 30_000) & (seed == seed.round())).all()
    assert not np.array_equal(seed, gesture_seed(6, 0))


def test_a_window_is_built_with_its_last_sample_and_knows_when_that_was_captured() -> None:
    windower = make()
    silence = np.zeros(1_066, np.float32)
    assert windower.push_audio(AudioChunk(samples=silence, start=0, captured_at=5.0)) == []
    rest = AudioChunk(samples=np.zeros(161, np.float32), start=1_066, captured_at=6.0)
    (window,) = windower.push_audio(rest)
    # frame 0 ends at 1067: 160 samples before the end of the chunk
    assert window.captured_at == pytest.approx(6.0 - 160 / 16_000, abs=1e-9)


def test_a_word_enters_once_with_its_age() -> None:
    windower = make()
    early = feed(windower, voice(1.0))
    word = WordEvent(text="Really", start=8_000, end=12_000, final=False)
    assert windower.push_word(word)
    late = feed(windower, voice(0.4), start=16_000)
    assert all(w.words == () for w in early)
    assert [w.words for w in late] == [(word,), (), (), (), (), ()]
    np.testing.assert_array_equal(late[0].tensors["word"], word_ids("Really", SPEC.words))
    # entered in step 15, spoken in frame 7
    np.testing.assert_allclose(late[0].tensors["word_info"], [1, np.log(9), 0], rtol=1e-6)
    assert not late[1].tensors["word"].any()
    assert not late[1].tensors["word_info"].any()


def test_a_short_gap_is_counted_silence() -> None:
    windower = make()
    samples = voice(0.4, seed=3)
    windows = feed(windower, samples[:2_000])
    windows += feed(windower, samples[2_000 + 700 :], start=2_700)
    silenced = samples.copy()
    silenced[2_000:2_700] = 0
    whole = feed(make(), silenced)
    assert windower.filled == 700
    assert windower.jumps == 0
    for got, want in zip(windows, whole, strict=True):
        np.testing.assert_array_equal(got.tensors["audio"], want.tensors["audio"])


def test_a_long_gap_skips_steps_and_starts_afresh() -> None:
    windower = make(seed=9)
    before = feed(windower, voice(0.2))
    after = feed(windower, voice(0.2), start=3_200 + 16_001)
    assert (before[-1].step, after[0].step) == (2, 18)  # 19201 lies in frame 18
    assert after[0].start
    assert windower.jumps == 1
    assert not after[0].tensors["audio"][0, : 640 - 533].any()
    np.testing.assert_array_equal(after[0].tensors["seed"], gesture_seed(9, 1))


def test_samples_that_were_already_there_are_ignored() -> None:
    windower = make()
    samples = voice(0.3)
    windows = feed(windower, samples[:3_000])
    again = AudioChunk(samples=samples[2_000:], start=2_000, captured_at=0)
    windows += windower.push_audio(again)
    assert windower.push_audio(replace(again, samples=samples[:100], start=0)) == []
    for got, want in zip(windows, feed(make(), samples), strict=True):
        np.testing.assert_array_equal(got.tensors["audio"], want.tensors["audio"])


def test_forget_hears_the_past_as_silence_and_drops_words() -> None:
    windower = make()
    feed(windower, voice(0.3))
    windower.push_word(WordEvent(text="no", start=4_000, end=4_500))
    windower.forget()
    (window, *_) = feed(windower, np.zeros(1_600, np.float32), start=4_800)
    assert not window.tensors["audio"].any()
    assert window.words == ()


def test_silenced_keeps_time_and_style() -> None:
    windower = make()
    windower.push_word(WordEvent(text="no", start=0, end=500))
    window = feed(windower, voice(0.1))[0]
    quiet = windower.silenced(window)
    assert (quiet.step, quiet.start, quiet.words) == (0, True, ())
    assert not any(quiet.tensors[n].any() for n in ("audio", "word", "word_info"))
    np.testing.assert_array_equal(quiet.tensors["style"], STYLE)


def test_inputs_that_a_manifest_does_not_declare_are_not_built() -> None:
    lean = replace(SPEC, inputs=SPEC.inputs[:1])
    windower = Windower(lean, lookahead=0, style=STYLE, seed=0)
    windower.push_word(WordEvent(text="hi", start=0, end=1))
    window = feed(windower, voice(0.1))[0]
    assert list(window.tensors) == ["audio"]


def test_inputs_that_the_engine_cannot_fill_are_refused() -> None:
    alien = (*SPEC.inputs, TensorSpec(name="mood", shape=(2,)))
    with pytest.raises(ArtifactError, match="input mood"):
        Windower(replace(SPEC, inputs=alien), lookahead=0, style=STYLE, seed=0)
    with pytest.raises(ArtifactError, match="9 frames a step; this engine runs 1 to 8"):
        Windower(replace(SPEC, frames_per_step=9), lookahead=0, style=STYLE, seed=0)
    with pytest.raises(ArtifactError, match=r"input audio float32 \[2, 640\]"):
        Windower(replace(SPEC, frames_per_step=2), lookahead=0, style=STYLE, seed=0)
    with pytest.raises(UsageError, match="allows 0, 2, 4"):
        make(lookahead=3)


def test_style_mixtures() -> None:
    spec = replace(SPEC, styles=("calm", "lively", "big"), default_style="lively")
    np.testing.assert_allclose(style_mixture(spec, None), [0, 1, 0])
    np.testing.assert_allclose(style_mixture(spec, {"big": 3, "calm": 1}), [0.25, 0, 0.75])
    for weights in ({"bold": 1.0}, {"big": -1.0, "calm": 2}, {"big": 0.0}, {"big": float("nan")}):
        with pytest.raises(UsageError, match="style"):
            style_mixture(spec, weights)


def test_the_hop_counts_the_samples_of_each_frame() -> None:
    spec = replace(SPEC, inputs=(TensorSpec(name="hop", shape=(1,), dtype="int32"),))
    windower = Windower(spec, lookahead=0, style=STYLE, seed=1)
    hops = [int(w.tensors["hop"][0]) for w in feed(windower, voice(2.0))]
    # 16000 / 15 by hand: three frames hold 3200 samples
    assert hops == [1067, 1066, 1067] * 10
