"""`gesture engine build` and `gesture bench --compare`, over a fake GPU."""

import json
from pathlib import Path

import pytest

from streamer.backends.cuda import Cuda
from streamer.backends.tensorrt_api import Api
from streamer.cli import main
from tests.fake_gpu import FakeCuda, FakeTensorRt
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
