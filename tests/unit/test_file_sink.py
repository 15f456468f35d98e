import json
import os
from pathlib import Path

import numpy as np
import pytest

from streamer.engine import Engine
from streamer.errors import UsageError
from streamer.session import Session, SessionOptions
from streamer.sinks.file import open_recording
from streamer.types import Event, SkeletonFrame, WordEvent
from streamer.wire import Layout, decode_event, decode_frame_json, decode_hello
from tests.fakes import NumpyBackend, Unturned, chunks, voice


async def record(paths: list[Path], seconds: float) -> tuple[Session, list[SkeletonFrame | Event]]:
    engine = Engine(NumpyBackend, retarget=Unturned)
    session = engine.open_session(SessionOptions(lookahead=0))
    sinks = [open_recording(path, session.hello) for path in paths]
    session.push_word(WordEvent(text="hello", start=3_000, end=5_000))
    items: list[SkeletonFrame | Event] = []
    for chunk in chunks(voice(seconds)):
        await session.feed_audio(chunk)
    await session.finish()
    async for item in session.items():
        items.append(item)
        for sink in sinks:
            await (sink.event(item) if isinstance(item, Event) else sink.send(item))
    for sink in sinks:
        await sink.aclose()
    await engine.aclose()
    return session, items


async def test_jsonl_is_a_hello_and_then_everything_as_on_the_wire(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    session, items = await record([path], 4.0)
    first, *lines = path.read_text("utf-8").splitlines()
    hello = decode_hello(first)
    assert hello.model == "tiny"
    assert len(lines) == len(items)
    for seq_line, item in zip(lines, items, strict=True):
        if isinstance(item, Event):
            assert decode_event(seq_line) == item
            continue
        got = decode_frame_json(seq_line, Layout.of(hello))
        assert (got.index, got.sample, got.state) == (item.index, item.sample, item.state)
        # wire.DECIMALS: five decimals
        np.testing.assert_allclose(got.directions, item.directions, atol=6e-6)
        np.testing.assert_allclose(got.positions, item.positions, atol=6e-6)
    seqs = [json.loads(line)["seq"] for line in lines if '"frame"' in line]
    assert seqs == list(range(60))
    assert session.stats().frames == 60


async def test_npz_holds_every_frame_exactly(tmp_path: Path) -> None:
    path = tmp_path / "out.npz"
    _, items = await record([path], 2.0)
    frames = [i for i in items if isinstance(i, SkeletonFrame)]
    with np.load(path, allow_pickle=False) as data:
        for key in ("positions", "rotations", "directions", "root"):
            np.testing.assert_array_equal(data[key], [getattr(f, key) for f in frames])
        np.testing.assert_array_equal(data["sample"], [f.sample for f in frames])
        assert data["fps"] == 15
        assert list(data["bone_names"])[:2] == ["hips", "spine"]
        assert len(data["joint_names"]) == data["positions"].shape[1]
        assert data["positions"].dtype == np.float32
    assert os.listdir(tmp_path) == ["out.npz"], "nothing else is left behind"


async def test_a_recording_without_frames_is_whole(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "a.npz"]
    await record(paths, 0.0)
    assert len(paths[0].read_text().splitlines()) == 1
    with np.load(paths[1]) as data:
        assert data["rotations"].shape == (0, 44, 4)


@pytest.mark.parametrize("suffix", [".jsonl", ".npz"])
def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path, suffix: str) -> None:
    def hello() -> None:
        raise AssertionError("nothing has started")

    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    for path in (tmp_path / "nowhere" / f"x{suffix}", folder):
        with pytest.raises(UsageError, match=r"--record .* cannot be written"):
            open_recording(path, hello)  # type: ignore[arg-type]


def test_other_formats_are_refused(tmp_path: Path) -> None:
    for name in ("x.fbx", "x"):
        with pytest.raises(UsageError, match=r"\.jsonl, \.npz, \.bvh, \.vrma or \.mp4"):
            open_recording(tmp_path / name, lambda: pytest.fail("no hello"))


async def test_an_old_recording_survives_until_a_new_one_is_there(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.npz"):
        path = tmp_path / name
        path.write_bytes(b"old")
        open_recording(path, lambda: pytest.fail("no hello"))
        assert path.read_bytes() == b"old"
    assert not (tmp_path / "a.npz.part").exists()
