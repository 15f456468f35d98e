"""TED datasets: LMDBs that pyarrow 0.14.1 wrote, to a store (golden/ted_lmdb/make.py)."""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from streamer.errors import InputError
from streamer.skeleton import load_skeleton
from training.angles import published_angles
from training.convert.filters import judge, judge_motion, mean_pose
from training.convert.pipeline import convert
from training.convert.ted import TedSource, resample_poses
from training.store.reader import Store
from training.store.types import Word
from training.store.windows import REASONS

GOLDEN = Path(__file__).parents[1] / "golden" / "ted_lmdb"
KINDS = ("ted_gesture", "ted_expressive")
SOURCE_FPS = {"ted_gesture": 25, "ted_expressive": 30}


class Golden:
    """A store made of a golden LMDB, beside what pyarrow itself read from it."""

    def __init__(self, kind: Any, folder: Path) -> None:
        self.kind, self.source = kind, folder / "lmdb"
        with zipfile.ZipFile(GOLDEN / f"{kind}.zip") as archive:
            archive.extractall(self.source)
        with np.load(self.source / "expected.npz") as data:
            self.arrays = {name: data[name] for name in data.files if name != "records"}
            self.records = json.loads(str(data["records"]))
        self.manifest = convert(TedSource(folder=self.source, skeleton=kind), folder / "store")
        self.store = Store(folder / "store")


@pytest.fixture(scope="module", params=KINDS)
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return Golden(request.param, tmp_path_factory.mktemp(request.param))


def test_audio_and_spectrogram_come_bit_for_bit(golden: Golden) -> None:
    names = sorted({name.rsplit("/", 1)[0] for name in golden.arrays})
    clips = {clip.name: golden.store.read(clip) for clip in golden.store.all_clips}
    assert len(clips) == len(names) == 5
    for name in names:
        record, number = name.rsplit("/", 1)
        split = record.split("/")[0].removeprefix("lmdb_")
        clip = clips[f"{split}/{golden.records[record]['vid']}/{number}"]
        np.testing.assert_array_equal(clip.audio, golden.arrays[f"{name}/audio_raw"])
        assert clip.audio.dtype == np.float16
        np.testing.assert_array_equal(clip.mel.T, golden.arrays[f"{name}/audio_feat"])
        source = golden.records[record]["clips"][int(number)]
        assert clip.split == split
        assert clip.start_s == source["start_time"]
        for word, (text, start, end) in zip(clip.words, source["words"], strict=True):
            assert word.text == text
            assert word.start_s == pytest.approx(start - source["start_time"])
            assert word.end_s == pytest.approx(end - source["start_time"])


def test_directions_are_those_of_the_resampled_joints(golden: Golden) -> None:
    """ha2g.md 1.5 (1), with scipy's interpolation and plain loops."""
    from scipy.interpolate import interp1d

    with open(Path(__file__).parents[2] / f"streamer/data/skeletons/{golden.kind}.json") as file:
        bones = json.load(file)["bones"]
    first = next(name for name in golden.arrays if "train" in name).rsplit("/", 1)[0]
    record = golden.records[first.rsplit("/", 1)[0]]["clips"][0]
    joints = golden.arrays[f"{first}/skeletons_3d"]
    seconds = record["end_time"] - record["start_time"]
    count = len(joints)
    at = np.arange(0, count, count / (seconds * 15))
    resampled = interp1d(np.arange(count), joints, axis=0, fill_value="extrapolate")(at)
    clip = golden.store.read(golden.store.all_clips[0])
    assert len(clip.directions) == len(at) == round(3.2 * 15)
    for frame in (0, 7, len(at) - 1):
        for bone, (parent, child) in enumerate(bones):
            vector = resampled[frame, child] - resampled[frame, parent]
            want = vector / math.sqrt(sum(x * x for x in vector))
            np.testing.assert_allclose(clip.directions[frame, bone], want, atol=1e-5)


def test_what_was_made_to_be_dropped_is(golden: Golden) -> None:
    """The script says: a good clip, one with one word, one whose hands rest."""
    by_name = {c.name: golden.store.read(c) for c in golden.store.all_clips}
    got = {name: [REASONS[i] for i in c.reasons] for name, c in by_name.items()}
    assert got["train/dQw4w9WgXcQ/0"] == ["kept"]
    assert got["train/dQw4w9WgXcQ/1"] == ["few words"]
    assert got["train/dQw4w9WgXcQ/2"] == ["motion"]
    window = golden.store.windows("train")[0]
    assert (window.audio.shape, window.mel.shape) == ((36267,), (128, 70))
    totals = golden.manifest.totals
    assert totals["windows"]["few words"] == totals["windows"]["motion"] == 1
    assert totals["clips"] == {"train": 3, "val": 1, "test": 1}


def test_constants_are_the_published_ones(golden: Golden) -> None:
    assert golden.store.angles == published_angles(golden.kind)
    mean = load_skeleton(golden.kind).mean
    np.testing.assert_allclose(golden.store.skeleton.mean, mean, atol=1e-6)
    assert "published" in golden.manifest.constants
    assert golden.store.speakers == ("dQw4w9WgXcQ",)
    test = golden.store.clips("test")[0]
    assert (test.speaker_name, test.speaker) == ("another_one", 0)


