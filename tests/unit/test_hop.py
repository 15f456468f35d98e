"""HOP offline: parameter counts, shapes, folding, causality and quirks (hop.md 10)."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import longform
from models.hop import Hop, HopConfig, Reprogramming
from models.hop_graph import (
    DILATIONS,
    FIELD,
    AlignedGraph,
    GraphNetwork,
    ReleasedGraph,
    ReleasedQuirks,
)
from models.hop_longform import SpokenWord, hop_clip, window_pieces
from models.language import LanguageModel
from models.melspectrogram import frame_end, hop_log_mel, trailing_windows
from streamer.skeleton import load_skeleton
from tests.golden_files import (
    one_thread,  # noqa: F401  (an autouse fixture)
    parameters,
)

NAMES = ("ted_gesture", "ted_expressive")
BERT = (30522, 768)


def small_language(width: int = 24, words: int = 50) -> LanguageModel:
    table = torch.randn(words, width, generator=torch.Generator().manual_seed(1))
    return LanguageModel(table=table, network=None, empty=0)


def small_hop(name: str = "ted_gesture", preset: str = "hop", **more: object) -> Hop:
    torch.manual_seed(2)
    config = HopConfig(
        skeleton=load_skeleton(name),
        speakers=5,
        preset=preset,  # type: ignore[arg-type]
        prototypes=20,
        **more,  # type: ignore[arg-type]
    )
    return Hop(config, small_language()).eval()


def inputs(model: Hop, batch: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    dim = 3 * model.config.skeleton.vectors
    pieces = torch.randint(-1, 50, (batch, 34, 3), generator=generator)
    return {
        "mel": torch.randn(batch, 34, 128, generator=generator),
        "pieces": pieces,
        "samples": 0.1 * torch.randn(batch, 36267, generator=generator),
        "speaker": torch.arange(batch),
        "seeds": 0.3 * torch.randn(batch, model.config.seeds, dim, generator=generator),
        "noise": torch.randn(batch, 16, generator=generator),
    }


# --- sizes (hop.md 4) ------------------------------------------------------------


def count(module: nn.Module) -> float:
    return parameters(module) / 1e6


@pytest.mark.parametrize(
    ("name", "gru", "head", "total"),
    [("ted_gesture", 9.450, 0.066, 65.7), ("ted_expressive", 11.044, 0.084, 67.3)],
)
def test_parameter_counts_of_the_released_sizes(
    name: str, gru: float, head: float, total: float
) -> None:
    config = HopConfig(skeleton=load_skeleton(name), speakers=1, preset="hop_released")
    with torch.device("meta"):
        table = torch.empty(BERT)
        language = LanguageModel(table=table, network=nn.Identity(), empty=0)
        model = Hop(config, language)
    reprogramming = model.reprogramming
    assert isinstance(reprogramming, Reprogramming)
    prototypes = count(reprogramming.prototypes)
    assert prototypes == pytest.approx(45.785, abs=5e-4)
    assert count(reprogramming) - prototypes == pytest.approx(2.494, abs=5e-4)
    assert count(model.align) == pytest.approx(1.180, abs=5e-4)
    assert count(model.graph.audio) == pytest.approx(6.071, abs=5e-4)
    # The table counts what the released code creates and never reads: a 1x1 residual
    # convolution per layer and the last layer's graph convolution (finding 11).
    unread = 8 * (64 * 64 + 64) + (192 * 64 + 64) + 2 * 64
    graph = count(model.graph.graph) + unread / 1e6
    assert graph == pytest.approx(0.630, abs=1e-3)
    assert count(model.recurrent) == pytest.approx(gru, abs=5e-4)
    assert count(model.head) == pytest.approx(head, abs=5e-4)
    assert count(model) + unread / 1e6 == pytest.approx(total, abs=0.05)


@pytest.mark.parametrize(("name", "width"), [("ted_gesture", 992), ("ted_expressive", 1751)])
@pytest.mark.parametrize("preset", ["hop", "hop_released"])
def test_fused_width(name: str, width: int, preset: str) -> None:
    model = small_hop(name, preset)
    assert model.recurrent.gru.input_size == width  # `none` has 768 features, as BERT


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", ["hop", "hop_released"])
@torch.no_grad()
def test_shapes(name: str, preset: str) -> None:
    model = small_hop(name, preset)
    given = inputs(model)
    assert model.config.seeds == (4 if preset == "hop" else 16)
    poses, style = model(**given)
    assert poses.shape == (2, 34, 3 * model.config.skeleton.vectors)
    assert style.z.shape == (2, 16)
    judge = model.discriminator().eval()
    assert judge(poses).shape == (2, 1)
    assert torch.isfinite(poses).all()


# --- re-programming (hop.md 2) -------------------------------------------------------


@torch.no_grad()
def test_folded_equals_unfolded() -> None:
    model = small_hop()
    given = inputs(model)
    before, _ = model(**given)
    model.fold()
    after, _ = model(**given)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
    assert not any("prototypes" in key for key in model.state_dict())
    model.fold()  # once more changes nothing
    assert torch.equal(model(**given)[0], after)


@torch.no_grad()
def test_folded_equals_unfolded_at_full_size() -> None:
    torch.manual_seed(0)
    layer = Reprogramming(3000, 768, 1500).eval()
    table, mel = torch.randn(3000, 768), torch.randn(1, 4, 128)
    torch.testing.assert_close(
        layer.folded(table)(mel, table), layer(mel, table), atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_reprogramming_has_no_memory() -> None:
    layer = Reprogramming(50, 24, 20).eval()
    table, mel = torch.randn(50, 24), torch.randn(1, 34, 128)
    changed = mel.clone()
    changed[0, 7] += 1
    moved = (layer(changed, table) - layer(mel, table)).abs().amax(-1)[0]
    assert moved[7] > 0
    assert (moved[torch.arange(34) != 7] < 1e-6).all()


@torch.no_grad()
def test_reprogramming_equals_plain_attention() -> None:
    """Against torch's own attention on the formula of hop.md 2."""
    layer = Reprogramming(50, 24, 20).eval()
    table, mel = torch.randn(50, 24), torch.randn(2, 6, 128)
    words = layer.prototypes.weight @ table + layer.prototypes.bias[:, None]
    q, k, v = layer.query(mel), layer.key(words), layer.value(words)
    heads = []
    for h in range(8):
        cut = slice(128 * h, 128 * (h + 1))
        scores = q[..., cut] @ k[:, cut].T / 128**0.5
        heads.append(scores.softmax(-1) @ v[:, cut])
    want = layer.out(torch.cat(heads, -1).relu())
    torch.testing.assert_close(layer(mel, table), want)


