"""A published checkpoint, full size, from the file to motion: import, render, live.

The weights are the deterministic stand-ins of the golden files (`tests.published`).
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from models.autoencoder import PoseAutoEncoder
from models.trimodal import TrimodalGenerator
from streamer.cli import main
from streamer.spec import load_manifest
from tests.fakes import voice
from tests.golden_files import (
    assert_close,
    golden,
    one_thread,  # noqa: F401  (an autouse fixture)
    tensor,
)
from tests.published import write_autoencoder, write_ha2g, write_trimodal
from training.importing import import_checkpoint, read_imported


def gesture(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def speech(folder: Path, seconds: float) -> str:
    path = folder / "speech.wav"
    soundfile.write(path, voice(seconds), 16_000)
    return str(path)


def plays(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Render and live give every frame, unit vectors that move."""
    options = ("--model", str(folder), "--backend", "onnxruntime", "--asr", "none")
    out = tmp_path / "talk.npz"
    done = gesture(capsys, "render", speech(tmp_path, 2.5), "-o", str(out), *options)
    assert (done["frames"], done["resets"], done["skipped"]) == (37, 0, 0)
    with np.load(out) as take:
        directions = take["directions"]
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1, atol=1e-5)
    assert np.abs(np.diff(directions, axis=0)).max() > 1e-4
    source = ("--source", speech(tmp_path, 1.2), "--port", "0")
    done = gesture(capsys, "live", *source, *options)
    assert done["frames"] > 0


@pytest.mark.timeout(900)
def test_ted_gesture(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write_ha2g(tmp_path / "ha2g.bin", "ted_gesture")
    folder = tmp_path / "ted_gesture"
    line = import_checkpoint("ha2g", path, folder, frames=4, steps=4)
    assert re.search(r"a step takes [\d.]+ ms, p99 [\d.]+, of the 267 that its 4 frames last", line)
    spec = load_manifest(folder).spec
    assert (spec.network, spec.frames_per_step, spec.words.slots) == ("ha2g_window", 4, 1)
    plays(folder, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["ted_gesture", "ted_expressive"])
def test_k_is_what_the_machine_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str):
    folder = tmp_path / name
    import_checkpoint("ha2g", write_ha2g(tmp_path / "ha2g.bin", name), folder)
    manifest = load_manifest(folder)
    lasts = manifest.spec.frames_per_step * 1000 / 15
    p99 = manifest.training["measured_at_import"]["step_p99_ms"]
    assert p99 <= lasts / 2 or manifest.spec.frames_per_step == 8
    plays(folder, tmp_path, capsys)


@pytest.mark.parametrize("name", ["ted_gesture", "ted_expressive"])
def test_fgd_auto_encoders_give_the_golden_features(tmp_path: Path, name: str):
    folder = tmp_path / "plain"
    import_checkpoint("fgd", write_autoencoder(tmp_path / "fgd.bin", name), folder)
    network = read_imported(folder)
    assert isinstance(network, PoseAutoEncoder)
    want = golden("fgd_autoencoder")
    with torch.no_grad():
        got = network.features(tensor(want[f"in_pose_{name}"]))
    assert_close(got, want[f"latent_{name}"])


def test_trimodal_gives_the_golden_poses(tmp_path: Path):
    folder = tmp_path / "plain"
    import_checkpoint("trimodal", write_trimodal(tmp_path / "trimodal.bin"), folder)
    network = read_imported(folder)
    assert isinstance(network, TrimodalGenerator)
    want = golden("trimodal_ted_gesture")
    names = ("in_pre_seq", "in_audio_int16", "in_text", "in_vid", "in_eps")
    with torch.no_grad():
        poses, _ = network(*(tensor(want[name]) for name in names))
    assert_close(poses, want["out"])
