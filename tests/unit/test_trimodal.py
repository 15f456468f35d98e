"""Trimodal's generator and discriminator, and the FGD auto-encoders, against golden files."""

import numpy as np
import pytest
import torch

from models import longform
from models.autoencoder import PoseAutoEncoder
from models.discriminator import Discriminator
from models.layers import seed_sequence
from models.longform import TimedWord
from models.trimodal import TrimodalGenerator
from models.upstream import network_parts
from streamer.skeleton import load_skeleton
from tests.golden_files import (
    SETS,
    assert_close,
    fill,
    golden,
    layout,
    one_thread,  # noqa: F401  (an autouse fixture)
    parameters,
    published_state,
    tensor,
)

SUFFIX = {"ted_gesture": "", "ted_expressive": "_ted_expressive"}
LAYOUT = "baseline_trimodal_state_dict"


def generator(name: str) -> TrimodalGenerator:
    weights = f"trimodal_gen_dict{SUFFIX[name]}"
    shapes = layout(LAYOUT)[weights]
    model = TrimodalGenerator(
        3 * load_skeleton(name).vectors,
        words=shapes["text_encoder.embedding.weight"][0],
        speakers=shapes["speaker_embedding.0.weight"][0],
    )
    fill(network_parts(model)[0], weights, shapes)
    return model


def discriminator(name: str) -> Discriminator:
    model = Discriminator(3 * load_skeleton(name).vectors, slope=1.0)
    weights = f"trimodal_dis_dict{SUFFIX[name]}"
    fill(network_parts(model)[0], weights, layout(LAYOUT)[weights])
    return model


def words_of(want: dict[str, np.ndarray], prefix: str) -> list[TimedWord]:
    columns = (want[f"{prefix}_in_word_{what}"] for what in ("index", "start", "end"))
    return [
        TimedWord(index=int(i), start=float(a), end=float(b))
        for i, a, b in zip(*columns, strict=True)
    ]


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_generator_matches_the_reference(name: str) -> None:
    want, model = golden(f"baseline_trimodal_{name}"), generator(name)
    poses = tensor(want["in_poses"])
    out, style = model(
        seed_sequence(poses[:, :4], 34),
        tensor(want["in_audio_int16"]),
        tensor(want["in_text"]),
        tensor(want["in_vid"]),
        tensor(want["in_eps"]),
    )
    assert_close(style.z, want["z"])
    assert_close(style.mean, want["z_mu"])
    assert_close(style.log_variance, want["z_logvar"])
    assert_close(out, want["out"])
    judge = discriminator(name)
    assert_close(judge(poses), want["dis_on_target"])
    assert_close(judge(out), want["dis_on_out"])


@torch.no_grad()
def test_generator_matches_the_first_reference_run() -> None:
    want, model = golden("trimodal_ted_gesture"), generator("ted_gesture")
    samples, words = tensor(want["in_audio_int16"]), tensor(want["in_text"])
    assert_close(model.audio(samples), want["audio_feat"])
    assert_close(model.text(words), want["text_feat"])
    speaker, noise = tensor(want["in_vid"]), tensor(want["in_eps"])
    out, style = model(tensor(want["in_pre_seq"]), samples, words, speaker, noise)
    assert_close(style.z, want["z"])
    assert_close(out, want["out"])
    assert_close(discriminator("ted_gesture")(out), want["dis_on_output"])


@pytest.mark.parametrize("seeded", [True, False])
@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_clips_match_the_reference(name: str, seeded: bool) -> None:
    want, model = golden(f"baseline_trimodal_{name}"), generator(name)
    prefix = "long" if seeded else "unseeded"
    samples = want[f"{prefix}_in_audio_int16"].astype(np.float32) / 32768
    words = words_of(want, prefix)
    speaker = torch.tensor([int(want[f"{prefix}_in_vid"])])
    noise = tensor(want[f"{prefix}_in_eps"])

    def one(window: longform.Window, seeds: np.ndarray | None) -> np.ndarray:
        # Without seeds the reference leaves the indicator 0 as well (baselines.md 6.2).
        known = torch.zeros(1, 0, out_dim) if seeds is None else torch.from_numpy(seeds)[None]
        poses, _ = model(
            seed_sequence(known, 34),
            torch.from_numpy(longform.raw_samples(samples, window))[None],
            torch.from_numpy(longform.frame_words(words, window))[None],
            speaker,
            noise[window.number][None],
        )
        return poses[0].numpy()

    out_dim = want[f"{prefix}_out"].shape[-1]
    seeds = want["long_in_seed"] if seeded else None
    raw = longform.synthesise(len(samples), seeds, one)
    assert_close(np.stack(raw), want[f"{prefix}_window_out"])
    assert_close(longform.join(raw), want[f"{prefix}_out"])


@pytest.mark.parametrize(("name", "want"), [("ted_gesture", 7.21e6), ("ted_expressive", 7.41e6)])
def test_parameter_counts_follow_the_specification(name: str, want: float) -> None:
    model = TrimodalGenerator(3 * load_skeleton(name).vectors, words=100, speakers=16)
    assert parameters(model) == pytest.approx(want, abs=0.005e6)


@pytest.mark.parametrize(("name", "want"), [("ted_gesture", 0.25e6), ("ted_expressive", 0.26e6)])
def test_discriminator_counts_follow_the_specification(name: str, want: float) -> None:
    model = Discriminator(3 * load_skeleton(name).vectors, slope=1.0)
    assert parameters(model) == pytest.approx(want, abs=0.005e6)


@pytest.mark.parametrize(
    ("name", "variational"), [("ted_gesture", True), ("ted_expressive", False)]
)
@torch.no_grad()
def test_autoencoders_match_the_reference(name: str, variational: bool) -> None:
    want = golden("fgd_autoencoder")
    latent = want[f"latent_{name}"].shape[1]
    model = PoseAutoEncoder(3 * load_skeleton(name).vectors, latent, variational=variational)
    from models.upstream import load_parts

    parts = network_parts(model)
    state = published_state(f"fgd_{name}", layout("fgd_autoencoder_state_dict")[f"fgd_{name}"])
    load_parts(parts, {parts[0].dict_name: state})
    poses, code = model.eval()(tensor(want[f"in_pose_{name}"]))
    assert_close(code.feature, want[f"latent_{name}"])
    assert_close(poses, want[f"recon_{name}"])
    assert_close(model.features(tensor(want[f"in_pose_{name}"])), want[f"latent_{name}"])
    if variational:
        assert code.log_variance is not None
        assert_close(code.log_variance, want[f"logvar_{name}"])


@torch.no_grad()
def test_dense_activations_are_the_identity() -> None:
    """Slope 1 (ha2g.md 2.7): the dense part is affine; a slope of 0.2 would not be."""
    encoder = PoseAutoEncoder(27, 32, variational=True).encoder.eval()
    x, y = torch.randn(2, 384), torch.randn(2, 384)
    middle = encoder.dense((x + y) / 2)
    torch.testing.assert_close(middle, (encoder.dense(x) + encoder.dense(y)) / 2)
