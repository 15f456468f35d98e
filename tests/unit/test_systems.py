"""Systems against the golden iterations, and what their ablations change."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from streamer.errors import UsageError
from streamer.skeleton import load_skeleton
from tests.golden_files import (
    SETS,
    assert_close,
    golden,
    one_thread,  # noqa: F401  (an autouse fixture)
    tensor,
)
from tests.unit import test_ha2g, test_trimodal
from training.angles import published_angles
from training.recipe import load_recipe
from training.store.constants import angle_pairs
from training.systems.base import Batch
from training.systems.build import Facts, build_system
from training.systems.ha2g import HA2GSystem, ablated_levels
from training.systems.styled import TrimodalSystem


def facts(name: str) -> Facts:
    return Facts(
        skeleton=load_skeleton(name),
        angles=angle_pairs(load_skeleton(name)),
        vocabulary={f"w{i}": i for i in range(12)},
        speakers=("anna", "ben"),
    )


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_ha2g_iteration_is_the_reference_s(name: str) -> None:
    want = golden(f"losses_{name}")
    recipe = load_recipe("ha2g", name)
    system = HA2GSystem(
        {"size": "narrow"},
        recipe.weights,
        load_skeleton(name),
        published_angles(name),
        words=5,
        speakers=3,
    )
    system.network = test_ha2g.network(name)
    judge = test_ha2g.discriminator(name)
    words = tensor(want["in_text"])
    batch: Batch = {
        "poses": tensor(want["in_target"]),
        "speaker": tensor(want["in_vid"]),
        "mel": tensor(want["in_spec"]),
        "words": words,
        "heard": words,
    }
    noise = tensor(want["in_eps"]).transpose(1, 2)
    draws = dict(zip(("judged", "noise", "shuffled"), noise, strict=True))
    draws["permutation"] = tensor(want["in_speaker_permutation"])
    outcome = system.eval()(batch, draws, True)
    names = {
        "regression": "loss",
        "divergence": "KLD",
        "diversity": "DIV_REG",
        "positive": "c_pos",
        "negative": "c_neg",
        "physical": "phy",
    }
    assert set(outcome["terms"]) == set(names)
    for ours, theirs in names.items():
        assert_close(outcome["terms"][ours], want[f"weighted_{theirs}"])
    assert_close(system.fooling(judge, outcome["poses"]), want["weighted_gen"])
    assert_close(system.judging(judge, batch["poses"], outcome["fake"]), want["weighted_dis"])
    assert "fake" not in system(batch, draws, False)


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_trimodal_iteration_is_the_reference_s(name: str) -> None:
    want = golden(f"baseline_trimodal_{name}")
    weights = load_recipe("trimodal", name).weights
    system = TrimodalSystem({}, weights, load_skeleton(name), words=5, speakers=3)
    system.network = test_trimodal.generator(name)
    judge = test_trimodal.discriminator(name)
    batch: Batch = {
        "poses": tensor(want["in_poses"]),
        "speaker": tensor(want["in_vid"]),
        "samples": tensor(want["in_audio_int16"]),
        "heard": tensor(want["in_text"]),
    }
    noise = tensor(want["in_loss_eps"])
    draws = dict(zip(("judged", "noise", "shuffled"), noise, strict=True))
    draws["permutation"] = tensor(want["in_speaker_permutation"])
    outcome = system.eval()(batch, draws, True)
    assert_close(outcome["terms"]["regression"], want["weighted_huber"])
    assert_close(outcome["terms"]["divergence"], want["weighted_kld"])
    assert_close(outcome["terms"]["diversity"], want["weighted_div"])
    assert_close(system.fooling(judge, outcome["poses"]), want["weighted_gen"])
    assert_close(system.judging(judge, batch["poses"], outcome["fake"]), want["weighted_dis"])


def ha2g(variation: str, name: str = "ted_expressive") -> HA2GSystem:
    torch.manual_seed(3)
    recipe = load_recipe(f"ha2g/{variation}", name, ["network.size=narrow"])
    system = build_system(recipe, facts(name)).eval()
    assert isinstance(system, HA2GSystem)
    return system


def mel() -> Tensor:
    return -40 + 20 * torch.randn(2, 128, 70, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_audio_ablations_change_what_levels_read() -> None:
    speaker = torch.tensor([1, 2])
    single = ha2g("single_audio").network.audio(mel(), speaker)
    for blend in single.blends:
        assert torch.equal(blend, single.high)
    same = ha2g("same_audio").network.audio(mel(), speaker)
    assert all(torch.equal(blend, same.blends[0]) for blend in same.blends)
    no_high = ha2g("no_high").network.audio(mel(), speaker)
    assert not no_high.weights[:, 2].any()
    torch.testing.assert_close(no_high.weights.sum(1), torch.ones(2, len(no_high.blends)))
    full = ha2g("late_words").network.audio(mel(), speaker)
    assert not torch.equal(full.blends[0], full.blends[1])
    assert not torch.equal(full.blends[0], full.high)


def test_level_ablations_on_the_published_cascade() -> None:
    skeleton = load_skeleton("ted_expressive")
    sizes = [len(level) for level in skeleton.levels]
    assert sizes == [8, 10, 12, 22, 32, 42]

    def left(name: str) -> list[int]:
        return [len(level) for level in ablated_levels(skeleton, name).levels]

    assert left("holistic") == [42]
    assert left("no_hand") == [8, 10, 12, 42]
    assert left("no_body") == [12, 22, 32, 42]
    for name in ("no_hand", "no_body"):
        with pytest.raises(UsageError, match="needs a skeleton with hands"):
            ablated_levels(load_skeleton("ted_gesture"), name)


@torch.no_grad()
@pytest.mark.parametrize("name", ["ted_expressive", "upper_body"])
def test_ablated_networks_give_whole_poses(name: str) -> None:
    system = ha2g("no_body", name)
    size = 3 * system.network.config.skeleton.vectors
    batch: Batch = {
        "poses": torch.zeros(2, 34, size),
        "speaker": torch.tensor([1, 2]),
        "mel": mel(),
        "heard": torch.zeros(2, 34, dtype=torch.int64),
    }
    assert system.generate(batch, {}).shape == (2, 34, size)


def test_unknown_settings_are_refused() -> None:
    cases: list[tuple[str, list[str], str]] = [
        ("ha2g", ["network.width=3"], "no setting network.width; there are size, audio, levels"),
        ("ha2g", ["network.audio=loud"], "network.audio is 'loud', expected mixed"),
        ("ha2g", ["weights.velocity=1"], "no setting weights.velocity"),
        ("seq2seq", ["network.size=narrow"], "no setting network.size; there are none"),
        ("hop/bert", [], "'bert' needs the folder"),
    ]
    for name, changes, message in cases:
        with pytest.raises(UsageError, match=message):
            build_system(load_recipe(name, "ted_gesture", changes), facts("ted_gesture"))


def test_draws_belong_to_the_step_and_cover_the_batch() -> None:
    system = ha2g("late_words")
    one, two = (system.draws(6, torch.Generator().manual_seed(4)) for _ in range(2))
    for key, value in one.items():
        assert len(value) == 6
        assert torch.equal(value, two[key])
    assert sorted(one["permutation"].tolist()) == list(range(6))


def test_the_auto_encoders_of_both_papers() -> None:
    for name, latent in (("ted_gesture", 32), ("ted_expressive", 128)):
        system: Any = build_system(load_recipe("autoencoder", name), facts(name)).eval()
        poses = torch.zeros(2, 34, 3 * load_skeleton(name).vectors)
        assert system.network.features(poses).shape == (2, latent)
        assert (system.network.encoder.mean is not None) == (name == "ted_gesture")


def test_reconstruction_terms_by_hand() -> None:
    system: Any = build_system(
        load_recipe("autoencoder", "ted_expressive"), facts("ted_expressive")
    )
    generator = np.random.default_rng(0)
    target, out = (
        torch.tensor(generator.standard_normal((3, 34, 126)), dtype=torch.float32) for _ in range(2)
    )
    system.generate = lambda batch, draws: out
    terms = system({"poses": target}, {}, False)["terms"]
    a, b = out.numpy(), target.numpy()
    assert terms["pose"].item() == pytest.approx(np.abs(a - b).mean((1, 2)).sum(), rel=1e-5)
    speed = np.abs(np.diff(a, axis=1) - np.diff(b, axis=1)).mean((1, 2)).sum()
    assert terms["speed"].item() == pytest.approx(speed, rel=1e-5)
    u, v = a.reshape(-1, 3), b.reshape(-1, 3)
    cosine = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    assert terms["cosine"].item() == pytest.approx(0.001 * (1 - cosine).sum(), rel=1e-4)
