"""The papers' sizes and MiniLM inside `hop_stream`, exported; minutes long, hence `slow`."""

from pathlib import Path

import pytest

from export.untrained import untrained
from models.families import Family
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from tests.contract.laws import run, speechlike
from training import distil

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def moves(folder: Path) -> None:
    """Assert that an artifact runs a session; that it equals torch, `build` has verified."""
    backend = OnnxRuntimeBackend(folder)
    outputs, _ = run(backend, speechlike(backend.spec, 8, seed=1))
    assert outputs["directions"].shape == (8, backend.spec.skeleton.vectors, 3)
    assert abs(outputs["directions"][1:] - outputs["directions"][:-1]).max() > 1e-4


@pytest.mark.parametrize("family", ["ha2g_stream", "hop_stream"])
def test_the_papers_sizes(family: Family, tmp_path: Path) -> None:
    folder = tmp_path / family
    untrained(folder, family=family, preset="full", skeleton="ted_expressive")
    moves(folder)


def test_minilm_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.families.LANGUAGE_FOLDER", tmp_path)
    figures = distil.refit(tmp_path / "minilm.safetensors")
    assert figures["explained"] > 0.6, "measured 0.66"
    folder = tmp_path / "hop-stream-minilm"
    untrained(folder, family="hop_stream", preset="minilm")
    moves(folder)
