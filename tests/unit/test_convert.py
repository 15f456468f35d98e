"""The whole conversion: real BEAT2 and SmartBody, and recordings in every bad state."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.spatial.transform import Rotation

from streamer.errors import InputError, UsageError
from streamer.skeleton import load_skeleton
from tests.corpora import write_recording
from tests.unit.test_retarget_beat2 import posed
from training.__main__ import main
from training.convert.body import heading
from training.convert.clips import cut_points
from training.convert.gestures import SmartBodySource
from training.convert.pipeline import convert
from training.convert.planned import CorpusSource
from training.convert.recorded import RecordedSource, read_audio
from training.corpus import FORMAT
from training.store import shards as shards_module
from training.store.manifest import JOURNAL, MANIFEST
from training.store.reader import Store
from training.store.types import Word
from training.store.windows import REASONS

UPPER = load_skeleton("upper_body")


def source(folder: Path, **changes: object) -> RecordedSource:
    return RecordedSource(folder=folder, kind="bvh", skeleton="upper_body", **changes)  # type: ignore[arg-type]


def problems(store: Path) -> dict[str, str]:
    report = json.loads((store / "report.json").read_text("utf-8"))
    return {p["part"]: p["why"] for p in report["problems"]}


def whole(folder: Path) -> None:
    """Check that nothing half-written is left, and that all that is there holds."""
    assert not list(folder.rglob("*.part"))
    assert not (folder / JOURNAL).exists()
    Store(folder).verify()


# Real data


def test_beat2(shared: Path, tmp_path: Path) -> None:
    """Real speech and motion; limbs against a skeleton defined in another test."""
    sample = shared / "data" / "beat2_sample"
    options = ["-o", str(tmp_path / "store"), "--clip-seconds", "10", "--json"]
    assert main(["convert", "beat2", str(sample), *options]) == 0
    store = Store(tmp_path / "store")
    whole(tmp_path / "store")
    clips = [store.read(info) for info in store.all_clips]
    directions = np.concatenate([clip.directions for clip in clips])
    with np.load(sample / "2_scott_0_1_1_a.npz") as data:
        poses = data["poses"][::2].astype(float)
    turn = heading(Rotation.from_rotvec(poses_at_30(sample)[:, :3])).inv()
    want, _ = posed(poses)
    want = turn.apply(want.reshape(-1, 3)).reshape(want.shape)
    assert len(directions) == len(want) == 601
    exact = [
        i
        for i, name in enumerate(UPPER.vector_names)
        if name.startswith(("left_shoulder", "left_elbow", "right_shoulder", "right_elbow"))
        or "wrist" in name
        or "palm" in name
        or (name.split(">")[0][-1] in "123" and "spine" not in name)
    ]
    assert len(exact) == 36
    np.testing.assert_allclose(directions[:, exact], want[:, exact], atol=1e-4)
    audio, _ = soundfile.read(sample / "2_scott_0_1_1_a.wav", dtype="int16")
    got = np.concatenate([clip.audio for clip in clips])
    np.testing.assert_array_equal(got, audio[: len(got)])
    assert abs(len(got) - len(audio)) <= 1600
    with open(sample / "2_scott_0_1_1_a.words.json") as file:
        words = json.load(file)
    spoken = [(w.text, w.start_s + c.start_s) for c in clips for w in c.words]
    assert [text for text, _ in spoken] == [w["word"].replace("'", "") for w in words]
    np.testing.assert_allclose([t for _, t in spoken], [w["start"] for w in words], atol=1e-6)
    assert store.speakers == ("2_scott",)
    assert len(clips) == 5
    assert max(len(c.directions) for c in clips) <= 150


def poses_at_30(sample: Path) -> np.ndarray:
    with np.load(sample / "2_scott_0_1_1_a.npz") as data:
        return data["poses"].astype(float)


@pytest.mark.parametrize("skeleton", ["upper_body", "ted_gesture", "ted_expressive"])
def test_smartbody(shared: Path, tmp_path: Path, skeleton: str) -> None:
    """One performer's clips: motion over silence in every layout."""
    performer = tmp_path / "clips" / "garza"
    performer.mkdir(parents=True)
    for path in sorted((shared / "data/smartbody_gestures/garza").iterdir())[:6]:
        (performer / path.name).write_bytes(path.read_bytes())
    manifest = convert(
        SmartBodySource(folder=tmp_path / "clips", skeleton=skeleton), tmp_path / "store"
    )
    store = Store(tmp_path / "store")
    assert manifest.settings.licence == "LGPL-2.1"
    assert len(store.all_clips) >= 4
    clips = [store.read(info) for info in store.all_clips]
    assert not any(clip.audio.any() for clip in clips)
    assert all(clip.valid.all() for clip in clips)
    layout = load_skeleton(skeleton)
    wrists = [layout.joints.index(f"{side}_wrist") for side in ("left", "right")]
    moved = [np.ptp(layout.positions(clip.directions)[:, wrists], axis=0) for clip in clips]
    assert np.max(np.linalg.norm(moved, axis=-1)) > 0.1
    spine = "spine" if skeleton == "ted_gesture" else "spine3"
    for clip in clips:
        upward = layout.to_vrm(clip.directions)[:, layout.index(spine, "neck"), 1]
        assert (upward > 0.8).all()


