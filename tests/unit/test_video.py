"""The picture and the packing. ffprobe reads what was written."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import InputError, UsageError
from streamer.humanoid import BONE_INDEX, BONES
from streamer.recordings import video
from streamer.recordings.drawing import Camera, Painter
from streamer.recordings.skin import load_mannequin
from streamer.recordings.video import VideoWriter
from streamer.retarget_inverse import bone_frames
from streamer.types import AudioChunk
from tests.support import require
from tests.takes import take

REST = np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1))
SIZE = 96


def figure(picture: np.ndarray) -> np.ndarray:
    """Return where the picture differs from its backdrop, which is the same in a row."""
    return np.abs(picture.astype(int) - picture[:, :1]).max(-1) > 12


def test_vertices_follow_their_bones() -> None:
    skin = load_mannequin()
    vertices, normals = skin.posed(REST, np.zeros(3, np.float32))
    np.testing.assert_allclose(vertices, skin.vertices, atol=1e-6)
    np.testing.assert_allclose(normals, skin.normals, atol=1e-6)
    np.testing.assert_allclose(skin.weights.sum(1), 1, atol=1e-6)
    rotations = take(3).rotations[2]
    moved, _ = skin.posed(rotations, np.zeros(3, np.float32))
    places, _ = bone_frames(rotations, skin.offsets)
    hand = BONE_INDEX["leftHand"]
    near = skin.weights[:, hand] > 0.999  # a rigid piece keeps its distance to its bone
    assert near.sum() > 50
    np.testing.assert_allclose(
        np.linalg.norm(moved[near] - places[hand], axis=1),
        np.linalg.norm(skin.vertices[near] - skin.rest[hand], axis=1),
        atol=1e-4,
    )


def test_the_picture_shows_the_body_where_it_is() -> None:
    paint = Painter(load_mannequin(), width=SIZE, height=SIZE, camera=Camera(field=2.4))
    body = figure(paint(REST, np.zeros(3, np.float32)))
    rows, columns = np.nonzero(body)
    assert columns.max() - columns.min() > 0.6 * SIZE, "a T-pose is wide"
    assert abs(columns.mean() - SIZE / 2) < 2, "and in the middle"
    shifted = figure(paint(REST, np.array([0.2, 0, 0], np.float32)))
    # +X is the character's left, on the right of the picture
    assert np.nonzero(shifted)[1].mean() - columns.mean() == pytest.approx(
        0.2 / 2.4 * SIZE, abs=1.5
    )
    assert 0.08 < body.mean() < 0.5
    assert body[rows.min() + 3 : rows.min() + 8].any(1).all(), "no rows without a head"


def test_near_parts_hide_far_ones() -> None:
    """Seen from the front the eyes are there; the same head turned round shows hair."""
    paint = Painter(
        load_mannequin(),
        width=SIZE,
        height=SIZE,
        camera=Camera(centre=(0, 1.68, 0), field=0.35),
    )
    front = paint(REST, np.zeros(3, np.float32))
    turned = REST.copy()
    turned[BONE_INDEX["head"]] = (0, 1, 0, 0)
    back = paint(turned, np.zeros(3, np.float32))
    middle = slice(SIZE // 3, 2 * SIZE // 3)
    assert front[middle, middle].mean() > back[middle, middle].mean() + 30


def probe(path: Path) -> dict[str, dict[str, str]]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {stream["codec_type"]: stream for stream in json.loads(done.stdout)["streams"]}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    require(shutil.which("ffmpeg") is not None, "needs ffmpeg")
    monkeypatch.setattr(video, "WIDTH", 64)
    monkeypatch.setattr(video, "HEIGHT", 64)
    monkeypatch.setattr(video, "FPS", 15.0)


@pytest.mark.usefixtures("small")
def test_pictures_and_sound_begin_and_end_together(tmp_path: Path) -> None:
    source, path = take(20), tmp_path / "a.mp4"
    write = VideoWriter(path)
    click = int(source.sample[10])  # heard with frame 10, and silence before
    samples = np.zeros(30_000, np.float32)
    samples[click : click + 400] = 0.5
    for at in range(0, 30_000, 1_000):
        write.hear(AudioChunk(samples=samples[at : at + 1_000], start=at, captured_at=0.0))
    write(source, tmp_path / "out.tmp")
    found = probe(tmp_path / "out.tmp")
    assert found["video"]["codec_name"] == "h264"
    assert int(found["video"]["nb_frames"]) == 20
    assert float(found["video"]["duration"]) == pytest.approx(20 / 15, abs=0.01)
    assert float(found["audio"]["duration"]) == pytest.approx(20 / 15, abs=0.07)
    command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "out.tmp")]
    command += ["-f", "s16le", "-ac", "1", "-ar", "16000", "-"]
    pcm = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<i2")
    first = np.flatnonzero(np.abs(pcm) > 4_000)[0]
    assert first == pytest.approx(click - source.sample[0], abs=200)
    assert [p.name for p in tmp_path.iterdir()] == ["out.tmp"], "the voice beside it is gone"


@pytest.mark.usefixtures("small")
def test_without_sound_and_without_frames(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "a.mp4")(take(0), tmp_path / "out.tmp")
    found = probe(tmp_path / "out.tmp")
    assert set(found) == {"video"}
    assert int(found["video"]["nb_frames"]) == 1


@pytest.mark.usefixtures("small")
def test_what_ffmpeg_says_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ffmpeg could not make the video: .*nowhere"):
        VideoWriter(tmp_path / "a.mp4")(take(3), tmp_path / "nowhere" / "out.tmp")


def test_no_ffmpeg_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video.shutil, "which", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(UsageError, match=r"needs ffmpeg.*gesture-streamer\[video\]"):
        VideoWriter(tmp_path / "a.mp4")
