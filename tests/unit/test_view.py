"""The viewer writes pictures and movies that can be opened."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamer.errors import UsageError
from streamer.skeleton import load_skeleton
from tests.support import require
from training.__main__ import main
from training.view import movie


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    skeleton = load_skeleton("upper_body")
    positions = np.repeat(skeleton.positions(skeleton.mean)[None], 12, 0)
    path = tmp_path / "take.npz"
    np.savez(path, positions=positions, fps=15.0)
    return path


def test_contact_sheet(recording: Path, tmp_path: Path):
    sheet = tmp_path / "sheet.png"
    assert main(["view", str(recording), "-o", str(sheet), "--every", "0.2", "--columns", "4"]) == 0
    picture = np.asarray(Image.open(sheet).convert("L"))
    assert (picture < 128).sum() > 500, "nothing was drawn"


def test_movie_has_as_many_frames(recording: Path, tmp_path: Path):
    require(shutil.which("ffmpeg") is not None, "ffmpeg is not installed")
    film = tmp_path / "take.mp4"
    loaded = np.load(recording)
    movie(load_skeleton("upper_body"), loaded["positions"][:5], film, fps=15, audio=None)
    count = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames"]
    shown = subprocess.run([*count, "-of", "csv=p=0", film], capture_output=True, text=True)
    assert shown.stdout.strip() == "5"


def test_other_formats_are_refused(recording: Path, tmp_path: Path, capsys):
    assert main(["view", str(recording), "-o", str(tmp_path / "take.gif")]) == 2
    assert "use .png or .mp4" in capsys.readouterr().err


def test_without_ffmpeg(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    skeleton = load_skeleton("upper_body")
    with pytest.raises(UsageError, match="ffmpeg is not installed"):
        movie(skeleton, np.load(recording)["positions"][:1], tmp_path / "x.mp4", fps=15, audio=None)
