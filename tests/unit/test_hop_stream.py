"""The causal HOP: two forms, causality, its inputs matter, its size."""

import numpy as np
import torch

from export.parity import draw, probe_signal
from models.frontend import LEVEL_FEATURES, column_windows
from models.ha2g_stream import COLUMNS
from models.hop_stream import PRESETS, HopStream
from streamer.skeleton import load_skeleton
from tests.stream_networks import HOP_TINY, tiny_hop

FRAMES = 60


def arguments(frames: int = FRAMES, seed: int = 5) -> dict[str, torch.Tensor]:
    """Return one session's `forward` arguments, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randn(1, frames, COLUMNS, HOP_TINY.mels, generator=generator),
        "level": torch.randn(1, frames, LEVEL_FEATURES, generator=generator),
        "word": torch.randint(0, 64, (1, frames, 12), generator=generator, dtype=torch.int32),
        "word_info": torch.ones(1, frames, 3),
        "lookahead": torch.tensor([[2]]),
        "style": torch.tensor([[0.0, 1.0, 0.0]]),
        "code": torch.randn(1, frames, 12, generator=generator),
    }


@torch.no_grad()
def motion(network: HopStream, **changed: torch.Tensor) -> torch.Tensor:
    """Return the output [T, D * 3]."""
    (poses,), _ = network(**(arguments() | changed))
    return poses[0]


def test_nothing_sees_the_future():
    network, plain = tiny_hop(), arguments()
    base = motion(network)
    for name in ("image", "level", "word", "word_info", "code"):
        later = plain[name].clone()
        later[:, 40] = later[:, 40] * 0 + (7 if name == "word" else 3)
        moved = (motion(network, **{name: later}) - base).abs().amax(1)
        assert moved[:40].max() == 0, name
        assert moved[40] > 0, f"{name} has no influence"


def test_style_and_lookahead_matter():
    network = tiny_hop()
    base = motion(network)
    big = motion(network, style=torch.tensor([[0.0, 0.0, 1.0]]))
    eager = motion(network, lookahead=torch.tensor([[0]]))
    assert (base - big).abs().max() > 1e-3
    assert (base - eager).abs().max() > 1e-4


def test_word_zero_is_no_word_and_has_no_facts():
    network = tiny_hop()
    none = arguments()["word"] * 0
    silent = arguments()["word_info"] * 0
    chatty = silent.clone()
    chatty[..., 1:] = 1
    base = motion(network, word=none, word_info=silent)
    torch.testing.assert_close(motion(network, word_info=chatty), base, rtol=0, atol=0)


def steps(network: HopStream, windows: torch.Tensor, seed: np.ndarray) -> torch.Tensor:
    """Return directions [T, D, 3] minus the mean, step by step; state keeps its shapes."""
    given, shapes = arguments(len(windows)), network.state_shapes()
    zeros = {name: torch.zeros(1, *shape) for name, shape in shapes.items()}
    state = network.fresh_state(zeros, {"seed": torch.tensor(seed)[None]})
    out: list[torch.Tensor] = []
    for m in range(len(windows)):
        inputs = {
            "audio": windows[m][None],
            "word": given["word"][:, m],
            "word_info": given["word_info"][:, m],
            "lookahead": given["lookahead"],
            "style": given["style"],
        }
        outputs, state = network.step(inputs, state)
        out.append(outputs["directions"][0] - network.mean)
        assert {n: t.shape[1:] for n, t in state.items()} == shapes
    return torch.stack(out)


@torch.no_grad()
def check_both_forms(network: HopStream, frames: int) -> None:
    """Assert that the step gives what whole sequences give, from raw audio."""
    audio, seed = probe_signal(frames / 15, 3), np.array([11.0, 222.0, 3333.0], np.float32)
    windows = torch.tensor(column_windows(audio, frames, COLUMNS, network.config.window))
    image, level = network.features(windows)
    codes = network.codes[draw(network.dice, frames, seed)][None]
    given = {"image": image[None], "level": level[None], "code": codes}
    (poses,), _ = network(**(arguments(frames) | given))
    want = poses[0].unflatten(-1, (-1, 3))
    torch.testing.assert_close(steps(network, windows, seed), want, atol=5e-6, rtol=0)


def test_step_equals_whole_sequence_from_raw_audio():
    check_both_forms(tiny_hop(), FRAMES)


def test_absolute_positions_wrap_alike_in_both_forms():
    check_both_forms(tiny_hop(positions=24), 40)


def test_without_a_language_model_both_forms_agree():
    check_both_forms(tiny_hop(language="none"), 20)


def test_small_preset_fits_its_budget():
    """Streaming.md 8: 50 000 state floats, 8 M multiply-adds a frame, 12 MB."""
    network = HopStream(PRESETS["small"], load_skeleton("upper_body"), torch.zeros(100, 12))
    network.fold()
    shapes = network.state_shapes()
    assert sum(int(np.prod(shape)) for shape in shapes.values()) <= 50_000
    tensors = [*network.parameters(), *network.buffers()]
    assert sum(t.numel() for t in tensors) * 4 <= 11_900_000
    counted = [0]

    def count(module: torch.nn.Module, _: object, out: torch.Tensor) -> None:
        if isinstance(module, torch.nn.Linear):
            counted[0] += out[0].numel() * module.in_features

    for module in network.modules():
        module.register_forward_hook(count)
    state = {name: torch.zeros(1, *shape) for name, shape in shapes.items()}
    inputs = {
        "audio": torch.zeros(1, 2, 640),
        "word": torch.zeros(1, 12, dtype=torch.int32),
        "word_info": torch.zeros(1, 3),
        "lookahead": torch.zeros(1, 1, dtype=torch.int32),
        "style": torch.ones(1, 3) / 3,
    }
    with torch.no_grad():
        network.eval().step(inputs, state)
    config, nodes = network.config, network.skeleton.vectors
    front = 2 * network.front.analysis.numel() + 2 * network.front.mel.numel()
    gru = sum(p.numel() for p in network.recurrent.parameters())
    attention = config.language_layers * 2 * config.span * config.width
    prototypes = 2 * config.prototypes * config.heads * config.head
    spread = 7 * 2 * nodes * nodes * config.channels
    assert counted[0] + front + gru + attention + prototypes + spread <= 8_000_000