def test_gradients_reach_the_prototypes_but_not_the_table() -> None:
    model = small_hop().train()
    model(**inputs(model))[0].square().mean().backward()
    reprogramming = model.reprogramming
    assert isinstance(reprogramming, Reprogramming)
    gradient = reprogramming.prototypes.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0
    assert not model.language.table.requires_grad


# --- graph (hop.md 3) ----------------------------------------------------------------


def test_field_is_13_frames() -> None:
    assert DILATIONS == (1, 2, 1, 2, 1, 2, 1, 2)
    assert FIELD == 13


@pytest.mark.parametrize("at", [0, 5, 25])
@torch.no_grad()
def test_graph_network_is_causal_and_sees_13_frames(at: int) -> None:
    torch.manual_seed(1)
    graph = GraphNetwork(9, 174, 23).double().eval()
    x = torch.randn(1, 174, 9, 34, dtype=torch.float64)
    changed = x.clone()
    changed[..., 4, at] += 1
    moved = (graph(changed, causal=True) - graph(x, causal=True)).abs().amax((0, 1, 2)).numpy()
    assert np.all(moved[:at] == 0)
    assert np.all(moved[at : at + 13] > 0)
    assert np.all(moved[at + 13 :] == 0)


@torch.no_grad()
def test_causal_and_valid_agree_where_both_see_everything() -> None:
    graph = GraphNetwork(9, 174, 23).double().eval()
    x = torch.randn(2, 174, 9, 20, dtype=torch.float64)
    valid = graph(x, causal=False)
    assert valid.shape[-1] == 8
    torch.testing.assert_close(graph(x, causal=True)[..., 12:], valid)


