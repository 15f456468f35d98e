"""HA2G offline against the golden files, its parameter counts, shapes and quirks."""

import numpy as np
import pytest
import torch

from models.discriminator import Discriminator
from models.ha2g import HA2G, HA2GConfig, cascade_columns, channels
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
    tensor,
)


def network(name: str) -> HA2G:
    dicts = layout(f"ha2g_state_dict_{name}")
    words, _ = dicts["text_dict"]["embedding.weight"]
    speakers, _ = dicts["gen_dict_1"]["speaker_embedding.0.weight"]
    config = HA2GConfig.published(load_skeleton(name), words=words, speakers=speakers)
    model = HA2G(config)
    for part in network_parts(model):
        fill(part, part.dict_name, dicts[part.dict_name])
    return model


def discriminator(name: str) -> Discriminator:
    model = Discriminator(3 * load_skeleton(name).vectors, slope=0.01)
    (part,) = network_parts(model)
    fill(part, "dis_dict", layout(f"ha2g_state_dict_{name}")["dis_dict"])
    return model


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_generator_matches_the_reference(name: str) -> None:
    want, model = golden(f"generator_{name}"), network(name)
    words, speaker = tensor(want["in_text"]), tensor(want["in_vid"])
    audio = model.audio(tensor(want["in_spec"]), speaker)
    assert_close(audio.weights, want["audio_weight"])
    assert_close(audio.low, want["audio_low"])
    assert_close(audio.mid, want["audio_mid"])
    assert_close(audio.high, want["audio_high"])
    assert_close(torch.stack(audio.blends), want["audio_blend"])
    levels = range(1, len(model.generators) + 1)
    noise = torch.stack([tensor(want[f"in_eps_{k}"]) for k in levels], dim=1)
    result = model.generate(audio, words, speaker, tensor(want["in_seed"]), noise)
    for k in levels:
        assert_close(result.pre_seqs[k - 1], want[f"pre_seq_{k}"])
        assert_close(result.styles[k - 1].z, want[f"z_{k}"])
        assert_close(result.styles[k - 1].mean, want[f"z_mu_{k}"])
        assert_close(result.styles[k - 1].log_variance, want[f"z_logvar_{k}"])
        assert_close(result.poses[k - 1], want[f"out_{k}"])
    assert f"out_{len(levels) + 1}" not in want
    assert_close(model.generators[0].get_submodule("text")(words), want["gen1_text_out"])
    assert_close(model.contrast_text(words), want["text_dict_out"])


@pytest.mark.parametrize("name", SETS)
@torch.no_grad()
def test_discriminator_matches_the_reference(name: str) -> None:
    want, model = golden(f"generator_{name}"), discriminator(name)
    assert_close(model(tensor(want["in_dis_real"])), want["dis_on_real"])
    last = len(load_skeleton(name).levels)
    assert_close(model(tensor(want[f"out_{last}"])), want["dis_on_output"])


def gru_numbers(inputs: int, hidden: int, layers: int) -> int:
    """Count a bi-directional GRU by hand: three gates, two biases, two directions."""
    widths = [inputs] + [2 * hidden] * (layers - 1)
    return sum(2 * 3 * hidden * (width + hidden + 2) for width in widths)


@pytest.mark.parametrize("name", SETS)
def test_parameter_counts_follow_the_specification(name: str) -> None:
    words, speakers = 100, 16
    skeleton = load_skeleton(name)
    model = HA2G(HA2GConfig(skeleton=skeleton, words=words, speakers=speakers))
    # 4 blocks of two convolutions 300 x 300 x 2 with bias and norm; Linear 300 -> 32.
    text = words * 300 + 8 * (300 * 300 * 2 + 600) + 300 * 32 + 32
    style = speakers * 16 + 3 * (16 * 16 + 16)
    assert parameters(model.contrast_text) == text
    for generator, level in zip(model.generators, skeleton.levels, strict=True):
        dim = 3 * len(level)
        head = 300 * 150 + 150 + 150 * dim + dim
        want = text + style + gru_numbers(dim + 81, 300, 4) + head
        assert parameters(generator) == want


