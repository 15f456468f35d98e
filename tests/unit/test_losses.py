"""The papers' loss terms against golden iterations and hand-computed cases."""

import numpy as np
import pytest
import torch

from models.layers import Style, seed_sequence
from streamer.errors import UsageError
from streamer.skeleton import load_skeleton
from tests.golden_files import (
    SETS,
    assert_close,
    golden,
    one_thread,  # noqa: F401  (an autouse fixture)
    tensor,
)
from tests.unit import test_baselines, test_ha2g, test_trimodal
from training.angles import measured_angles, pair_angles, published_angles
from training.losses import (
    HA2GWeights,
    WindowWeights,
    contrastive,
    discrimination,
    ha2g_terms,
    huber,
    joint_embedding_loss,
    physical,
    seq2seq_terms,
    speech2gesture_discriminator,
    speech2gesture_generator,
    style_diversity,
    window_terms,
)


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_ha2g_iteration_matches_the_reference(name: str) -> None:
    want = golden(f"losses_{name}")
    model, judge = test_ha2g.network(name), test_ha2g.discriminator(name)
    speaker, words = tensor(want["in_vid"]), tensor(want["in_text"])
    target, noise = tensor(want["in_target"]), tensor(want["in_eps"])
    audio = model.audio(tensor(want["in_spec"]), speaker)
    permuted = speaker[tensor(want["in_speaker_permutation"])]
    first, out, other = (
        model.generate(audio, words, who, target[:, :4], noise[i].transpose(0, 1))
        for i, who in enumerate((speaker, speaker, permuted))
    )
    assert_close(discrimination(judge(target), judge(first.poses[-1])), want["weighted_dis"])
    assert_close(out.poses[-1], want["generator_phase_out"][0])
    weights = HA2GWeights.published(name)
    terms = ha2g_terms(
        model,
        out,
        other,
        target=target,
        text=model.contrast_text(words),
        audio=audio,
        fake=judge(out.poses[-1]),
        angles=published_angles(name),
        weights=weights,
    )
    assert_close(terms.regression, want["weighted_loss"])
    assert_close(terms.divergence, want["weighted_KLD"])
    assert_close(terms.diversity, want["weighted_DIV_REG"])
    assert_close(terms.adversarial, want["weighted_gen"])
    assert_close(terms.positive, want["weighted_c_pos"])
    assert_close(terms.negative, want["weighted_c_neg"])
    assert_close(terms.physical, want["weighted_phy"])
    parts = [float(v) for k, v in want.items() if k.startswith("weighted_")]
    assert_close(terms.total(), np.float64(sum(parts) - float(want["weighted_dis"])))


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_trimodal_iteration_matches_the_reference(name: str) -> None:
    want = golden(f"baseline_trimodal_{name}")
    model, judge = test_trimodal.generator(name), test_trimodal.discriminator(name)
    target, speaker = tensor(want["in_poses"]), tensor(want["in_vid"])
    permuted = speaker[tensor(want["in_speaker_permutation"])]
    pre_seq = seed_sequence(target[:, :4], 34)
    samples, words = tensor(want["in_audio_int16"]), tensor(want["in_text"])
    first, out, other = (
        model(pre_seq, samples, words, who, noise)
        for who, noise in zip(
            (speaker, speaker, permuted), tensor(want["in_loss_eps"]), strict=True
        )
    )
    assert_close(discrimination(judge(target), judge(first[0])), want["weighted_dis"])
    weights = WindowWeights.published("trimodal")
    terms = window_terms(out, other, target, judge(out[0]), weights)
    assert_close(terms.regression, want["weighted_huber"])
    assert_close(terms.divergence, want["weighted_kld"])
    assert_close(terms.diversity, want["weighted_div"])
    assert_close(terms.adversarial, want["weighted_gen"])


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_seq2seq_loss_matches_the_reference(name: str) -> None:
    want = golden(f"baseline_seq2seq_{name}")
    terms = seq2seq_terms(tensor(want["out"]), tensor(want["in_poses"]))
    assert_close(terms.squared, want["loss_mse"])
    assert_close(terms.continuity, want["loss_continuity"])
    assert_close(terms.variance, want["loss_variance"])
    assert_close(terms.total(), want["loss_total"])


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_speech2gesture_loss_matches_the_reference(name: str) -> None:
    want = golden(f"baseline_speech2gesture_{name}")
    real, fake = tensor(want["dis_on_target_motion"]), tensor(want["dis_on_out_motion"])
    regression, fooled = speech2gesture_generator(
        tensor(want["out"]), tensor(want["in_poses"]), fake
    )
    assert_close(regression, want["loss_weighted_l1"])
    assert_close(fooled, want["loss_weighted_gen"])
    assert_close(speech2gesture_discriminator(real, fake), want["loss_dis"])


@pytest.mark.parametrize("name", SETS)
def test_joint_embedding_loss_matches_the_reference(name: str) -> None:
    want = golden(f"baseline_joint_embedding_{name}")
    target = tensor(want["in_poses"])
    assert_close(joint_embedding_loss(tensor(want["out_speech"]), target), want["loss_speech"])
    assert_close(joint_embedding_loss(tensor(want["out_pose"]), target), want["loss_pose"])