@torch.no_grad()
def test_adjacency_rows_sum_to_one() -> None:
    adjacency = GraphNetwork(9, 174, 23).adjacency()
    torch.testing.assert_close(adjacency.sum(1), torch.ones(9))
    assert (adjacency > 0).all()


@torch.no_grad()
def test_graph_branch_sees_no_audio_after_a_frame() -> None:
    branch = AlignedGraph(9, 34).eval()
    samples = 0.1 * torch.randn(1, 36267)
    known, given = torch.zeros(1, 34, 27), torch.zeros(1, 34, 1)
    changed = samples.clone()
    changed[:, frame_end(9) :] += 1
    before, after = branch(samples, known, given), branch(changed, known, given)
    assert torch.equal(before.rhythm[:, :10], after.rhythm[:, :10])
    assert torch.equal(before.pose[:, :10], after.pose[:, :10])
    assert not torch.equal(before.rhythm[:, 10], after.rhythm[:, 10])


def test_graph_windows_end_with_their_frame() -> None:
    samples = np.arange(1, 36268, dtype=np.float32)
    got = AlignedGraph(9, 34).windows(torch.from_numpy(samples)[None])[0].numpy()
    assert np.array_equal(got, trailing_windows(samples, 34, 3400))
    assert got[33, -1] == 36267


@torch.no_grad()
def test_graph_keeps_the_axes_in_order() -> None:
    """A bone's seed changes its own node's input only: with no mixing, its own output only."""
    branch = AlignedGraph(9, 34).eval()
    branch.graph.source.zero_()  # a uniform adjacency
    for layer in branch.graph.layers:
        if layer.mix is not None:  # type: ignore[union-attr]
            layer.mix.weight[:, 64:] = 0  # type: ignore[union-attr,index]
    samples, given = torch.zeros(1, 36267), torch.zeros(1, 34, 1)
    known = torch.zeros(1, 34, 27)
    changed = known.clone()
    changed[0, 2, 3 * 5 + 1] = 1.0
    before, after = branch(samples, known, given), branch(samples, changed, given)
    moved = (after.rhythm - before.rhythm).abs().unflatten(-1, (9, 20)).amax((0, 3))
    assert (moved[2:15, 5] > 0).all()
    moved[:, 5] = 0
    assert (moved == 0).all()


# --- the released quirks (hop.md 9) ------------------------------------------------------


@torch.no_grad()
def test_released_windows_span_the_clip() -> None:
    assert 15 * ReleasedGraph.STRIDE + 3400 <= 36267 < 16 * ReleasedGraph.STRIDE + 3400
    assert ReleasedGraph.STEPS == 4
    out = small_hop(preset="hop_released").graph(torch.randn(1, 36267), torch.randn(1, 16, 27))
    assert out.pose.shape == (1, 34, 28)
    assert torch.equal(out.pose[0, :, -1], (torch.arange(34) < 4).float())
    assert (out.pose[:, 4:] == 0).all()
    assert out.rhythm.shape == (1, 34, 180)


@torch.no_grad()
def test_released_reinterpretation_keeps_one_ninth_in_its_own_time() -> None:
    """Finding 4, on labels: what [B, N, 16, 170] read as [B, 16, N, 170] does to time."""
    labels = torch.arange(16).repeat(9, 1)  # [N, 16], the time of each slot
    read = labels.reshape(16, 9)
    own = (read == torch.arange(16)[:, None]).float().mean().item()
    assert own == pytest.approx(1 / 9)


@pytest.mark.parametrize("flag", ["nodes_mixed_with_time", "channels_mixed_with_time"])
@torch.no_grad()
def test_each_quirk_changes_the_output_and_no_size(flag: str) -> None:
    released = small_hop(preset="hop_released")
    ordered = small_hop(preset="hop_released", quirks=ReleasedQuirks(**{flag: False}))
    ordered.load_state_dict(released.state_dict())
    given = inputs(released)
    assert not torch.allclose(released(**given)[0], ordered(**given)[0])


