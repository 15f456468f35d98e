"""`gesture engine build` and `gesture bench --compare`, over a fake GPU."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamer.backends.cuda import Cuda
from streamer.backends.tensorrt_api import Api
from streamer.cli import main
from tests.fake_gpu import FakeCuda, FakeTensorRt
from tests.fake_ort import FakeOnnxRuntime
from tests.fakes import tiny_artifact


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    cuda = FakeCuda()
    module = FakeTensorRt(cuda)
    for where in ("streamer.engine_build", "streamer.backends.tensorrt"):
        monkeypatch.setattr(f"{where}.engine_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("streamer.engine_build.load_cuda", lambda: Cuda(cuda))
    monkeypatch.setattr("streamer.engine_build.load_tensorrt", lambda: Api(module))
    return module


def test_an_engine_is_built_and_kept(
    gpu: FakeTensorRt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tiny_artifact(tmp_path / "tiny"))
    gpu.largest = 5
    words = ["engine", "build", "--model", model, "--slots", "8"]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["slots"], result["asked_slots"], result["gpu"]) == (4, 8, "NVIDIA Fake RTX")
    assert Path(result["engine"]).parent == tmp_path / "cache"
    assert Path(result["engine"]).is_file()
    assert main(words) == 0
    assert "8 slots did not fit" in capsys.readouterr().out
    assert gpu.cuda.queues == {}


def test_without_a_driver_it_is_one_line(
    gpu: FakeTensorRt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu.cuda.driver = 0
    assert main(["engine", "build", "--model", str(tiny_artifact(tmp_path / "tiny"))]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("gesture: no NVIDIA driver answers")
    assert main(["engine", "build", "--slots", "0"]) == 2


def test_bench_compares_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "results" / "log.jsonl"
    monkeypatch.setattr("streamer.bench.checkout_log", lambda: log)
    model = str(tiny_artifact(tmp_path / "tiny"))
    words = ["bench", "--model", model, "--compare", "--slots", "1,2", "--seconds", "0.01"]
    assert main([*words, "--json"]) == 0
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert json.loads(log.read_text()) == result
    rows = [(row["backend"], row["precision"], row["slots"]) for row in result["rows"]]
    assert rows[:2] == [("onnxruntime", "float32", 1), ("onnxruntime", "float32", 2)]
    assert len(set(rows)) == len(rows)
    assert "--backend torch: tiny has no model.pt2" in told.err


def test_bench_compares_precisions_and_draws_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tiny_artifact(tmp_path / "tiny", half=True))
    picture = tmp_path / "rows.png"
    words = ["bench", "--model", model, "--slots", "1,2", "--seconds", "0.01"]
    words += ["--log", str(tmp_path / "log.jsonl"), "--plot", str(picture), "--json"]
    assert main([*words, "--compare"]) == 0
    told = capsys.readouterr()
    rows = json.loads(told.out)["rows"]
    lines = {(row["backend"], row["precision"]) for row in rows}
    assert {("onnxruntime", "float32"), ("onnxruntime", "float16")} <= lines
    assert told.err.count("not tensorrt: ") <= 1, "once for all precisions"
    data = np.array(Image.open(picture).convert("RGB"))
    ours = (data[..., 0] < 80) & (data[..., 2] > 150)  # the first line's blue
    assert ours.sum() > 200, "nothing was drawn"
    assert main([*words, "--precision", "float16"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["precision"] for row in rows} == {"float16"}


def test_a_plot_that_cannot_be_is_refused_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["bench", "--model", str(tiny_artifact(tmp_path / "tiny")), "--slots", "1"]
    words += ["--seconds", "0.01", "--log", str(tmp_path / "log.jsonl"), "--plot"]
    assert main([*words, str(tmp_path / "rows.svg")]) == 2
    assert "must end in .png" in capsys.readouterr().err
    monkeypatch.setattr("streamer.bench_plot.find_spec", lambda name: None)
    assert main([*words, str(tmp_path / "rows.png")]) == 2
    assert "pip install 'gesture-streamer[plot]'" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([*words, str(tmp_path / "absent" / "rows.png")]) == 2
    assert "rows.png: cannot be written" in capsys.readouterr().err


def test_the_provider_of_onnxruntime_builds_too(
    gpu: FakeTensorRt,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeOnnxRuntime(gpu.cuda)
    monkeypatch.setattr("streamer.engine_build.load_onnxruntime", lambda kind: fake)
    words = ["engine", "build", "--model", str(tiny_artifact(tmp_path / "tiny")), "--slots", "4"]
    words += ["--backend", "onnxruntime-tensorrt"]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["slots"], result["precision"], fake.builds) == (4, "tf32", 1)
    assert Path(result["engine"]).parent.parent == tmp_path / "cache"
    assert main(words) == 0
    assert "now: gesture live --backend onnxruntime-tensorrt" in capsys.readouterr().out
    assert fake.builds == 1, "it was there already"
    assert main([*words, "--precision", "float16"]) == 2
    assert "onnxruntime-tensorrt has tf32" in capsys.readouterr().err
