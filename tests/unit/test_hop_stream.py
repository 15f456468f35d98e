"""The causal HOP: two forms, causality, its inputs matter, its size."""

import numpy as np
import torch

from export.parity import draw, probe_signal
from models.frontend import LEVEL_FEATURES, column_windows
from models.ha2g_stream import COLUMNS, Drawn
from models.hop_stream import PRESETS, HopStream
from models.rhythm import MOVES, true_course
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
    """Return the output [T, D * 3] under a fixed course of decisions."""
    given = arguments() | changed
    moves = (torch.arange(FRAMES) // 7 % MOVES)[None]
    drawn = network(**given, course=true_course(moves, given["code"]))
    return torch.cat([drawn.poses[-1][0], drawn.moves[0], drawn.voice[0, :, None]], -1)


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


def test_folded_prototypes_are_the_unfolded_ones():
    """Issue 4: within 1e-5, at the sizes that ship."""
    torch.manual_seed(0)
    network = HopStream(PRESETS["small"], load_skeleton("upper_body"), torch.randn(9, 12)).eval()
    token = torch.randn(2, 20, COLUMNS * 64)
    with torch.no_grad():
        want = network.reprogramming(token, network.language.table)
        network.fold()
        got = network.reprogramming(token, network.language.table)
    assert want.std() > 1e-3
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def steps(network: HopStream, windows: torch.Tensor, seed: np.ndarray) -> Drawn:
    """Return poses [T, D, 3] minus the mean, moves and voice (its logits), step by step."""
    given, shapes = arguments(len(windows)), network.state_shapes()
    zeros = {name: torch.zeros(1, *shape) for name, shape in shapes.items()}
    state = network.fresh_state(zeros, {"seed": torch.tensor(seed)[None]})
    poses, moves, voice = list[torch.Tensor](), list[torch.Tensor](), list[torch.Tensor]()
    for m in range(len(windows)):
        inputs = {
            "audio": windows[m][None],
            "word": given["word"][:, m],
            "word_info": given["word_info"][:, m],
            "lookahead": given["lookahead"],
            "style": given["style"],
        }
        outputs, state = network.step(inputs, state)
        poses.append(outputs["directions"][0] - network.mean)
        moves.append(state["move"][0])
        voice.append(torch.logit(outputs["voice"][0, 0]))
        assert {n: t.shape[1:] for n, t in state.items()} == shapes
    return Drawn(poses=[torch.stack(poses)], moves=torch.stack(moves), voice=torch.stack(voice))


@torch.no_grad()
def check_both_forms(network: HopStream, frames: int) -> None:
    """Assert that the step gives what whole sequences give, from raw audio."""
    audio, seed = probe_signal(frames / 15, 3), np.array([11.0, 222.0, 3333.0], np.float32)
    windows = torch.tensor(column_windows(audio, frames, COLUMNS, network.config.window))
    image, level = network.features(windows)
    codes = network.codes[draw(network.dice, frames, seed)][None]
    given = {"image": image[None], "level": level[None], "code": codes}
    want = network.generate(**(arguments(frames) | given), seed=torch.tensor(seed)[None])
    got = steps(network, windows, seed)
    assert torch.equal(got.moves, want.moves[0])
    assert len(got.moves.argmax(-1).unique()) > 2, "decisions so few that they prove nothing"
    directions = want.poses[-1][0].unflatten(-1, (-1, 3))
    torch.testing.assert_close(got.poses[0], directions, atol=5e-6, rtol=0)
    torch.testing.assert_close(got.voice, want.voice[0], atol=1e-4, rtol=0)


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
    parts = (network.recurrent, network.rhythm.gru)
    gru = sum(p.numel() for part in parts for p in part.parameters())
    attention = config.language_layers * 2 * config.span * config.width
    prototypes = 2 * config.prototypes * config.heads * config.head
    spread = 7 * 2 * nodes * nodes * config.channels
    assert counted[0] + front + gru + attention + prototypes + spread <= 8_000_000


def test_full_preset_has_the_papers_sizes():
    """Hop.md 4, 11: parameters in millions, and the state of TED Expressive's 42 bones."""
    with torch.device("meta"):  # no numbers, only their shapes
        network = HopStream(PRESETS["full"], load_skeleton("ted_expressive"), torch.zeros(9, 12))

    def millions(*modules: torch.nn.Module) -> float:
        return sum(p.numel() for m in modules for p in m.parameters()) / 1e6

    assert round(millions(network.reprogramming.prototypes), 3) == 45.785
    keys = (network.reprogramming.key, network.reprogramming.value, network.reprogramming.out)
    assert round(millions(*keys), 3) == 2.362  # its query has 256 bands here, 128 there
    assert round(millions(*network.language.layers), 1) == 42.5
    shapes = network.state_shapes()

    def floats(prefix: str) -> int:
        return sum(int(np.prod(s)) for n, s in shapes.items() if n.startswith(prefix))

    assert floats("language.") == 589_824 + 2
    assert floats("graph.") == 32_256 + 2 * 256
    assert floats("gru.") == 1_400
