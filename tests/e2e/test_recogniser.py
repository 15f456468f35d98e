"""Recognition in the real command: PocketSphinx on real speech, killed, and beside deadlines."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamer.cli import main
from tests.fakes import tiny_artifact
from tests.support import require

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    require(
        find_spec("pocketsphinx") is not None and find_spec("webrtcvad") is not None,
        "needs the asr extra",
    )
    return str(tiny_artifact(tmp_path_factory.mktemp("models") / "tiny"))


def events(path: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [line for line in lines if line.get("event") == kind]


def render(speech: Path, out: Path, model: str, *more: str) -> None:
    words = ["render", str(speech), "-o", str(out), "--model", model, "--asr", "pocketsphinx"]
    assert main([*words, *more]) == 0


def test_words_and_captions_of_a_real_sentence(shared: Path, tmp_path: Path, model: str) -> None:
    speech = shared / "data/speech_librivox/sense_and_sensibility_01_austen_64kb-0880.wav"
    text = speech.with_suffix(".txt").read_text("utf-8").split()
    out, captions = tmp_path / "a.jsonl", tmp_path / "a.vtt"
    render(speech, out, model, "-o", str(captions))
    final = " ".join(event["text"] for event in events(out, "caption") if event["final"])
    assert len(set(text) - set(final.split())) <= 2, final
    assert final in captions.read_text("utf-8").replace("\n", " ")
    words = events(out, "word")
    assert len(words) >= 5, "most of it was known while it was spoken"
    reference = json.loads(speech.with_suffix(".json").read_text("utf-8"))["w"]
    starts = {w["t"].split("(")[0]: w["b"] for w in reference}
    known = [word for word in words if word["text"] in starts]
    assert len(known) >= 4
    for word in known:
        # measured: within 0.05 s; the reference is PocketSphinx's own, with another model
        assert abs(word["start"] / 16_000 - starts[word["text"]]) < 0.15
    again = tmp_path / "b.jsonl"
    render(speech, again, model)
    for kind in ('"frame"', '"word"', '"caption"'):
        first, second = (
            [line for line in path.read_text("utf-8").splitlines() if kind in line[:40]]
            for path in (out, again)
        )
        assert first == second != [], "the same speech, the same words and frames"


@contextmanager
def gesture(*words: str, errors: Path, stdin: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the command in a process of its own."""
    with errors.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamer.cli", *words],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait(condition: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.05)
    return value


def recogniser_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    children = psutil.Process(process.pid).children()
    return next((c for c in children if "streamer.asr.worker" in " ".join(c.cmdline())), None)


@POSIX
def test_kill_9_of_the_recogniser(tmp_path: Path, model: str) -> None:
    """Gestures go on without a gap, one warning, and words come back."""
    errors, out, captions = tmp_path / "errors", tmp_path / "a.jsonl", tmp_path / "a.vtt"
    words = ["live", "--source", "demo", "--asr", "pocketsphinx", "--no-server", "--json"]
    words += ["--model", model, "--record", str(out), "--record", str(captions)]

    def cues() -> int:
        return captions.read_text("utf-8").count("-->") if captions.exists() else 0

    with gesture(*words, errors=errors) as process:
        wait(cues)
        before = recogniser_of(process)
        assert before is not None
        before.kill()
        wait(lambda: "the recogniser" in errors.read_text("utf-8"))
        after = wait(lambda: recogniser_of(process))
        assert after.pid != before.pid
        seen = cues()
        wait(lambda: cues() > seen)
        process.send_signal(signal.SIGINT)
        answer, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        report = json.loads(answer)
        gone = [p for p in (before, after) if p.is_running() and p.status() != "zombie"]
        assert gone == [], "no recogniser outlives its stream"
    assert (report["asr"], report["restarts"], report["resets"]) == ("pocketsphinx", 1, 0)
    assert report["words"] > 0
    (warning,) = events(out, "warning")
    assert "gestures go on from the voice alone" in warning["message"]
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    indices = [line["index"] for line in lines if line["type"] == "frame"]
    assert indices == list(range(len(indices))), "no frame is missing"


def live_beside_recognition(seconds: float, tmp_path: Path, model: str) -> dict[str, Any]:
    words = ["live", "--source", "demo", "--asr", "pocketsphinx", "--no-server", "--json"]
    words += ["--model", model, "--duration", str(seconds)]
    with gesture(*words, errors=tmp_path / "errors") as process:
        answer, _ = process.communicate(timeout=2 * seconds + 120)
    report = json.loads(answer)
    assert report["frames"] == int(seconds * 15)
    assert report["restarts"] == 0
    return report


def test_steps_keep_their_deadlines_while_words_are_recognised(tmp_path: Path, model: str) -> None:
    """12 s; the full proof is 5 minutes and slow."""
    report = live_beside_recognition(12, tmp_path, model)
    assert report["words"] > 0
    # a machine that runs other tests beside may be late now and then
    assert report["deadline_misses"] <= 0.05 * report["frames"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_deadline_is_missed_in_five_minutes(tmp_path: Path, model: str) -> None:
    report = live_beside_recognition(300, tmp_path, model)
    assert report["deadline_misses"] == 0
    assert report["unheard_s"] == 0
    assert report["words"] > 100


def test_lines_on_standard_input_become_words(tmp_path: Path, model: str) -> None:
    out = tmp_path / "a.jsonl"
    words = ["live", "--source", "demo", "--asr", "external:-", "--no-server", "--json"]
    words += ["--model", model, "--duration", "4", "--record", str(out)]
    lines = [
        "hello world",
        '{"text": "日本語", "start": 0.2, "duration": 0.3}',
        "x" * 9_000,
        "مرحبا",
    ]
    with gesture(*words, errors=tmp_path / "errors", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        wait(lambda: "Ctrl-C ends" in (tmp_path / "errors").read_text("utf-8"))
        process.stdin.write("\n".join(lines) + "\n")
        process.stdin.flush()
        answer, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    report = json.loads(answer)
    assert [word["text"] for word in events(out, "word")] == ["hello", "world", "مرحبا", "日本語"]
    assert (report["words"], report["refused"]) == (4, 1)
    said = " ".join(event["text"] for event in events(out, "caption") if event["final"])
    assert set(said.split()) == {"hello", "world", "日本語", "مرحبا"}
