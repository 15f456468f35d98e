"""Training on a tiny corpus: losses fall, a killed run goes on exactly, the result loads."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import families
from models.checkpoint import load_checkpoint
from models.ha2g_stream import Drawn
from models.rhythm import MOVES, true_course
from streamer.errors import InputError
from streamer.skeleton import load_skeleton
from tests.stream_networks import TINY
from training import fit as fitting
from training.dataset import Batch, CorpusTensors, word_rows
from training.fit import FitOptions, fit
from training.losses_stream import LossWeights, StreamLoss, vector_weights

FRAMES = 60


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shards whose motion follows loudness; the presets are tiny."""
    torch.set_num_threads(1)
    monkeypatch.setitem(families.HA2G_PRESETS, "small", TINY)
    folder, random = tmp_path / "corpus", np.random.default_rng(0)
    folder.mkdir()
    mean = load_skeleton("upper_body").mean
    np.savez(folder / "codes.npz", table=random.standard_normal((5, 12)).astype(np.float32))
    np.savez(folder / "rest.npz", mean=mean)
    (folder / "corpus.json").write_text('{"seed": 0}')
    for number in range(3):
        loud = np.sin(np.arange(FRAMES) / 4 + number) > 0
        audio = random.standard_normal(FRAMES * 1067) * np.repeat(loud, 1067) * 3000
        swing = 0.4 * np.convolve(loud, np.ones(4) / 4, "same")
        plan = np.repeat(mean[None], FRAMES, 0)
        plan[:, :, 2] += swing[:, None]
        np.savez(
            folder / f"{number:04d}.npz",
            audio=audio.astype(np.int16),
            directions=np.repeat(plan[None], 3, 0).astype(np.float16),
            code=random.integers(0, 5, FRAMES).astype(np.int16),
            phase=np.where(loud, 3, 0).astype(np.int8),
            released=np.diff(loud, prepend=False) & loud,
            word=np.array(["big"]),
            word_frame=np.array([20], np.int32),
            word_start=np.array([15], np.int32),
            word_final=np.array([True]),
            voiced=loud,
            style=np.array(1, np.int8),
        )
    return folder


OPTIONS = FitOptions(steps=40, batch=4, crop=50, held=1, rate=5e-3, keep=15)


def test_losses_fall_and_the_checkpoint_loads(corpus: Path, tmp_path: Path):
    out = fit(corpus, tmp_path / "run", replace(OPTIONS, steps=100), LossWeights())
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 100
    checkpoint = load_checkpoint(out)
    assert checkpoint.provenance["options"]["steps"] == 100
    assert checkpoint.provenance["corpus"] == {"seed": 0}
    held = CorpusTensors.load(corpus, TINY, only=slice(0, 1))
    batch = held.batch(4, 50, np.random.default_rng(0))
    loss = StreamLoss(held.skeleton, LossWeights())
    untrained = type(checkpoint.network)(TINY, held.skeleton, held.codes).eval()
    with torch.no_grad():
        before = sum(float(v) for v in fitting._terms(untrained, loss, batch).values())
        after = sum(float(v) for v in fitting._terms(checkpoint.network, loss, batch).values())
    # measured 0.30 of the untrained loss after 100 steps
    assert after < 0.6 * before


def test_a_killed_run_goes_on_exactly(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = load_checkpoint(fit(corpus, tmp_path / "whole", OPTIONS, LossWeights()))
    rate = fitting._rate

    def killed(step: int, options: FitOptions) -> float:
        if step == 20:
            raise KeyboardInterrupt
        return rate(step, options)

    monkeypatch.setattr(fitting, "_rate", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(corpus, tmp_path / "again", OPTIONS, LossWeights())
    monkeypatch.setattr(fitting, "_rate", rate)
    again = load_checkpoint(fit(corpus, tmp_path / "again", OPTIONS, LossWeights()))
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor), name


def test_no_corpus_is_said_clearly(tmp_path: Path):
    with pytest.raises(InputError, match="python -m training corpus"):
        CorpusTensors.load(tmp_path, TINY)


def test_words_enter_at_their_arrival():
    from streamer.spec import WordSpec

    ids, info = word_rows(
        30,
        np.array(["big", "late"]),
        np.array([10, 40], np.int32),
        np.array([4, 12], np.int32),
        np.array([True, False]),
        WordSpec(buckets=64, slots=12),
    )
    assert ids.any(1).nonzero()[0].tolist() == [10]
    np.testing.assert_allclose(info[10], [1.0, np.log1p(6), 1.0])


def test_what_moves_the_hands_weighs_most():
    skeleton = load_skeleton("upper_body")
    weights = vector_weights(skeleton)
    assert float(weights.mean()) == pytest.approx(1.0, abs=1e-6)
    forearm = skeleton.index("left_elbow", "left_wrist")
    knuckle = skeleton.index("left_index2", "left_index3")
    assert weights[forearm] > 10 * weights[knuckle]


def test_rows_without_a_target_do_not_count():
    skeleton = load_skeleton("upper_body")
    target = torch.tensor(skeleton.mean).expand(1, 10, 45, 3).clone()
    poses = [torch.zeros(1, 10, len(level) * 3) for level in skeleton.levels]
    known = torch.ones(1, 10, dtype=torch.bool)
    known[:, :3] = False
    target[:, :3] += 5.0
    silent = torch.zeros(1, 10)
    moves = torch.zeros(1, 10, dtype=torch.int64)
    drawn = Drawn(poses=poses, moves=torch.zeros(1, 10, MOVES), voice=silent)
    blank = dict.fromkeys(("image", "level", "word", "word_info", "lookahead", "style"), silent)
    batch = Batch(
        **blank,
        code=torch.zeros(1, 10, 12),
        course=true_course(moves, torch.zeros(1, 10, 12)),
        target=target,
        known=known,
        voiced=silent,
    )
    weights = LossWeights(voice=0.0, move=0.0)
    loss = StreamLoss(skeleton, weights)
    assert sum(float(v) for v in loss(drawn, batch).values()) == 0
    known[:, 0] = True
    assert float(loss(drawn, batch)["pose"]) > 0
