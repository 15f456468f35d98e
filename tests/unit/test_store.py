"""The store: what is written is read, whole or not at all, and windows are the papers'."""

import errno
import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import InputError, UsageError
from streamer.skeleton import load_skeleton
from training.store import shards as shards_module
from training.store.example import example_clip, write_example
from training.store.manifest import JOURNAL, MANIFEST, StoreSettings
from training.store.reader import Store
from training.store.shards import shard_name, write_shard
from training.store.types import Clip, Word
from training.store.vocabulary import EOS, SOS, UNK, word_list, word_rows
from training.store.windows import WindowSizes, window_begins, words_between
from training.store.writer import StoreWriter, UnitResult, assign_splits

SETTINGS = StoreSettings(kind="test", source="here", skeleton="ted_gesture")
GESTURE = load_skeleton("ted_gesture")


def clip(name: str, *, seconds: float = 6.0, seed: int = 0, speaker: str = "a") -> Clip:
    return example_clip(name, speaker, GESTURE, seconds, np.random.default_rng(seed))


def result(writer: StoreWriter, unit: str, *clips: Clip) -> UnitResult:
    return UnitResult(unit=unit, stamp="1", entry=write_shard(writer.shards, unit, clips))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("example")
    write_example(folder, skeleton="ted_gesture", recordings=6, seconds=6.0)
    return Store(folder)


def test_clips_come_back_bit_for_bit(tmp_path: Path) -> None:
    written = [clip("one", seed=1), clip("two", seed=2, speaker="b"), clip("three", seed=3)]
    half = replace(written[2], audio=(written[2].audio / 32768).astype(np.float16))
    writer = StoreWriter(tmp_path, SETTINGS)
    writer.record(result(writer, "first", *written[:2]))
    writer.record(result(writer, "second", half))
    writer.finish(["first", "second"])
    store = Store(tmp_path)
    store.verify()
    for info, want in zip(store.all_clips, [*written[:2], half], strict=True):
        got = store.read(info)
        assert (got.name, got.speaker, got.words) == (want.name, want.speaker, want.words)
        for name in ("audio", "mel", "directions", "valid", "reasons"):
            array = getattr(got, name)
            np.testing.assert_array_equal(array, getattr(want, name))
            assert array.dtype == getattr(want, name).dtype


def test_sizes_are_the_papers() -> None:
    """ha2g.md 1.2."""
    assert WindowSizes.of(34) == WindowSizes(frames=34, samples=36267, columns=70)
    assert WindowSizes.of(42) == WindowSizes(frames=42, samples=44800, columns=86)


