"""Streaming networks on recordings: decisions read from motion, crops, and the teacher's poses."""

from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models import longform
from models.checkpoint import load_checkpoint
from models.rhythm import Move
from streamer.errors import UsageError
from streamer.skeleton import load_skeleton
from tests.golden_files import one_thread  # noqa: F401  (an autouse fixture)
from training.exporting import export_run
from training.loop.crops import CropSet
from training.loop.runs import load_run
from training.loop.train import Machine, Training
from training.recipe import load_recipe
from training.store.example import write_example
from training.store.reader import Store
from training.systems.base import Batch, System
from training.systems.gestures import CODES, code_table, codes_of, read_gestures
from training.systems.stream import shifted, teacher_poses

CPU = Machine(accelerator="cpu")
FAST = ("batch=2", "log_every=1", "validate_every=0", "keep_every=9", "warm_up=9")


def gesture(frames: int, spans: list[tuple[int, int]]) -> np.ndarray:
    """Arms that hang, rise within 4 frames, stay, and fall; each span has a beat in its middle."""
    skeleton = load_skeleton("upper_body")
    out = np.repeat(skeleton.mean[None], frames, 0).astype(np.float32)
    forearm = skeleton.index("right_elbow", "right_wrist")
    for arm in ("left", "right"):
        for bone in ((f"{arm}_shoulder", f"{arm}_elbow"), (f"{arm}_elbow", f"{arm}_wrist")):
            out[:, skeleton.index(*bone)] = (0, -1, 0)
    for begin, end in spans:
        rise = np.clip(np.minimum(np.arange(frames) - begin, end - 1 - np.arange(frames)) / 4, 0, 1)
        beat = np.where(np.abs(np.arange(frames) - (begin + end) // 2) < 3, 0.6, 0.0)
        angle = rise * (1.4 + beat)
        inside = rise > 0
        out[inside, forearm] = np.stack(
            [np.zeros_like(angle), -np.cos(angle), np.sin(angle)], 1
        ).astype(np.float32)[inside]
    return out


def test_moves_are_read_from_the_arms() -> None:
    read = read_gestures(load_skeleton("upper_body"), gesture(120, [(20, 60), (80, 110)]))
    assert len(read.spans) == 2
    runs = [int(read.move[0])]
    for before, now in pairwise(read.move.tolist()):
        if now != before:
            runs.append(now)
    first = runs[1 : runs.index(int(Move.RETRACT)) + 1]
    assert first[0] == Move.PREPARE
    assert first[-1] == Move.RETRACT
    assert int(Move.RELEASE) in first
    assert first.index(int(Move.RELEASE)) == first.index(int(Move.STROKE)) - 1
    assert Move.HOLD in first
    assert runs[0] == runs[-1] == Move.IDLE
    assert (read.move[:18] == Move.IDLE).all()
    for (begin, end), apex in zip(read.spans, read.apexes, strict=True):
        assert begin <= apex < end
        assert not (read.move[begin:end] == Move.IDLE).any()
    still = read_gestures(load_skeleton("upper_body"), gesture(60, []))
    assert (still.move == Move.IDLE).all()
    assert still.apexes == ()


def test_codes_are_the_coming_gesture_s_nearest_key_pose() -> None:
    skeleton = load_skeleton("upper_body")
    clips = [read_gestures(skeleton, gesture(120, [(20, 60), (80, 110)])) for _ in range(20)]
    table = code_table(clips, seed=1)
    assert table.shape == (CODES, 12)
    np.testing.assert_array_equal(table, code_table(clips, seed=1))
    codes = codes_of(clips[0], table)
    first, second = clips[0].apexes
    assert codes[0] == codes[first]
    assert codes[60 + 5] == codes[second] == codes[-1]
    distance = np.linalg.norm(table[codes[first]] - clips[0].arms[first])
    assert distance == np.linalg.norm(table - clips[0].arms[first], axis=1).min()


def test_rows_show_the_pose_of_lookahead_frames_ago() -> None:
    poses = torch.arange(5.0).view(1, 5, 1).repeat(2, 1, 3)
    got = shifted(poses, torch.tensor([[0], [2]]))
    assert got[0, :, 0].tolist() == [0, 1, 2, 3, 4]
    assert got[1, :, 2].tolist() == [0, 0, 0, 1, 2]


class Counting(System):
    """Draws random poses that depend on its seeds."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Identity())
        self.drawn: list[Tensor] = []

    def generate(self, batch: Batch, draws: dict[str, Tensor]) -> Tensor:
        assert batch["mel"].shape[1:] == (3,)
        poses = torch.randn(len(batch["poses"]), 34, 6) + batch["poses"].mean()
        self.drawn.append(poses)
        return poses


def test_a_teacher_s_windows_are_joined_as_long_clips_are() -> None:
    teacher = Counting()
    batch = cast(
        Batch,
        {
            "poses": torch.randn(2, 94, 6),
            "speaker": torch.tensor([1, 2]),
            "window_mel": torch.zeros(2, 3, 3),
        },
    )
    got = teacher_poses(teacher, batch)
    assert got.shape == (2, 94, 6)
    for row in range(2):
        want = longform.join([window[row].numpy() for window in teacher.drawn])
        np.testing.assert_allclose(got[row].numpy(), want, atol=1e-6)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    write_example(folder, recordings=4, seconds=12)
    return Store(folder)


@pytest.mark.timeout(900)
def test_a_streaming_network_learns_from_recordings_and_a_teacher(
    store: Store, tmp_path: Path
) -> None:
    offline = load_recipe("ha2g/narrow", "upper_body", [*FAST, "steps=1"])
    Training(store, tmp_path / "teacher", offline, CPU).run()
    settings = [*FAST, "steps=2", "data.frames=64", f"network.teacher={tmp_path / 'teacher'}"]
    taught = load_recipe("ha2g_stream", "upper_body", settings)
    training = Training(store, tmp_path / "run", taught, CPU)
    crops = training.windows
    assert isinstance(crops, CropSet)
    item: Any = crops[0, 0]
    ahead = int(item["lookahead"][0])
    assert item["window_mel"].shape == (2, 128, 70)
    assert item["image"].shape[:2] == (64, 2)
    assert not item["known"][:ahead].any()
    seen: list[dict[str, float]] = []
    step = training.step

    def noted(number: int, batch: Batch) -> dict[str, Tensor]:
        terms = step(number, batch)
        seen.append({name: float(value) for name, value in terms.items()})
        return terms

    training.step = noted  # type: ignore[method-assign]
    training.run()
    assert {"pose", "move", "voice", "teacher"} <= set(seen[0])
    assert all(np.isfinite(list(terms.values())).all() for terms in seen)
    run = load_run(tmp_path / "run")
    kept = load_file(tmp_path / "run" / "last.safetensors")
    np.testing.assert_array_equal(kept["codes"].numpy(), crops.codes)
    assert torch.equal(cast(Any, run.system.network).codes, kept["codes"])
    said = export_run(tmp_path / "run", tmp_path / "checkpoint")
    assert "next: python -m export build" in said
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    assert checkpoint.family == "ha2g_stream"
    assert checkpoint.provenance["recipe"]["steps"] == 2
    assert "CC0-1.0" in (tmp_path / "checkpoint" / "MODEL_CARD.md").read_text("utf-8")
    got = cast(Any, checkpoint.network).state_dict()
    assert all(torch.equal(got[name], kept[name]) for name in kept)


def test_only_what_it_is_made_for(store: Store, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_example(other, skeleton="ted_gesture", recordings=3)
    cases = (
        (Store(other), ["data.frames=64"], "convert again with --skeleton upper_body"),
        (store, ["data.frames=60"], "data.frames is 60, expected 34 .* 30"),
        (store, ["network.preset=huge"], "network.preset is 'huge', expected small"),
    )
    for each, changes, message in cases:
        recipe = load_recipe("ha2g_stream", "upper_body", [*FAST, "steps=1", *changes])
        with pytest.raises(UsageError, match=message):
            Training(each, tmp_path / "run", recipe, CPU)
    offline = load_recipe("trimodal", "upper_body", [*FAST, "steps=1", "data.frames=64"])
    with pytest.raises(UsageError, match="trimodal is made for 34"):
        Training(store, tmp_path / "run", offline, CPU)