def test_levels_come_from_the_skeleton() -> None:
    dims = {
        name: [3 * len(level) for level in load_skeleton(name).levels]
        for name in ("ted_gesture", "ted_expressive")
    }
    assert dims["ted_gesture"] == [15, 21, 27]
    assert dims["ted_expressive"] == [24, 30, 36, 66, 96, 126]
    for name, want in dims.items():
        model = HA2G(HA2GConfig(skeleton=load_skeleton(name), words=9, speakers=2))
        got = [g.get_submodule("head.2").get_parameter("bias").numel() for g in model.generators]
        assert got == want


def test_cascade_without_the_quirk_copies_every_known_channel() -> None:
    skeleton = load_skeleton("ted_expressive")
    before, level = skeleton.levels[1], skeleton.levels[2]
    columns = cascade_columns(before, level, 0)
    zero = 3 * len(before)
    assert columns[-1] == zero
    for column, channel in zip(columns, channels(level), strict=False):
        known = channel in channels(before)
        assert (column == zero) is not known
        if known:
            assert channels(before)[column] == channel


def test_published_expressive_cascade_is_one_column_late() -> None:
    levels = load_skeleton("ted_expressive").levels
    right = cascade_columns(levels[0], levels[1], 0)
    late = cascade_columns(levels[0], levels[1], 5)
    assert late[:-16] == right[:-16]
    assert late[-16] == 3 * len(levels[0])  # the first face column stays zero
    assert late[-15:] == right[-16:-1]  # the indicator holds the last face number


@pytest.mark.parametrize("columns", [69, 70, 77, 78])
@torch.no_grad()
def test_audio_encoder_takes_counts_of_5_or_6_modulo_8(columns: int) -> None:
    model = network("ted_gesture")
    audio = model.audio(torch.zeros(1, 128, columns), torch.tensor([1]))
    assert audio.blends[0].shape == (1, 34 + 4 * (columns > 70), 32)


@torch.no_grad()
def test_audio_encoder_names_a_count_it_cannot_take() -> None:
    with pytest.raises(ValueError, match="71 mel columns"):
        network("ted_gesture").audio(torch.zeros(1, 128, 71), torch.tensor([1]))


@torch.no_grad()
def test_text_encoder_sees_31_frames_of_the_past_only() -> None:
    encoder = network("ted_gesture").contrast_text
    words = torch.arange(4, 38)[None]
    plain = encoder(words)
    changed = words.clone()
    changed[0, 2] = 90
    moved = (encoder(changed) - plain).abs().amax(dim=(0, 2)).numpy()
    assert np.all(moved[:2] == 0)
    assert np.all(moved[2:33] > 0)
    assert moved[33] == 0


@torch.no_grad()
def test_noise_is_drawn_in_evaluation_too() -> None:
    model = network("ted_gesture")
    inputs = (
        torch.zeros(1, 128, 70),
        torch.zeros(1, 34, dtype=torch.int64),
        torch.tensor([3]),
        torch.zeros(1, 4, 27),
    )
    assert not torch.equal(model(*inputs), model(*inputs))
    noise = torch.zeros(1, 3, 16)
    assert torch.equal(model(*inputs, noise), model(*inputs, noise))


def test_gradient_flows_through_the_cascade() -> None:
    """The coarsest generator learns from the finest level's loss (ha2g.md 2.5)."""
    model = network("ted_gesture").train()
    out = model(
        torch.randn(2, 128, 70),
        torch.zeros(2, 34, dtype=torch.int64),
        torch.tensor([3, 4]),
        torch.zeros(2, 4, 27),
    )
    out[:, 4:].square().mean().backward()
    gradient = model.generators[0].get_submodule("head.2").get_parameter("weight").grad
    assert gradient is not None
    assert gradient.abs().max() > 0


@torch.no_grad()
def test_discriminator_takes_longer_sequences() -> None:
    model = discriminator("ted_gesture")
    out = model(torch.randn(2, 60, 27))
    assert out.shape == (2, 1)
    assert ((out > 0) & (out < 1)).all()
