import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from streamer.errors import InputError
from streamer.recordings import reading
from streamer.recordings.reading import read_recording
from streamer.recordings.take import Take
from streamer.sinks.file import open_recording
from streamer.types import Event
from tests.takes import frame, hello, take


async def recorded(path: Path, source: Take) -> Path:
    sink = open_recording(path, hello)
    for n in range(len(source.sample)):
        await sink.send(frame(source, n))
        await sink.event(Event(kind="word", sample=int(source.sample[n]), data={"text": "so"}))
    await sink.aclose()
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".npz"])
async def test_what_was_recorded_is_read_back(tmp_path: Path, suffix: str) -> None:
    source = take(20, without=(4,))
    recording = read_recording(await recorded(tmp_path / f"a{suffix}", source))
    np.testing.assert_array_equal(recording.take.sample, source.sample)
    tolerance = 0 if suffix == ".npz" else 6e-6  # five decimals
    for name in ("rotations", "root", "positions", "directions"):
        got, want = getattr(recording.take, name), getattr(source, name)
        np.testing.assert_allclose(got, want, atol=tolerance)
        assert not got.flags.writeable
    assert recording.take.hello.fps == 15
    assert len(recording.states) == 19
    if suffix == ".jsonl":
        assert recording.states[3] == "speaking"
        assert len(recording.events) == 19
    again = recording.frame(3, at=5.0)
    assert (again.index, again.sample) == (3, int(source.sample[3]))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.npz", b"", "no recording of ours, or damaged"),
        ("a.npz", b"PK\x03\x04 nonsense", "no recording of ours, or damaged"),
        ("a.npz", pickle.dumps({"a": 1}), "no recording of ours, or damaged"),
        ("a.jsonl", b"", "line 1"),
        ("a.jsonl", b"{}\n", "line 1"),
        ("a.jsonl", b"\xff\xfe\n", "not UTF-8"),
        ("a.jsonl", b"[" * 300_000, "longer than 256 kB"),
        ("a.jsonl", b"[" * 200_000 + b"\n", "line 1"),
        ("a.wav", b"RIFF", "can be replayed are .jsonl and .npz"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        read_recording(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_recording(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rotations": np.full((5, 44, 4), np.nan, np.float32)}, "NaN or infinite"),
        ({"rotations": np.zeros((5, 44, 4), np.float32)}, "rotations that are none"),
        ({"rotations": np.zeros((5, 43, 4), np.float32)}, "expected"),
        ({"rotations": np.array(["x"])}, "expected"),
        ({"sample": np.array([5, 4, 3, 2, 1])}, "do not grow"),
        ({"sample": np.arange(5) * 10**17}, "a year away"),
        ({"bone_names": np.array(["hips"] * 44)}, "other bones"),
        ({"fps": np.float64(np.nan)}, "frames a second"),
        ({"root": None}, "no 'root"),
    ],
)
async def test_npz_that_was_tampered_with(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = await recorded(tmp_path / "a.npz", take(5))
    with np.load(path) as data:
        arrays = {**data, **change}
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(InputError, match=said):
        read_recording(path)


async def test_an_archive_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sample.npy", b"\0" * 3_000_000)
    monkeypatch.setattr(reading, "MAX_BYTES", 1 << 20)
    with pytest.raises(InputError, match="unpacked"):
        read_recording(path)


async def test_jsonl_lines_that_do_not_fit(tmp_path: Path) -> None:
    path = await recorded(tmp_path / "a.jsonl", take(3))
    lines = path.read_text("utf-8").splitlines()
    message = json.loads(lines[1])
    for key, value, said in (
        ("rotations", [0.0] * 4, "line 2"),
        ("positions", None, "line 2"),
        ("sample", -1, "line 2"),
    ):
        broken = json.dumps({**message, key: value})
        path.write_text("\n".join([lines[0], broken, *lines[2:]]) + "\n", "utf-8")
        with pytest.raises(InputError, match=said):
            read_recording(path)


async def test_a_recording_without_frames_has_nothing_to_replay(tmp_path: Path) -> None:
    for suffix in (".npz", ".jsonl"):
        with pytest.raises(InputError, match="holds no frame"):
            read_recording(await recorded(tmp_path / f"a{suffix}", take(0)))
