"""`gesture live` and `render` as a user starts them: a process, a real file, real files out."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from streamer.backends.loading import DEFAULT_MODEL, built_in_models
from streamer.wire import JSON_SUBPROTOCOL
from tests.fakes import tiny_artifact, voice
from tests.support import require

ROOT = Path(__file__).parents[2]
SECONDS = 3.3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_artifact(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> str:
    """44.1 kHz, two channels, of an odd length."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    samples = np.repeat(voice(SECONDS), 3)[: round(SECONDS * 44_100)]
    soundfile.write(path, np.stack([samples, samples], 1), 44_100)
    return str(path)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "streamer.cli", *words]


def gesture(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        command(*words, "--json"), cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def frames_of(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert lines[0]["type"] == "hello"
    return [line for line in lines if line["type"] == "frame"]


def watch_frames(page: str, count: int) -> None:
    """Watch a running stream until so many frames have come."""
    address = page.replace("http", "ws", 1) + "v1/watch"
    with connect(address, subprotocols=[Subprotocol(JSON_SUBPROTOCOL)]) as socket:
        while count:
            message = json.loads(socket.recv(timeout=30))
            if message["type"] == "frame":
                socket.send(json.dumps({"type": "ack", "seq": message["seq"]}))
                count -= 1


def check(frames: Sequence[dict[str, Any]], seconds: float) -> None:
    assert [f["index"] for f in frames] == list(range(len(frames))), "every frame, in order"
    assert [f["seq"] for f in frames] == list(range(len(frames)))
    assert abs(len(frames) - int(15 * seconds)) <= 1
    rotations = np.array([f["rotations"] for f in frames]).reshape(len(frames), -1, 4)
    # five decimals on the wire
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=-1), 1, atol=3e-5)
    for name in ("positions", "directions", "root"):
        assert np.isfinite(np.array([f[name] for f in frames])).all()


@pytest.mark.parametrize("lookahead", [0, 4])
def test_every_frame_of_a_file_is_recorded(
    tmp_path: Path, model: str, speech: str, lookahead: int
) -> None:
    out, arrays = tmp_path / "out.jsonl", tmp_path / "out.npz"
    record = ("--record", str(out), "--record", str(arrays))
    options = ("--model", model, "--port", "0", "--lookahead", str(lookahead))
    result = gesture("live", "--source", speech, *options, *record)
    frames = frames_of(out)
    check(frames, SECONDS)
    assert result["frames"] == len(frames)
    assert result["skipped"] == 0
    assert result["seconds"] == pytest.approx(SECONDS, abs=0.02)
    with np.load(arrays) as data:
        assert [int(s) for s in data["sample"]] == [f["sample"] for f in frames]
        np.testing.assert_allclose(
            data["rotations"].reshape(len(frames), -1),
            [f["rotations"] for f in frames],
            atol=6e-6,
        )


def test_live_and_render_give_the_same_motion(tmp_path: Path, model: str, speech: str) -> None:
    files = [tmp_path / "live.npz", tmp_path / "render.npz"]
    gesture("live", "--source", speech, "--no-server", "--model", model, "--record", str(files[0]))
    gesture("render", speech, "--model", model, "-o", str(files[1]))
    with np.load(files[0]) as live, np.load(files[1]) as rendered:
        assert set(live) == set(rendered)
        for key in live:
            np.testing.assert_array_equal(live[key], rendered[key], err_msg=key)


def test_the_default_model_through_every_output(tmp_path: Path, speech: str) -> None:
    require(DEFAULT_MODEL in built_in_models(), f"{DEFAULT_MODEL} is not in the checkout")
    out = tmp_path / "out.jsonl"
    options = ("--port", "0", "--vmc", "127.0.0.1:39539", "--record", str(out))
    result = gesture("live", "--source", speech, *options)
    check(frames_of(out), SECONDS)
    assert result["model"] == DEFAULT_MODEL
    assert result["rss_mb"] <= 400  # DESIGN 10


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a child")
def test_ctrl_c_drains_and_exits_0(tmp_path: Path, model: str) -> None:
    out, arrays = tmp_path / "out.jsonl", tmp_path / "out.npz"
    words = command("live", "--source", "demo", "--model", model, "--port", "0", "--json")
    words += ["--record", str(out), "--record", str(arrays)]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        page = next(line.split()[1] for line in process.stderr if line.startswith("  page"))
        watch_frames(page, 10)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    result = json.loads(stdout)
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert lines[0]["type"] == "hello"
    assert (lines[-1]["type"], lines[-1]["event"]) == ("event", "end")
    assert len(frames_of(out)) == result["frames"] >= 10
    with np.load(arrays) as data:
        assert len(data["sample"]) == result["frames"]
    assert not list(tmp_path.glob("*.part"))
