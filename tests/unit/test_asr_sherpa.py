"""sherpa-onnx itself on a tiny transducer that hears low and high noise."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from streamer.asr.hypothesis import Spoken
from streamer.asr.sherpa import Sherpa, find_files, join_tokens
from streamer.errors import InputError
from tests.asr_models import tiny_sherpa
from tests.support import require

SECOND = 16_000


def noise(*cuts: object) -> np.ndarray:
    """A quarter of a second of silence, then a second of noise below 500 or above 4000 Hz each."""
    rng = np.random.default_rng(0)
    parts = [np.zeros(SECOND // 4)]
    for cut in cuts:
        limits = (500, "low") if cut == "low" else (4_000, "high")
        sos = butter(6, *limits, fs=SECOND, output="sos")
        parts.append(sosfilt(sos, rng.standard_normal(SECOND)))
    return (np.concatenate(parts) * 8_000).astype(np.int16)


def test_the_library_hears_what_the_model_must_say(tmp_path: Path) -> None:
    require(find_spec("sherpa_onnx") is not None, "needs the sherpa extra")
    sherpa = Sherpa(tiny_sherpa(tmp_path / "tiny"), threads=1)
    for start in (0, 1_000_000):
        pcm = noise("low", "high", "low")
        sherpa.begin(start)
        grown = []
        for at in range(0, len(pcm), 320):
            sherpa.feed(pcm[at : at + 320])
            grown.append(len(sherpa.words()))
        assert grown == sorted(grown)
        assert grown[len(pcm) // 640] == 2, "words come while it is spoken"
        words = sherpa.end()
        assert [w.text for w in words] == ["low", "high", "low"]
        for word, second in zip(words, (0.25, 1.25, 2.25), strict=True):
            # a chunk of the model is 40 ms; two of them may mix the sounds
            assert abs(word.start - start - second * SECOND) <= 0.08 * SECOND
            assert 0 < word.end - word.start <= 0.4 * SECOND


def test_pieces_become_words() -> None:
    tokens = ["\u2581THE", "\u2581CA", "T", "'", "S", " HAT"]
    seconds = [0.0, 0.2, 0.4, 0.44, 0.48, 2.0]
    assert join_tokens(tokens, seconds, start=SECOND, end=4 * SECOND) == (
        Spoken("THE", SECOND, SECOND + 3_200),
        Spoken("CAT'S", SECOND + 3_200, SECOND + round(0.48 * SECOND) + 4_800),
        Spoken("HAT", 3 * SECOND, 3 * SECOND + 4_800),
    )


def test_ideographs_are_words_and_join_with_latin_only_by_spaces() -> None:
    tokens = ["\u2581", "今", "天", " hel", "lo", "好"]
    words = join_tokens(tokens, [0, 0.1, 0.2, 0.3, 0.4, 0.5], start=0, end=SECOND)
    assert [w.text for w in words] == ["今", "天", "hello", "好"]


def test_no_tokens_no_words_and_times_stay_within_what_was_heard() -> None:
    assert join_tokens([], [], start=0, end=100) == ()
    (word,) = join_tokens([" x"], [9.0], start=0, end=100)
    assert (word.start, word.end) == (100, 100)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (None, "no such folder"),
        ([], "no streaming model"),
        (["tokens.txt"], "no streaming model"),
        (["encoder.onnx", "decoder.onnx", "joiner.onnx"], "expected tokens.txt"),
        (["tokens.txt", "encoder.onnx"], "no streaming model"),
    ],
)
def test_folders_without_a_model(tmp_path: Path, names: list[str] | None, says: str) -> None:
    folder = tmp_path / "m"
    if names is not None:
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    with pytest.raises(InputError, match=f"--asr sherpa:.*{says}"):
        find_files(folder)


def test_int8_is_taken_of_two(tmp_path: Path) -> None:
    for name in ("tokens.txt", "model-99.onnx", "model-99.int8.onnx"):
        (tmp_path / name).touch()
    assert find_files(tmp_path)["model"].name == "model-99.int8.onnx"
