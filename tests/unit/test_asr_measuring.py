"""`python -m training asr` on made-up recordings and a recogniser that must be right."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamer.asr.hypothesis import Spoken
from streamer.errors import InputError
from tests.asr_models import tiny_sherpa
from tests.support import require
from tests.unit.test_asr_sherpa import noise
from training.__main__ import main
from training.asr import find_clips, start_errors, table
from training.asr_beside import measure_beside

TEXT_GRID = """
item [1]:
        intervals [1]:
                xmin = 0.0
                xmax = 0.25
                text = ""
        intervals [2]:
                xmin = 0.25
                xmax = 1.25
                text = "low"
        intervals [3]:
                xmin = 1.25
                xmax = 2.25
                text = "high"
item [2]:
        intervals [1]:
                xmin = 0.0
                xmax = 0.25
                text = "L"
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two corpora in the folders' own forms; BEAT2 says what the sounds are, LJSpeech does not."""
    beat2 = tmp_path / "beat2_sample" / "speech_only"
    beat2.mkdir(parents=True)
    soundfile.write(beat2 / "a.wav", noise("low", "high"), 16_000)
    (beat2 / "a.TextGrid").write_text(TEXT_GRID)
    ljspeech = tmp_path / "speech_ljspeech"
    (ljspeech / "wavs").mkdir(parents=True)
    soundfile.write(ljspeech / "wavs" / "b.wav", np.zeros(8_000), 16_000)
    (ljspeech / "metadata.csv").write_text('b|Said "no|Said "no, well-read!\n')
    return tmp_path


def test_clips_are_read_with_their_words(data: Path) -> None:
    ljspeech, beat2 = find_clips(data, 5)
    assert ljspeech.text == ("said", "no", "well", "read")
    assert beat2.words == (Spoken("low", 4_000, 20_000), Spoken("high", 20_000, 36_000))
    assert list(find_clips(data, 0)) == []
    with pytest.raises(InputError, match="none of the speech folders"):
        next(find_clips(data / "speech_ljspeech", 5))


def test_start_errors_are_of_the_words_heard_right() -> None:
    reference = [Spoken("A", 0, 10), Spoken("b", 1_600, 20), Spoken("c", 3_200, 30)]
    heard = [Spoken("a", 160, 10), Spoken("x", 0, 0), Spoken("C", 3_040, 0)]
    assert start_errors(reference, heard) == [10.0, 10.0]
    assert start_errors(reference, []) == []


def test_rows_of_a_real_recogniser(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require(
        find_spec("sherpa_onnx") is not None and find_spec("webrtcvad") is not None,
        "needs the sherpa extra",
    )
    model = f"sherpa:{tiny_sherpa(tmp_path / 'tiny')}"
    log = tmp_path / "log.jsonl"
    command = ["asr", "--asr", model, "--data", str(data), "--words", "final_only"]
    assert main([*command, "--json", "--log", str(log)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert json.loads(log.read_text()) == result
    silent, sounds = result["rows"]
    assert (silent["corpus"], silent["wer"], silent["told"]) == ("LJSpeech", 1.0, 0)
    assert silent["delay_ms"] is None
    assert (sounds["corpus"], sounds["words"]) == ("BEAT2", 2)
    assert sounds["rss_mb"] > 20
    lines = table(result["rows"]).splitlines()
    assert len(lines) == 4
    assert "100.0%" in lines[1]


def test_what_is_no_recogniser(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["asr", "--asr", "none", "--data", str(data)]) == 2
    assert "is no recogniser" in capsys.readouterr().err
    assert main(["asr", "--data", str(data / "no")]) == 2


def test_the_cost_beside_an_engine(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require(
        find_spec("sherpa_onnx") is not None and find_spec("webrtcvad") is not None,
        "needs the sherpa extra",
    )
    model = f"sherpa:{tiny_sherpa(tmp_path / 'tiny')}"
    command = ["asr", "--asr", model, "--data", str(data), "--clips", "1", "--beside", "2"]
    assert main([*command, "--json"]) == 0
    alone, beside = json.loads(capsys.readouterr().out)["beside"]
    assert (alone["asr"], alone["recogniser"], alone["frames"]) == ("none", None, 30)
    assert beside["asr"] == model
    # an interpreter with numpy and a recogniser, and one with onnxruntime, in its own process
    assert beside["recogniser"]["rss_mb"] > 20
    assert beside["engine"]["rss_mb"] > 50
    assert beside["recogniser"]["cpu_factor"] > 0


def test_a_stream_that_fails_beside_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokens\.txt"):
        measure_beside([f"sherpa:{tmp_path}"], np.zeros(16_000, np.float32), 0.2)