def test_golden_networks_are_those_of_the_baseline_tests() -> None:
    assert test_baselines.WIDTH.keys() == set(SETS)


def test_huber_is_quadratic_below_a_tenth_and_linear_above() -> None:
    out = torch.tensor([0.05, 0.3])
    # 0.1 * 0.5 * 0.5^2 and 0.1 * (3 - 0.5), averaged
    assert huber(out, torch.zeros(2)).item() == pytest.approx((0.0125 + 0.25) / 2)


def test_contrast_equals_the_plain_form() -> None:
    text, audio = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    rows, columns = (torch.nn.functional.normalize(x.reshape(6, 5), dim=1) for x in (text, audio))
    logits = 1 / (rows[:, None] - columns[None]).norm(dim=-1)
    want = -(logits.diagonal() - logits.logsumexp(1)).mean()
    assert contrastive(text, audio).item() == pytest.approx(want.item(), rel=1e-4)


def test_contrast_has_a_gradient_where_rows_coincide() -> None:
    text = torch.randn(1, 4, 5, requires_grad=True)
    contrastive(text, text.detach().clone()).backward()
    assert text.grad is not None
    assert torch.isfinite(text.grad).all()


def test_diversity_is_clamped_and_its_references_are_constants() -> None:
    style = Style(
        z=torch.zeros(2, 4, requires_grad=True), mean=torch.zeros(2), log_variance=torch.zeros(2)
    )
    out = torch.zeros(2, 34, 27, requires_grad=True)
    other = torch.full((2, 34, 27), 9.0, requires_grad=True)
    value = style_diversity(out, style, other, style)
    assert value.item() == -1000
    near = Style(
        z=torch.full((2, 4), 3.0, requires_grad=True),
        mean=torch.zeros(2),
        log_variance=torch.zeros(2),
    )
    small = (0.01 * torch.ones(2, 34, 27)).requires_grad_()
    style_diversity(out, style, small, near).backward()
    assert out.grad is not None
    assert out.grad.abs().max() > 0
    assert small.grad is None
    assert near.z.grad is None


def test_warm_up_ends_after_epoch_10() -> None:
    for weights in (HA2GWeights.published("ted_gesture"), WindowWeights.published("hop")):
        assert not weights.adversarial_at(10)
        assert weights.adversarial_at(11)


def test_no_adversarial_term_during_the_warm_up() -> None:
    poses, style = (
        torch.zeros(2, 34, 27),
        Style(z=torch.ones(2, 16), mean=torch.zeros(2, 16), log_variance=torch.zeros(2, 16)),
    )
    terms = window_terms(
        (poses, style),
        (poses, style),
        poses,
        None,
        WindowWeights.published("hop", "ted_expressive"),
    )
    assert terms.total().item() == 0


def test_physical_term_is_zero_at_the_mean_angle_and_finite_where_bones_align() -> None:
    angles = measured_angles(torch.randn(3, 20, 4, 3), ((0, 1), (2, 3)))
    mean = torch.zeros(4, 3).numpy()
    straight = torch.ones(1, 2, 12, requires_grad=True)
    physical(straight, torch.from_numpy(mean), angles).backward()
    assert straight.grad is not None
    assert torch.isfinite(straight.grad).all()


def test_pair_angles_by_hand() -> None:
    vectors = torch.tensor([[2.0, 0, 0], [0, 3.0, 0], [-1.0, 0, 0]])
    got = pair_angles(vectors, ((0, 1),), ((0, 1), (0, 2), (0, 0), (1, 3)))
    assert got.tolist() == pytest.approx([0.5, 1.0, 0.0, 0.5], abs=1e-6)


def test_measured_constants_are_the_data_s_own() -> None:
    data = torch.randn(5, 30, 4, 3, generator=torch.Generator().manual_seed(1))
    got = measured_angles(data, ((0, 1), (1, 2)))
    angles = pair_angles(data, (), ((0, 1), (1, 2))).numpy()
    np.testing.assert_allclose(got.mean, angles.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(got.variance, angles.reshape(-1, 2).var(0, ddof=1), rtol=1e-4)
    np.testing.assert_allclose(got.change, np.abs(np.diff(angles, axis=1)).mean((0, 1)), rtol=1e-4)


def test_angle_constants_fit_their_skeletons() -> None:
    for name, pairs, normals in (("ted_gesture", 4, 0), ("ted_expressive", 41, 2)):
        angles = published_angles(name)
        vectors = load_skeleton(name).vectors + len(angles.normals)
        assert len(angles.normals) == normals
        assert len(angles.pairs) == len(angles.mean) == len(angles.variance) == pairs
        assert len(angles.change) == pairs
        assert max(max(pair) for pair in angles.pairs) == vectors - 1
    with pytest.raises(UsageError, match="upper_body"):
        published_angles("upper_body")