def test_the_last_frame_is_extrapolated_and_one_frame_stays() -> None:
    line = np.arange(10.0)[:, None, None] * np.ones((1, 2, 3))
    slow = resample_poses(line, 10 / 12)  # 12 fps: at 0, 0.8, ... 9.6
    np.testing.assert_allclose(slow[:, 0, 0], np.arange(0, 10, 0.8))
    assert resample_poses(line[:1], 0.1).shape == (1, 2, 3)


def test_every_filter_by_itself() -> None:
    layout = load_skeleton("ted_gesture")
    mean = mean_pose("ted_gesture")
    assert mean is not None
    still = np.tile(mean, (42, 1, 1))
    assert judge_motion(still, layout) == "pose"
    rest = still + np.array([0.0, 0.0, 0.1], np.float32)
    assert judge_motion(rest, layout) == "motion"
    moving = rest.copy()
    moving[:, 6, 0] += 0.2 * np.sin(np.arange(42) / 3)
    assert judge_motion(moving, layout) == "kept"
    # one wrist's variance just under and over 0.0014, the other still
    for deviation, verdict in ((0.037, "motion"), (0.038, "kept")):
        edge = rest.copy()
        edge[:, 9, 1] += deviation * np.tile([1, -1], 21)
        assert judge_motion(edge, layout) == verdict
    for angle, verdict in ((19.0, "kept"), (21.0, "spine angle")):
        bent = moving.copy()
        bent[:, 1] = bent[:, 0] + 0.2 * np.array(
            [0, -np.cos(np.radians(angle)), np.sin(np.radians(angle))]
        )
        assert judge_motion(bent, layout) == verdict
    once = moving.copy()
    once[5, 1] = once[5, 0] + 0.2 * np.array([0, -np.cos(0.55), np.sin(0.55)])  # 31.5 degrees
    assert judge_motion(once, layout) == "spine angle"


def test_two_words_are_enough() -> None:
    layout = load_skeleton("ted_gesture")
    poses = np.random.default_rng(0).normal(0, 0.3, (62, 10, 3)).astype(np.float32)
    words = tuple(Word(text="a", start_s=s, end_s=s + 0.2) for s in (0.1, 2.0, 3.9))
    # windows 0..2.8, 0.67..3.47, 1.33..4.13 s hold 2, 1 and 2 words
    reasons = judge(poses, words, layout, min_words=2, motion=False)
    assert [REASONS[i] for i in reasons] == ["kept", "few words", "kept"]
    assert judge(poses, (), layout, min_words=0, motion=False).tolist() == [0, 0, 0]


def rewrite(folder: Path, change: Any) -> Path:
    """Copy a golden LMDB, its first record's bytes changed."""
    with zipfile.ZipFile(GOLDEN / "ted_gesture.zip") as archive:
        archive.extractall(folder)
    with lmdb.open(str(folder / "lmdb_train"), map_size=1 << 24) as environment:
        with environment.begin(write=True) as transaction:
            key = b"0000000000"
            transaction.put(key, change(transaction.get(key)))
    return folder


def test_a_damaged_record_is_named_and_the_rest_converted(tmp_path: Path) -> None:
    source = TedSource(
        folder=rewrite(tmp_path / "lmdb", lambda data: data[: len(data) // 3]),
        skeleton="ted_gesture",
    )
    manifest = convert(source, tmp_path / "store")
    assert manifest.totals["clips"] == {"train": 0, "val": 1, "test": 1}
    (problem,) = json.loads((tmp_path / "store" / "report.json").read_text("utf-8"))["problems"]
    assert problem["recording"] == "train/0000000000"
    assert "pyarrow.serialize" in problem["why"]


def test_a_clip_with_nan_is_named_and_its_neighbours_converted(tmp_path: Path) -> None:
    """One number of the second clip's joints becomes NaN, in the bytes that pyarrow wrote."""
    with zipfile.ZipFile(GOLDEN / "ted_gesture.zip") as archive:
        archive.extractall(tmp_path / "plain")
    with np.load(tmp_path / "plain" / "expected.npz") as data:
        second = data["lmdb_train/0000000000/1/skeletons_3d"]
    bytes_of = np.ascontiguousarray(second).tobytes()

    def spoil(data: bytes) -> bytes:
        at = data.index(bytes_of) + 8 * 3 * 10 * 40
        return data[:at] + np.array(np.nan).tobytes() + data[at + 8 :]

    source = TedSource(folder=rewrite(tmp_path / "lmdb", spoil), skeleton="ted_gesture")
    manifest = convert(source, tmp_path / "store")
    (problem,) = manifest.units[0]["problems"]
    assert problem[0] == "train/dQw4w9WgXcQ/1"
    assert "NaN" in problem[1]
    assert manifest.totals["clips"]["train"] == 2


def test_the_other_skeletons_data_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(GOLDEN / "ted_gesture.zip") as archive:
        archive.extractall(tmp_path / "lmdb")
    with pytest.raises(InputError, match=r"skeletons_3d is \[80, 10, 3\], expected .* 43"):
        convert(TedSource(folder=tmp_path / "lmdb", skeleton="ted_expressive"), tmp_path / "store")


def test_no_lmdb(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lmdb_train"):
        convert(TedSource(folder=tmp_path, skeleton="ted_gesture"), tmp_path / "store")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match="not an LMDB"):
        convert(TedSource(folder=tmp_path, skeleton="ted_gesture"), tmp_path / "store")