def test_windows_by_hand(example: Store) -> None:
    """Against slices computed here as ha2g.md 1.5 says, for every window of the split."""
    windows = example.windows("train")
    assert len(windows) == sum(len(info.kept) for info in example.clips("train"))
    place = 0
    for info in example.clips("train"):
        whole = example.read(info)
        length, samples, columns = len(whole.directions), len(whole.audio), len(whole.mel)
        for begin in range(0, (length - 42) // 10 * 10 + 1, 10):
            window = windows[place]
            place += 1
            at = math.floor(begin / length * samples)
            audio = whole.audio[at : at + 36267].astype(np.float32) / 32768
            audio = np.pad(audio, (0, 36267 - len(audio)), mode="symmetric")
            np.testing.assert_array_equal(window.audio, audio)
            at = math.floor(begin / length * columns)
            mel = whole.mel[at : at + 70].astype(np.float32)
            mel = np.pad(mel, ((0, 70 - len(mel)), (0, 0)), mode="symmetric")
            np.testing.assert_array_equal(window.mel, mel.T)
            np.testing.assert_array_equal(window.directions, whole.directions[begin : begin + 34])
            inside = [
                w for w in whole.words if begin / 15 < w.end_s and w.start_s < begin / 15 + 34 / 15
            ]
            assert [w.text for w in window.words] == [w.text for w in inside]
            for word, source in zip(window.words, inside, strict=True):
                assert word.start_s == pytest.approx(source.start_s - begin / 15)
    assert place == len(windows)


def test_long_crops_and_ends_that_are_mirrored(example: Store) -> None:
    info = example.clips("val")[0]
    whole = example.crop(info, 0, info.length)
    assert len(whole.directions) == info.length
    assert len(whole.audio) == round(info.length / 15 * 16000)
    tail = example.crop(info, info.length - 30, 30)
    np.testing.assert_array_equal(tail.directions, whole.directions[-30:])
    with pytest.raises(UsageError, match="frames"):
        example.crop(info, info.length - 10, 30)


def test_dropped_windows_are_not_read(tmp_path: Path) -> None:
    one = clip("one", seconds=8)
    reasons = np.array([0, 4, 0, 1, 0, 0, 0, 2], np.uint8)
    assert len(window_begins(one.frames)) == len(reasons)
    writer = StoreWriter(tmp_path, SETTINGS)
    writer.record(result(writer, "u", replace(one, reasons=reasons)))
    writer.finish(["u"])
    store = Store(tmp_path)
    assert store.clips("train")[0].kept == (0, 20, 40, 50, 60)
    assert [w.begin for w in store.windows("train")] == [0, 20, 40, 50, 60]
    assert [w.begin for w in store.windows("train", stride=30)] == [0, 60]
    with pytest.raises(UsageError, match="stride"):
        store.windows("train", stride=7)


def test_a_store_goes_to_other_processes(example: Store) -> None:
    windows = example.windows("train")
    copy = pickle.loads(pickle.dumps(windows))
    assert len(copy) == len(windows)
    np.testing.assert_array_equal(copy[5].audio, windows[5].audio)


def test_constants_are_those_of_the_training_split(example: Store) -> None:
    rows = [example.read(info).directions for info in example.clips("train")]
    np.testing.assert_allclose(
        example.skeleton.mean, np.concatenate(rows).mean(0, dtype=np.float64), atol=1e-6
    )
    (a, b), pair = example.angles.pairs[0], 0
    angles = [
        np.arccos(np.clip((d[:, a] * d[:, b]).sum(-1), -1, 1)) / np.pi
        for d in (r / np.linalg.norm(r, axis=-1, keepdims=True) for r in rows)
    ]
    assert example.angles.mean[pair] == pytest.approx(np.concatenate(angles).mean(), rel=1e-4)
    variance = np.concatenate(angles).var(ddof=1)
    assert example.angles.variance[pair] == pytest.approx(variance, rel=1e-3)
    change = np.concatenate([np.abs(np.diff(x)) for x in angles]).mean()
    assert example.angles.change[pair] == pytest.approx(change, rel=1e-3)


def test_words_become_rows_as_the_papers_lay_them_out() -> None:
    """ha2g.md 1.6: the onset frame alone, frame 0 for one begun before, the later overwrites."""

    def word(text: str, start: float) -> Word:
        return Word(text=text, start_s=start, end_s=start + 0.2)

    index = {"one": 4, "two": 5, "three": 6}
    spoken = (
        word("one", -0.1), word("two", 0.30), word("three", 0.32),
        word("strange", 1.0), word("one", 2.27),
    )  # fmt: skip
    rows = word_rows(spoken, 34, index)
    assert {int(i): int(rows[i]) for i in np.flatnonzero(rows)} == {0: 4, 4: 6, 15: UNK}
    assert word_list(spoken[:2], index).tolist() == [SOS, 4, 5, EOS]


def test_words_of_a_stretch_stop_at_the_first_that_begins_after_it() -> None:
    words = [
        Word(text=t, start_s=a, end_s=b) for t, a, b in (("a", 0, 1), ("b", 2, 3), ("c", 1, 2))
    ]
    assert [w.text for w in words_between(words, 0.5, 1.5)] == ["a"]
    assert words_between(words, 0.5, 1.5)[0].start_s == -0.5


def test_splits() -> None:
    def rows(n: int, split: str | None = None) -> list[dict[str, object]]:
        return [{"name": f"c{i}", "speaker": f"s{i % 3}", "split": split} for i in range(n)]

    def counts(splits: dict[str, str]) -> tuple[int, int, int]:
        found = list(splits.values())
        return found.count("train"), found.count("val"), found.count("test")

    assert counts(assign_splits(rows(25), SETTINGS)) == (21, 2, 2)
    assert assign_splits(rows(25), SETTINGS)["c18"] == "val"
    assert assign_splits(rows(25), SETTINGS)["c19"] == "test"
    assert counts(assign_splits(rows(5), SETTINGS)) == (3, 1, 1)
    assert counts(assign_splits(rows(2), SETTINGS)) == (2, 0, 0)
    assert counts(assign_splits(rows(4, "test"), SETTINGS)) == (0, 0, 4)
    by_speaker = replace(SETTINGS, val_speakers=("s1",), test_speakers=("s2",))
    assert counts(assign_splits(rows(9), by_speaker)) == (3, 3, 3)
    with pytest.raises(InputError, match="one name"):
        assign_splits([*rows(2), *rows(1)], SETTINGS)


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, SETTINGS)
    writer.record(result(writer, "u", clip("one")))
    writer.finish(["u"])
    with pytest.raises(InputError, match="split 'val' is empty"):
        Store(tmp_path).windows("val")


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """Also with a journal line that was half written, and a shard that was."""
    writer = StoreWriter(tmp_path, SETTINGS)
    writer.record(result(writer, "first", clip("one")))
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"unit": "second", "st')
    (tmp_path / "shards" / "second.safetensors.part").write_bytes(b"half")
    with pytest.raises(InputError, match="has not finished"):
        Store(tmp_path)
    again = StoreWriter(tmp_path, SETTINGS)
    assert not again.pending("first", "1")
    assert again.pending("first", "changed")
    assert again.pending("second", "1")
    assert not list(tmp_path.rglob("*.part"))
    again.record(result(again, "second", clip("two", seed=2)))
    again.finish(["first", "second"])
    assert [c.name for c in Store(tmp_path).all_clips] == ["one", "two"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [MANIFEST, "shards", "vocabulary.json"]


def test_a_store_mirrors_its_source(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path, SETTINGS)
    for number, unit in enumerate(("a", "b")):
        writer.record(result(writer, unit, clip(unit, seed=number)))
    writer.finish(["a", "b"])
    again = StoreWriter(tmp_path, SETTINGS)
    assert not again.pending("a", "1")
    again.finish(["b"])
    assert [c.name for c in Store(tmp_path).all_clips] == ["b"]
    assert [p.name for p in (tmp_path / "shards").iterdir()] == [shard_name("b")]


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = StoreWriter(tmp_path, SETTINGS)
    writer.record(result(writer, "first", clip("one")))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shards_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        result(writer, "second", clip("two"))
    monkeypatch.undo()
    assert [p.name for p in (tmp_path / "shards").iterdir()] == [shard_name("first")]
    assert not StoreWriter(tmp_path, SETTINGS).pending("first", "1")


def test_damage_is_named(tmp_path: Path) -> None:
    write_example(tmp_path, skeleton="ted_gesture", recordings=2, seconds=4)
    shard = next((tmp_path / "shards").iterdir())
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"SHA-256"):
        Store(tmp_path).verify()
    shard.write_bytes(content[:-1])
    with pytest.raises(InputError, match="bytes"):
        Store(tmp_path)
    shard.unlink()
    with pytest.raises(InputError, match="is missing"):
        Store(tmp_path)
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        Store(tmp_path)
    with pytest.raises(InputError, match="no store"):
        Store(tmp_path / "shards")