@torch.no_grad()
def test_released_output_mixes_channels_with_time() -> None:
    """Finding 5: frame n reads channels 5n .. 5n+4 of every node and step."""
    rest = torch.arange(170).view(1, 170, 1, 1).expand(1, 170, 9, 4)
    frames = rest.reshape(1, 34, 180)
    assert all(set(frames[0, n].tolist()) == set(range(5 * n, 5 * n + 5)) for n in range(34))


@torch.no_grad()
def test_released_head_is_linear_and_the_clean_one_is_not() -> None:
    x, y = torch.randn(1, 350), torch.randn(1, 350)
    for preset, linear in (("hop_released", True), ("hop", False)):
        head = small_hop(preset=preset).head
        middle, mean = head((x + y) / 2), (head(x) + head(y)) / 2
        assert torch.allclose(middle, mean, atol=1e-5) is linear


# --- style, seeds and a little training ------------------------------------------------------


@torch.no_grad()
def test_style_noise_moves_the_output_and_zero_noise_is_the_mean() -> None:
    model = small_hop()
    given = inputs(model)
    style = model(**{**given, "noise": torch.zeros(2, 16)})[1]
    assert torch.equal(style.z, style.mean)
    assert not torch.equal(model(**given)[0], model(**{**given, "noise": -given["noise"]})[0])


@torch.no_grad()
def test_mel_of_the_clean_preset_fits() -> None:
    model = small_hop()
    given = inputs(model, batch=1)
    mel = hop_log_mel(given["samples"][0].numpy(), 34)
    given["mel"] = torch.from_numpy(mel)[None]
    assert torch.isfinite(model(**given)[0]).all()


def last_loss(windows: int, steps: int) -> float:
    """Return the loss after training on random windows, relative to the first."""
    torch.manual_seed(7)
    model = small_hop().train()
    given = inputs(model, batch=windows)
    given["speaker"] = torch.zeros(windows, dtype=torch.int64)
    wave = torch.sin(torch.linspace(0, 6, 34))[None, :, None]
    target = 0.3 * wave * torch.randn(windows, 1, 27)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses: list[float] = []
    for _ in range(steps):
        loss = (model(**given)[0] - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses[-1] / losses[0]


def test_over_fits_two_windows() -> None:
    assert last_loss(windows=2, steps=20) < 0.5


@pytest.mark.slow
def test_over_fits_64_windows() -> None:
    assert last_loss(windows=64, steps=200) < 0.2


# --- whole clips ---------------------------------------------------------------------------


def test_words_of_a_window_stand_in_their_frames() -> None:
    words = [
        SpokenWord(text="a", start=1.0, end=1.5),  # over before frame 30
        SpokenWord(text="b", start=1.9, end=2.2),  # still spoken: frame 0
        SpokenWord(text="c", start=2.6, end=2.8),
        SpokenWord(text="d", start=5.0, end=5.2),  # after the window
    ]
    got = window_pieces(words, lambda text: [ord(text)], 30)
    assert {n: row[0].item() for n, row in enumerate(got) if row[0] >= 0} == {0: 98, 9: 99}


@pytest.mark.parametrize("preset", ["hop", "hop_released"])
def test_a_clip_is_seeded_by_its_own_windows(preset: str) -> None:
    model = small_hop(preset=preset)
    samples = (0.1 * np.random.default_rng(1).normal(size=70_000)).astype(np.float32)
    word = SpokenWord(text="x", start=0.4, end=0.9)
    raw = hop_clip(model, lambda _: [7], samples, [word], 1)
    assert len(raw) == 3
    assert longform.join(raw).shape == (94, 27)
    again = hop_clip(model, lambda _: [7], samples, [word], 1)
    assert all(np.array_equal(a, b) for a, b in zip(raw, again, strict=True))
    seeds = np.full((model.config.seeds, 27), 0.5, np.float32)
    other = hop_clip(model, lambda _: [7], samples, [word], 1, seeds=seeds)
    assert not np.allclose(raw[0], other[0])
    assert not np.allclose(raw[1], other[1])  # through the last frames of the first
