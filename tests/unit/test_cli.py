import json
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamer.cli import main
from streamer.spec import sha256
from tests.fakes import tiny_artifact, voice


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_artifact(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def speech(tmp_path: Path) -> str:
    path = tmp_path / "speech.wav"
    soundfile.write(path, voice(1.5), 16_000)
    return str(path)


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """Run a command that must be refused; return its one line."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("gesture: ")
    return lines[0]


def test_render_writes_and_reports(
    tmp_path: Path, model: str, speech: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npz"
    assert main(["render", speech, "-o", str(out), "--model", model, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["frames"], result["seconds"], result["model"]) == (22, 1.5, "tiny")
    assert (result["skipped"], result["deadline_misses"]) == (0, 0)
    assert result["latency_ms"]["algorithmic"] == 200.0
    assert result["latency_ms"]["mic_to_wire"] is None
    assert 0 < result["latency_ms"]["compute"]["p50"] <= result["latency_ms"]["compute"]["p99"]
    assert 30 < result["rss_mb"] < 4_000
    with np.load(out) as data:
        assert data["rotations"].shape == (22, 44, 4)


def test_live_prints_one_object_on_standard_output(
    tmp_path: Path, model: str, speech: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["live", "--source", speech, "--model", model, "--no-server", "--json"]
    words += ["--record", str(tmp_path / "a.jsonl"), "--duration", "0.8", "--lookahead", "0"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    result = json.loads(line)
    assert set(result) >= {
        *("frames", "seconds", "fps", "latency_ms", "deadline_misses", "skipped"),
        *("words", "rss_mb", "model", "backend"),
    }
    assert (result["frames"], result["seconds"], result["backend"]) == (12, 0.8, "onnxruntime")
    assert set(result["latency_ms"]["mic_to_wire"]) == {"p50", "p95", "p99"}
    assert "audio delay" in err
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) >= 13


def test_the_demo_brings_its_words(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["render", "demo", "--duration", "2", "--model", model, "--json"]
    for asr, expected in (("auto", 3), ("none", 0)):
        out = tmp_path / f"{asr}.jsonl"
        assert main([*words, "--asr", asr, "-o", str(out)]) == 0
        assert json.loads(capsys.readouterr().out)["words"] == expected
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        said = [line["text"] for line in lines if line.get("event") == "word"]
        assert said == ["hey", "everyone", "welcome"][:expected]


def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, model: str, speech: str, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, text = tmp_path / "empty.wav", tmp_path / "text.wav"
    empty.write_bytes(b"")
    text.write_text("this is no audio")
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    live = ["live", "--no-server", "--model", model, "--source"]
    for source, says in (
        (str(tmp_path / "nowhere.wav"), "no such file"),
        (str(empty), "empty"),
        (str(text), "not an audio file"),
        (str(nan), "NaN"),
        (str(tmp_path), "is a folder"),
    ):
        assert says in refused(capsys, [*live, source])
        assert says in refused(capsys, ["render", source, "-o", str(tmp_path / "x.npz")])
    speaking = [*live, speech]
    for more, says in (
        (["--model", "nonesuch"], "neither a folder nor a built-in model"),
        (["--backend", "torch"], "has no model.pt2"),
        (["--lookahead", "3"], "allows 0, 2, 4"),
        (["--style", "bold"], "style 'bold' is unknown; the model has calm, big"),
        (["--asr", "scripted"], "brings no words"),
        (["--record", str(tmp_path / "no" / "x.npz")], "cannot be written"),
        (["--record", str(tmp_path / "x.txt")], ".vtt"),
        (["--device", "x"], "--device is for --source mic"),
        (["--vmc", "127.0.0.1:0"], "port"),
        (["--vmc", "127.0.0.1:39539", "--avatar", str(tmp_path / "no.vrm")], "no.vrm"),
    ):
        assert says in refused(capsys, [*speaking, *more])


def test_a_corrupt_artifact_is_named(
    tmp_path: Path, speech: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_artifact(tmp_path / "m")
    command = ["live", "--no-server", "--source", speech, "--model", str(folder)]
    data = bytearray((folder / "model.onnx").read_bytes())
    data[100] ^= 0xFF
    (folder / "model.onnx").write_bytes(data)
    assert "does not match the manifest's" in refused(capsys, command)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = sha256(folder / "model.onnx")
    manifest["fps"] = "fast"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "missing or malformed field" in refused(capsys, command)


def test_a_port_in_use(model: str, speech: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        words = ["live", "--source", speech, "--model", model, "--port", port]
        assert f"port {port}" in refused(capsys, words)


def test_a_file_that_breaks_off_ends_cleanly(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A FLAC cut in half: what was heard is written, then one line says what is wrong."""
    whole = tmp_path / "whole.flac"
    soundfile.write(whole, voice(6.0), 16_000)
    cut = tmp_path / "cut.flac"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2] + struct.pack("<I", 7) * 2_000)
    out = tmp_path / "out.jsonl"
    assert main(["render", str(cut), "-o", str(out), "--model", model]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "broken after" in line
    frames = [line for line in out.read_text().splitlines() if '"type":"frame"' in line]
    assert len(frames) > 15
    json.loads(frames[-1])


def test_bench_appends_a_row_with_machine_and_commit(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    words = ["bench", "--model", model, "--slots", "1,3", "--seconds", "0.05", "--log", str(log)]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert main(words) == 0
    assert "sessions at deadline" in capsys.readouterr().out
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert first == result
    assert [row["slots"] for row in second["rows"]] == [1, 3]
    for row in first["rows"]:
        step = row["step_ms"]
        assert 0 < step["p50"] <= step["p95"] <= step["p99"]
        assert row["sessions_at_deadline"] == pytest.approx(
            row["slots"] * 1000 / 15 / step["p99"], rel=0.05, abs=1
        )
    assert "cores" in first["machine"]
    assert first["commit"]


def test_doctor_and_models(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--model", model, "--port", "0", "--json"])
    checks = {c["part"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["model"]["state"] in ("ok", "warning")
    assert "ms a step on onnxruntime" in checks["model"]["says"]
    assert checks["port"]["state"] == "ok"
    assert main(["doctor", "--model", str(tmp_path), "--port", "0"]) == 1
    assert "error    model" in capsys.readouterr().out
    assert main(["models", "--json"]) == 0
    for row in json.loads(capsys.readouterr().out)["models"]:
        assert row["default_lookahead"] in row["lookaheads"]


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["live", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0
    assert "gesture-streamer 0" in capsys.readouterr().out