def test_other_settings_and_other_folders_are_refused(tmp_path: Path) -> None:
    StoreWriter(tmp_path / "store", SETTINGS)
    with pytest.raises(UsageError, match="min_words 2, not 3"):
        StoreWriter(tmp_path / "store", replace(SETTINGS, min_words=3))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        StoreWriter(tmp_path / "mine", SETTINGS)


def test_clips_that_contradict_themselves_are_not_written(tmp_path: Path) -> None:
    good = clip("one")
    broken = good.directions.copy()
    broken[3, 2, 1] = np.nan
    for bad, said in (
        (replace(good, directions=broken), "not finite"),
        (replace(good, valid=good.valid[1:]), "valid"),
        (replace(good, audio=good.audio.astype(np.float32)), "audio is float32"),
        (replace(good, mel=good.mel[:, 1:]), "mel"),
    ):
        with pytest.raises(InputError, match=said):
            write_shard(tmp_path, "u", [bad])
    assert not list(tmp_path.iterdir())


def test_names_of_shards_fit_every_file_system() -> None:
    assert shard_name("2_scott_0_1_1") == "2_scott_0_1_1.safetensors"
    names = [shard_name(u) for u in ("train/0001", "train_0001", "TRAIN_0001", "a:b*?", "CON" * 60)]
    assert len({name.lower() for name in names}) == len(names)
    assert all(len(name) < 120 and not set('/\\:*?"<>|') & set(name) for name in names)


def test_the_manifest_says_it_all(example: Store) -> None:
    data = json.loads((example.folder / MANIFEST).read_text("utf-8"))
    assert data["format"] == 1
    assert (data["fps"], data["sample_rate"]) == (15, 16000)
    assert data["window"] == {"frames": 34, "seeds": 4, "stride": 10, "cached": 42}
    assert data["settings"]["licence"] == "CC0-1.0"
    assert len(data["shards"]) == 6
    assert all(len(entry["sha256"]) == 64 for entry in data["shards"])
    assert data["totals"]["clips"] == {"train": 10, "val": 1, "test": 1}
    assert example.speakers == ("speaker0", "speaker1")
    assert {info.speaker for info in example.clips("train")} == {1, 2}
    assert list(example.vocabulary)[:4] == ["<PAD>", "<SOS>", "<EOS>", "<UNK>"]