def test_the_rule_made_corpus(tmp_path: Path) -> None:
    """A sequence as `training.corpus` describes it, by hand."""
    rng = np.random.default_rng(0)
    plans = rng.normal(size=(3, 900, 45, 3))
    plans = (plans / np.linalg.norm(plans, axis=-1, keepdims=True)).astype(np.float16)
    audio = (rng.normal(size=960_000) * 1000).astype(np.int16)
    (tmp_path / "corpus.json").write_text(json.dumps({"format": FORMAT, "licences": {"x": "y"}}))
    np.savez(
        tmp_path / "0000.npz",
        audio=audio,
        directions=plans,
        word=np.array(["hel", "hello", "world", "there"]),
        word_start=np.array([15, 15, 18, 60], np.int32),
        word_final=np.array([False, True, True, True]),
        style=np.int8(1),
    )
    convert(CorpusSource(folder=tmp_path, skeleton="upper_body"), tmp_path / "store")
    store = Store(tmp_path / "store")
    clips = [store.read(info) for info in store.all_clips]
    got = np.concatenate([clip.directions for clip in clips])
    np.testing.assert_array_equal(got, plans[2].astype(np.float32))
    np.testing.assert_array_equal(np.concatenate([clip.audio for clip in clips]), audio)
    words = [(w.text, round(w.start_s, 3), round(w.end_s, 3)) for w in clips[0].words]
    assert words == [("hello", 1.0, 1.2), ("world", 1.2, 1.6), ("there", 4.0, 4.4)]
    assert store.speakers == ("style1",)
    (tmp_path / "corpus.json").write_text('{"format": 0}')
    with pytest.raises(InputError, match="format 0"):
        convert(CorpusSource(folder=tmp_path, skeleton="upper_body"), tmp_path / "other")


# Recordings of one's own


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for number, name in enumerate(("ann/first", "ann/second", "ben/third", "ben/fourth")):
        write_recording(folder / Path(name).parent, Path(name).name, seed=number, seconds=6)
    return folder


