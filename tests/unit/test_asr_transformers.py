"""transformers itself on a Whisper of random weights: what it says is noise, its form is not."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from streamer.asr.agreement import LocalAgreement
from streamer.asr.transformers import check_folder, load_transcriber
from streamer.errors import InputError
from tests.asr_models import tiny_whisper
from tests.fakes import voice
from tests.support import require


@pytest.mark.parametrize("aligned", [True, False])
def test_a_folder_becomes_words_with_times(tmp_path: Path, aligned: bool) -> None:
    require(find_spec("transformers") is not None, "needs the whisper extra")
    folder = tiny_whisper(tmp_path / "whisper", aligned=aligned)
    check_folder(folder)
    transcribe = load_transcriber(folder, threads=1)
    window = voice(1.5)
    words = transcribe(window)
    assert len(words) > 2
    assert transcribe(window) == words, "the same window, the same words"
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    for word in words:
        assert 0 <= word.start <= word.end <= len(window)
        assert word.text.strip() == word.text != ""
        assert "<|" not in word.text
    assert transcribe(window[:0]) == []
    decoder = LocalAgreement(transcribe)
    decoder.begin(50_000)
    decoder.feed((window * 32767).astype("int16"))
    assert [w.start - 50_000 for w in decoder.end()] == starts


def test_folders_without_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    for says, name in (
        ("no such folder", ""),
        ("has no config.json", "config.json"),
        ("has no preprocessor_config.json", "preprocessor_config.json"),
        ("weights as pickles are not loaded", "model.safetensors"),
    ):
        with pytest.raises(InputError, match=f"--asr transformers:.*{says}"):
            check_folder(folder)
        folder.mkdir(exist_ok=True)
        if name:
            (folder / name).touch()
    check_folder(folder)
