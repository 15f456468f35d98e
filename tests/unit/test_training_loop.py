"""The loop on a small store: what a step does, what is kept, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from streamer.errors import ArtifactError, InputError, UsageError
from tests.golden_files import one_thread  # noqa: F401  (an autouse fixture)
from training.loop import saving
from training.loop.average import Average
from training.loop.order import Order, Steps
from training.loop.runs import load_run
from training.loop.saving import Point, read_point, write_point
from training.loop.train import Machine, Training, learning_rate
from training.loop.windows import Reading, WindowSet, arrivals, collate
from training.recipe import Data, Recipe, load_recipe
from training.store.example import write_example
from training.store.reader import Store
from training.store.types import Word

CPU = Machine(accelerator="cpu")
FAST = ("batch=8", "log_every=1", "validate_every=0", "keep_every=1000")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    write_example(folder, skeleton="ted_gesture")
    return Store(folder)


def recipe(name: str, *changes: str) -> Recipe:
    return load_recipe(name, "ted_gesture", [*FAST, *changes])


def train(store: Store, out: Path, wanted: Recipe) -> list[dict[str, Any]]:
    Training(store, out, wanted, CPU).run()
    return rows(out)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]


def losses(log: list[dict[str, Any]]) -> list[dict[str, float]]:
    return [row["loss"] for row in log if "loss" in row]


def test_losses_fall_and_the_weights_come_back(store: Store, tmp_path: Path) -> None:
    log = losses(train(store, tmp_path, recipe("autoencoder", "steps=40", "data.stride=10")))
    assert len(log) == 40
    # measured 0.29 of the first step's
    assert log[-1]["pose"] < 0.6 * log[0]["pose"]
    run = load_run(tmp_path)
    assert (run.which, run.step, run.recipe.system) == ("last", 40, "autoencoder")
    kept = load_file(tmp_path / "last.safetensors")
    state = run.system.network.state_dict()
    assert all(torch.equal(state[name], kept[name]) for name in kept)
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 1


def test_the_gan_waits_for_its_step(store: Store, tmp_path: Path) -> None:
    log = losses(train(store, tmp_path, recipe("ha2g/narrow", "steps=3", "warm_up=2", "batch=4")))
    assert [("judge" in row, "adversarial" in row) for row in log] == [
        (False, False),
        (False, False),
        (True, True),
    ]
    point = read_point(tmp_path)
    assert point is not None
    assert point.parts["judge_optimiser"]["0.step"] == 1
    assert point.parts["optimiser"]["0.step"] == 3


def test_the_discriminator_learns_from_its_own_loss_alone(store: Store, tmp_path: Path) -> None:
    training = Training(store, tmp_path, recipe("speech2gesture", "steps=1", "batch=4"), CPU)
    judge = training.sides.judge
    assert judge is not None
    before = {name: p.detach().clone() for name, p in judge.named_parameters()}
    training.run()
    rate = training.recipe.optimisation.judge_rate
    for name, parameter in judge.named_parameters():
        # Adam's first step is the rate itself, in the direction of the gradient
        moved = (parameter - before[name]).abs().max().item()
        assert moved <= rate * 1.01
        assert parameter.requires_grad
    assert any((p - before[n]).abs().max() > 0.5 * rate for n, p in judge.named_parameters())


def test_a_run_in_two_parts_equals_one(store: Store, tmp_path: Path) -> None:
    settings = ("steps=4", "warm_up=1", "batch=4", "optimisation.ema=0.9")
    whole = losses(train(store, tmp_path / "whole", recipe("ha2g/narrow", *settings)))
    train(store, tmp_path / "parts", recipe("ha2g/narrow", *settings, "steps=2"))
    again = losses(train(store, tmp_path / "parts", recipe("ha2g/narrow", *settings)))
    assert again == whole
    one, two = (load_file(tmp_path / p / "last.safetensors") for p in ("whole", "parts"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_mixed_precision_is_near_full_precision(store: Store, tmp_path: Path) -> None:
    settings = ("steps=2", "batch=4", "dropout=false")
    full = losses(train(store, tmp_path / "full", recipe("trimodal", *settings)))
    settings = (*settings, "precision=bf16")
    mixed = losses(train(store, tmp_path / "mixed", recipe("trimodal", *settings)))
    for a, b in zip(full, mixed, strict=True):
        assert b["regression"] == pytest.approx(a["regression"], rel=0.02)
        assert b["regression"] != a["regression"]


def test_clipping_bounds_the_gradient(store: Store, tmp_path: Path) -> None:
    settings = ("steps=1", "batch=4", "optimisation.clip=0.5")
    training = Training(store, tmp_path, recipe("seq2seq", *settings), CPU)
    training.run()
    gradients = [p.grad for p in training.system.parameters() if p.grad is not None]
    norm = torch.stack([g.norm() for g in gradients]).norm().item()
    assert norm == pytest.approx(0.5, rel=1e-3)


def test_validation_keeps_the_best_and_ends_a_run_that_gets_no_better(
    store: Store, tmp_path: Path
) -> None:
    wanted = recipe("autoencoder", "steps=40", "validate_every=2", "patience=2", "data.stride=10")
    training = Training(store, tmp_path, wanted, CPU)
    scores = iter([0.5, 0.3, 0.4, 0.6, 0.1])
    assert training.validation is not None
    training.validation.run = lambda *_: {"error": next(scores)}  # type: ignore[method-assign]
    assert training.run() == 8
    run = load_run(tmp_path)
    assert (run.which, run.step) == ("best", 4)
    assert load_run(tmp_path, "last").step == 8
    assert Training(store, tmp_path, wanted, CPU).run() == 8  # it has ended, and stays so


def test_validation_is_of_the_averaged_weights_and_leaves_no_trace(
    store: Store, tmp_path: Path
) -> None:
    settings = ("steps=4", "optimisation.ema=0.9", "data.stride=10")
    with_validation = recipe("autoencoder", *settings, "validate_every=2")
    without = train(store, tmp_path / "without", recipe("autoencoder", *settings))
    got = train(store, tmp_path / "with", with_validation)
    assert losses(got) == losses(without)
    errors = [row["validation"]["error"] for row in got if "validation" in row]
    assert len(errors) == 2
    run = load_run(tmp_path / "with", "last")
    held = WindowSet(store, "val", Reading(features=(), data=run.recipe.data, seed=1))
    batch = collate([held[i, i] for i in range(len(held))])
    with torch.no_grad():
        want = (run.system.network(batch["poses"])[0] - batch["poses"]).abs().mean()
    assert errors[-1] == pytest.approx(want.item(), rel=1e-5)


def test_fgd_decides_where_an_auto_encoder_is_given(store: Store, tmp_path: Path) -> None:
    train(store, tmp_path / "fgd", recipe("autoencoder", "steps=4", "data.stride=10"))
    wanted = recipe("seq2seq", "steps=2", "batch=4", "validate_every=1")
    Training(store, tmp_path / "run", wanted, CPU, tmp_path / "fgd").run()
    scores = [r["validation"]["fgd"] for r in rows(tmp_path / "run") if "validation" in r]
    assert len(scores) == 2
    assert load_run(tmp_path / "run").step == 1 + scores.index(min(scores))
    with pytest.raises(UsageError, match="a run of seq2seq, expected autoencoder"):
        Training(store, tmp_path / "other", wanted, CPU, tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_the_run(store: Store, tmp_path: Path) -> None:
    wanted = recipe("autoencoder", "steps=9", "keep_every=1", "data.stride=10")
    training = Training(store, tmp_path, wanted, CPU)
    step = training.step

    def spoilt(number: int, batch: Any) -> dict[str, torch.Tensor]:
        terms = step(number, batch)
        return terms if number < 2 else {**terms, "pose": torch.tensor(math.nan)}

    training.step = spoilt  # type: ignore[method-assign]
    with pytest.raises(InputError, match="step 3: loss term 'pose' is nan"):
        training.run()
    point = read_point(tmp_path)
    assert point is not None
    assert point.step == 2


def test_a_run_is_not_continued_as_another(store: Store, tmp_path: Path) -> None:
    settings = ("steps=1", "data.stride=10")
    train(store, tmp_path, recipe("autoencoder", *settings))
    with pytest.raises(InputError, match=r"another recipe\.batch"):
        train(store, tmp_path, recipe("autoencoder", *settings, "batch=4"))
    other = tmp_path / "other"
    write_example(other, skeleton="ted_gesture", recordings=7)
    with pytest.raises(InputError, match=r"another data\.manifest"):
        train(Store(other), tmp_path, recipe("autoencoder", *settings))


def test_too_few_windows_and_folders_that_are_no_run(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fewer than one batch of 5000; convert more"):
        train(store, tmp_path, recipe("autoencoder", "steps=1", "batch=5000"))
    with pytest.raises(ArtifactError, match=r"no run\.json"):
        load_run(tmp_path)
    with pytest.raises(InputError, match=r"heard\.json: missing; .*transcribe"):
        train(store, tmp_path, recipe("ha2g/asr_text", "steps=1", "network.size=narrow"))


def test_a_full_disk_is_named_and_leaves_the_older_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Point(step=1, state={"best": 1.0}, parts={"network": {"w": torch.ones(3)}})
    write_point(tmp_path, one)

    def full(tensors: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "save_file", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_point(tmp_path, Point(step=2, state={}, parts={}))
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["00000001"]
    got = read_point(tmp_path)
    assert got is not None
    assert torch.equal(got.parts["network"]["w"], torch.ones(3))


def test_points_are_whole_and_the_newest_two_stay(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write_point(tmp_path, Point(step=step, state={}, parts={"a": {"x": torch.zeros(step)}}))
    (tmp_path / "checkpoints" / "00000004.part").mkdir()
    got = read_point(tmp_path)
    assert got is not None
    assert (got.step, len(got.parts["a"]["x"])) == (3, 3)
    left = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert left == ["00000002", "00000003"]
    (tmp_path / "checkpoints" / "00000003" / "tensors.safetensors").write_bytes(b"no")
    with pytest.raises(ArtifactError, match=r"00000003: damaged .*remove it"):
        read_point(tmp_path)


def test_every_window_once_an_epoch_and_each_process_its_rows() -> None:
    order = Order(windows=23, batch=4, seed=7)
    epoch = [index for step in range(5) for index, _ in order.of(step)]
    assert len(set(epoch)) == 20
    assert [index for index, _ in order.of(5)] != epoch[:4]
    assert order.of(3, 0, 2) + order.of(3, 1, 2) == order.of(3)
    steps = Steps(order=order, first=3, end=5)
    assert list(steps) == [order.of(3), order.of(4)]
    assert len(steps) == 2


def test_rates_rise_and_fall() -> None:
    hop = recipe("hop", "steps=1000", "optimisation.warm=10")
    assert learning_rate(hop, 0) == pytest.approx(0.1, rel=1e-3)
    assert learning_rate(hop, 505) == pytest.approx(0.5 + 0.5 * 1e-5 / 4e-4, rel=0.02)
    assert learning_rate(hop, 1000) == pytest.approx(1e-5 / 4e-4)
    encoder = recipe("autoencoder")
    assert [learning_rate(encoder, s) for s in (44_999, 45_000, 90_000)] == [
        1,
        pytest.approx(0.1),
        pytest.approx(0.01),
    ]
    assert learning_rate(recipe("ha2g"), 70_000) == 1


def test_averages_forget_the_start() -> None:
    values = [torch.tensor([float(i)]) for i in range(30)]
    average = Average({"w": values[0]}, 0.9)
    want = 0.0
    for i, value in enumerate(values[1:], 1):
        average.update({"w": value})
        decay = min(0.9, (1 + i) / (10 + i))
        want = decay * want + (1 - decay) * i
    assert average.tensors["w"].item() == pytest.approx(want, rel=1e-5)


WORDS = tuple(Word(text=f"w{i}", start_s=i * 0.3, end_s=i * 0.3 + 0.2) for i in range(2000))


def test_words_arrive_as_a_recogniser_brings_them() -> None:
    vocabulary = ["<PAD>", "<SOS>", "<EOS>", "<UNK>", "other"]
    random = np.random.default_rng(0)
    plain = arrivals(WORDS, Data(), vocabulary, random)
    assert tuple(a.came for a in plain) == tuple(a.spoken for a in plain) == WORDS
    kept = arrivals(WORDS, Data(missing=0.1, errors=0.05), vocabulary, random)
    assert len(kept) == pytest.approx(1800, abs=60)
    assert sum(a.came.text == "other" for a in kept) == pytest.approx(90, abs=35)
    silent = 0
    shifts: list[float] = []
    for _ in range(200):
        late = arrivals(WORDS[:10], Data(delay=True), vocabulary, random)
        silent += not late
        assert list(late) == sorted(late, key=lambda a: a.came.start_s)
        shifts += [a.came.start_s - a.spoken.start_s for a in late]
    assert silent == pytest.approx(30, abs=15)
    assert np.mean(np.abs(shifts) < 1e-9) == pytest.approx(0.2, abs=0.04)
    behind = [s for s in shifts if s > 1e-9]
    assert len(behind) / len(shifts) == pytest.approx(0.5, abs=0.05)
    assert 0.2 <= min(behind)
    assert max(behind) <= 1.5
    assert -1.0 <= min(shifts) < -0.9


def test_the_contrast_hears_words_where_they_were_spoken(store: Store) -> None:
    data = Data(delay=True)
    late = WindowSet(store, "train", Reading(features=("words",), data=data, seed=1))
    plain = WindowSet(store, "train", Reading(features=("words",), data=Data(), seed=1))
    differing = 0
    for i in range(20):
        one, two = late[i, i], plain[i, i]
        np.testing.assert_array_equal(one["words"], two["words"])
        np.testing.assert_array_equal(two["heard"], two["words"])
        differing += not np.array_equal(one["heard"], one["words"])
    assert differing >= 15
    silent = Reading(features=("words", "listed"), data=Data(text="none"), seed=1)
    assert not WindowSet(store, "train", silent)[0, 0]["heard"].any()


def test_less_data_is_fewer_clips_and_evaluation_draws_speakers(store: Store) -> None:
    half = Reading(features=(), data=Data(fraction=0.5), seed=1)
    some = WindowSet(store, "train", half)
    every = WindowSet(store, "train", Reading(features=(), data=Data(), seed=1))

    def clips(windows: WindowSet) -> set[str]:
        return {windows.windows.place(i)[0].name for i in windows.kept}

    assert len(clips(some)) == round(len(clips(every)) / 2)
    assert clips(some) < clips(every)
    drawn = Reading(features=(), data=Data(), seed=1, speakers=2)
    held = WindowSet(store, "val", drawn)
    assert {held[0, i]["speaker"] for i in range(20)} == {1, 2}


def test_word_lists_come_longest_first(store: Store) -> None:
    windows = WindowSet(store, "train", Reading(features=("listed",), data=Data(), seed=1))
    items = [windows[i, i] for i in range(12)]
    batch = collate(items)
    lengths = batch["lengths"].tolist()
    assert lengths == sorted(lengths, reverse=True)
    row = lengths.index(min(lengths))
    assert batch["listed"][row, lengths[row] - 1] == 2
    assert not batch["listed"][row, lengths[row] :].any()
    poses = {tuple(np.round(item["poses"][5, :3], 5)) for item in items}
    assert {tuple(np.round(p[5, :3].numpy(), 5)) for p in batch["poses"]} == poses