@pytest.fixture(scope="module")
def converted(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`recordings` as a store, by one process that nothing interrupted."""
    folder = tmp_path_factory.mktemp("converted")
    convert(source(recordings), folder)
    return folder


def test_a_folder_of_recordings(recordings: Path, tmp_path: Path) -> None:
    options = ["--test-speakers", "ben", "--licence", "CC0-1.0", "--jobs", "2"]
    assert main(["convert", "bvh", str(recordings), "-o", str(tmp_path / "s"), *options]) == 0
    store = Store(tmp_path / "s")
    whole(tmp_path / "s")
    assert store.speakers == ("ann",)
    assert {c.speaker_name for c in store.clips("test")} == {"ben"}
    assert store.manifest.settings.licence == "CC0-1.0"
    assert store.manifest.totals["windows"]["kept"] >= 12
    window = store.windows("train")[0]
    assert [w.text for w in window.words][:2] == ["worda", "wordb"]
    assert np.abs(window.audio).max() > 0.2  # 24 kHz stereo became 16 kHz mono
    summary = (tmp_path / "s" / "summary.png").read_bytes()
    assert summary.startswith(b"\x89PNG")


def test_several_processes_write_what_one_does(
    recordings: Path, converted: Path, tmp_path: Path
) -> None:
    two = convert(source(recordings), tmp_path, jobs=2)
    assert two.to_json() == Store(converted).manifest.to_json()


def test_files_find_each_other(tmp_path: Path) -> None:
    """By name anywhere; by folder and name where a name recurs."""
    for name in (
        "motion/a.bvh", "sound/a.wav", "text/a.words.json",
        "ann/take.bvh", "ann/take.wav", "ann/take.tsv", "ben/take.bvh", "ben/take.flac",
        "lonely.wav",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = {
        r.name: [Path(p).relative_to(tmp_path).as_posix() if p else "" for p in r.place]
        for r in source(tmp_path).recordings()
    }
    assert found == {
        "a": ["motion/a.bvh", "sound/a.wav", "text/a.words.json"],
        "ann/take": ["ann/take.bvh", "ann/take.wav", "ann/take.tsv"],
        "ben/take": ["ben/take.bvh", "ben/take.flac", ""],
    }


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of every kind of badness, converted, one good one among them."""
    folder = tmp_path_factory.mktemp("spoilt")
    for name in (
        "good", "nan", "channel", "late_words", "short_audio", "no_audio", "no_words",
        "bad_words", "tiny", "nan_audio", "cut_off", "no_hand",
    ):  # fmt: skip
        write_recording(folder, name, seconds=2.0 if name == "tiny" else 7.0)

    def edit(name: str, old: str, new: str, count: int = -1) -> None:
        path = folder / name
        path.write_text(path.read_text("utf-8").replace(old, new, count), "utf-8")

    lines = (folder / "nan.bvh").read_text("utf-8").splitlines()
    lines[-60] = lines[-60].replace("0.0000", "nan", 1)
    (folder / "nan.bvh").write_text("\n".join(lines), "utf-8")
    edit("channel.bvh", "3 Zrotation Xrotation Yrotation", "2 Zrotation Xrotation", 1)
    with (folder / "late_words.tsv").open("a") as file:
        file.write("\n7.6\t7.9\tlate\n-3.0\t-2.5\tearly")
    samples, rate = soundfile.read(folder / "short_audio.wav")
    soundfile.write(folder / "short_audio.wav", samples[: 3 * rate], rate)
    (folder / "no_audio.wav").unlink()
    (folder / "no_words.tsv").unlink()
    (folder / "bad_words.tsv").write_text("no table of words", "utf-8")
    samples[100] = np.nan
    soundfile.write(folder / "nan_audio.wav", samples, rate, subtype="FLOAT")
    text = (folder / "cut_off.bvh").read_text("utf-8")
    (folder / "cut_off.bvh").write_text(text[: len(text) * 2 // 3], "utf-8")
    edit("no_hand.bvh", "JOINT LeftHand\n", "JOINT Flipper\n")
    convert(source(folder), folder / "store", jobs=2)
    return folder / "store"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("nan", r"motion is not finite \(NaN\) at frame \d+, [45]\.\d\d s; the clip is left out"),
        ("channel", "a channel is missing"),
        ("late_words", r"2 of 14 words lie outside of the audio's 7\.0 s.*'late' at 7\.60"),
        ("short_audio", r"audio lasts 3\.0 s and motion 7\.0 s"),
        ("no_audio", "audio is missing: expected no_audio with one of .wav"),
        ("no_words", "file of words is missing.*--min-words 0"),
        ("bad_words", r"bad_words\.tsv: not words with times"),
        ("tiny", r"2\.0 s long, a window needs 2\.8 s"),
        ("nan_audio", r"nan_audio\.wav: audio is not finite"),
        ("cut_off", r"cut_off\.bvh: \d+ numbers of motion"),
        ("no_hand", "no joint is recognised as leftHand; name them in a map file"),
    ],
)
def test_what_is_wrong_is_named(spoilt: Path, part: str, said: str) -> None:
    assert re.search(said, problems(spoilt)[part]), problems(spoilt)[part]


def test_the_rest_is_converted_and_nothing_half_written_left(spoilt: Path) -> None:
    whole(spoilt)
    store = Store(spoilt)
    assert set(problems(spoilt)) == {
        "nan", "channel", "late_words", "short_audio", "no_audio", "no_words", "bad_words",
        "tiny", "nan_audio", "cut_off", "no_hand",
    }  # fmt: skip
    kept = {info.name: store.read(info) for info in store.all_clips}
    assert set(kept) == {"good", "late_words", "no_words"}
    assert "late" not in [w.text for w in kept["late_words"].words]
    assert [REASONS[i] for i in kept["no_words"].reasons] == ["few words"] * 7
    assert len(list((spoilt / "shards").iterdir())) == 3


def test_a_clip_with_nan_leaves_the_other_clips_of_its_take(tmp_path: Path) -> None:
    write_recording(tmp_path / "in", "take", seconds=12)
    path = tmp_path / "in" / "take.bvh"
    lines = path.read_text("utf-8").splitlines()
    lines[-20] = lines[-20].replace("0.0000", "nan", 1)
    path.write_text("\n".join(lines), "utf-8")
    convert(source(tmp_path / "in", clip_s=4.0), tmp_path / "store")
    kept = [c.name for c in Store(tmp_path / "store").all_clips]
    assert len(kept) >= 2
    assert [*kept, *problems(tmp_path / "store")] == [f"take/{i}" for i in range(len(kept) + 1)]


def test_what_was_mended_is_converted_the_next_time(tmp_path: Path) -> None:
    write_recording(tmp_path / "in", "a", seconds=5)
    write_recording(tmp_path / "in", "b", seconds=5)
    wav = (tmp_path / "in" / "b.wav").read_bytes()
    (tmp_path / "in" / "b.wav").unlink()
    convert(source(tmp_path / "in"), tmp_path / "store")
    first = (tmp_path / "store" / "shards" / "a.safetensors").stat()
    (tmp_path / "in" / "b.wav").write_bytes(wav)
    manifest = convert(source(tmp_path / "in"), tmp_path / "store")
    assert manifest.totals["clips"]["train"] == 2
    assert not problems(tmp_path / "store")
    again = (tmp_path / "store" / "shards" / "a.safetensors").stat()
    assert again.st_mtime_ns == first.st_mtime_ns  # not converted again


def test_nothing_usable_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recording(tmp_path / "in", "a", seconds=5)
    (tmp_path / "in" / "a.wav").unlink()
    assert main(["convert", "bvh", str(tmp_path / "in"), "-o", str(tmp_path / "store")]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert "nothing could be kept" in said
    assert "the audio is missing" in said
    assert not (tmp_path / "store" / MANIFEST).exists()


def test_an_empty_split_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recording(tmp_path / "in", "a", seconds=5)
    assert main(["convert", "bvh", str(tmp_path / "in"), "-o", str(tmp_path / "store")]) == 0
    assert "split 'val' is empty" in capsys.readouterr().out


def test_a_full_disk(
    recordings: Path, converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last shard finds no room: what was done stays, and the same command goes on."""
    real, calls = os.fsync, list[int]()

    def fsync(handle: int) -> None:
        name = os.readlink(f"/proc/self/fd/{handle}") if os.path.isdir("/proc/self/fd") else ""
        calls.append(handle)
        if "third" in name or (not name and len(calls) == 8):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(shards_module.os, "fsync", fsync)
    with pytest.raises(InputError, match=r"cannot be written \(No space left.*after 3 of 4"):
        convert(source(recordings), tmp_path / "store")
    monkeypatch.undo()
    assert not list((tmp_path / "store").rglob("*.part"))
    assert len(list((tmp_path / "store" / "shards").iterdir())) == 3
    assert not (tmp_path / "store" / MANIFEST).exists()
    resumed = convert(source(recordings), tmp_path / "store")
    whole(tmp_path / "store")
    assert resumed.to_json() == Store(converted).manifest.to_json()


KILLED = """
import os, signal, sys
from pathlib import Path
from training.convert.pipeline import convert
from training.convert.planned import CorpusSource
from training.convert.recorded import RecordedSource
from training.store import shards

real, count = os.fsync, 0
def fsync(handle):
    # in the middle of the third shard: its .part is on the disk
    global count
    count += 1
    if count == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
shards.os.fsync = fsync
source = RecordedSource(folder=Path(sys.argv[1]), kind="bvh", skeleton="upper_body")
convert(source, Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_killed_in_the_middle_and_resumed(
    recordings: Path, converted: Path, tmp_path: Path
) -> None:
    """By SIGKILL while a shard was being written; then as if nothing had happened."""
    store = tmp_path / "store"
    command = [sys.executable, "-c", KILLED, str(recordings), str(store), "6"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()
    assert len(list(store.rglob("*.part"))) == 1
    before = {p.name: p.stat().st_mtime_ns for p in (store / "shards").glob("*.safetensors")}
    assert len(before) == 2
    resumed = convert(source(recordings), store)
    whole(store)
    after = {p.name: p.stat().st_mtime_ns for p in (store / "shards").glob("*.safetensors")}
    assert before.items() <= after.items()
    assert resumed.to_json() == Store(converted).manifest.to_json()


# Parts


def test_cuts_lie_in_the_widest_pause() -> None:
    def words(*spans: tuple[float, float]) -> tuple[Word, ...]:
        return tuple(Word(text="w", start_s=a, end_s=b) for a, b in spans)

    spoken = words((0, 1), (1.5, 7), (7.2, 8), (9, 9.5), (9.6, 20))
    ends = cut_points(spoken, 300, 10.0)
    assert ends[0] == 128  # the middle of 8 to 9 s, not of the narrower pauses
    assert ends[-1] == 300
    assert max(b - a for a, b in zip([0, *ends], ends, strict=False)) <= 192
    assert cut_points((), 1000, 10.0) == [150, 300, 450, 600, 750, 900, 1000]
    assert cut_points((), 160, 10.0) == [160]  # ten frames would be no clip
    assert cut_points((), 100, 10.0) == [100]


def test_audio_of_any_rate_becomes_16_khz_mono(tmp_path: Path) -> None:
    at = np.arange(48_000 * 2) / 48_000
    tone = np.stack([0.5 * np.sin(2 * np.pi * 440 * at), np.zeros_like(at)], 1)
    soundfile.write(tmp_path / "a.flac", tone, 48_000)
    got = read_audio(tmp_path / "a.flac")
    assert got.dtype == np.int16
    assert len(got) == 32_000
    want = 0.25 * 32768 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
    np.testing.assert_allclose(got[1000:-1000], want[1000:-1000], atol=40)
    (tmp_path / "b.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(InputError, match=r"b\.wav: not an audio file"):
        read_audio(tmp_path / "b.wav")
    soundfile.write(tmp_path / "c.wav", np.zeros((0, 1)), 16_000)
    with pytest.raises(InputError, match="empty"):
        read_audio(tmp_path / "c.wav")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ted-gesture", "{in}", "--min-words", "1"], "--min-words does not apply"),
        (["bvh", "{in}", "--clip-seconds", "1"], "a window needs 2.8"),
        (["bvh", "{in}", "--jobs", "0"], "--jobs"),
        (["bvh", "{in}", "--min-words", "-1"], "--min-words"),
        (["bvh", "{in}/nowhere"], "no such folder"),
        (["beat2", "{in}"], "no recordings of kind beat2"),
        (["smartbody", "{in}"], "no performers"),
        (["corpus", "{in}"], "no corpus"),
        (["corpus", "{in}", "--map", "m.json"], "--map does not apply"),
    ],
)
def test_bad_use_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    filled = [a.replace("{in}", str(tmp_path)) for a in arguments]
    assert main(["convert", *filled, "-o", str(tmp_path / "store")]) == 2
    assert said in capsys.readouterr().err


def test_a_store_of_other_settings_is_refused(recordings: Path, converted: Path) -> None:
    with pytest.raises(UsageError, match="clip_s"):
        convert(source(recordings, clip_s=5.0), converted)
    Store(converted).verify()  # and it is as it was
