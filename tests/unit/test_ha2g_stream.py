"""The causal HA2G: two forms, causality, its inputs matter, its size."""

import numpy as np
import torch

from export.parity import draw, probe_signal
from models.frontend import LEVEL_FEATURES, column_windows
from models.ha2g_stream import COLUMNS, PRESETS, Ha2gStream
from models.rhythm import true_course
from streamer.skeleton import load_skeleton
from tests.stream_networks import TINY, tiny_network

FRAMES = 60


def arguments(frames: int = FRAMES, seed: int = 5) -> dict[str, torch.Tensor]:
    """Return one session's `forward` arguments but the course, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randn(1, frames, COLUMNS, TINY.mels, generator=generator),
        "level": torch.randn(1, frames, LEVEL_FEATURES, generator=generator),
        "word": torch.randint(0, 64, (1, frames, 12), generator=generator, dtype=torch.int32),
        "word_info": torch.ones(1, frames, 3),
        "lookahead": torch.tensor([[2]]),
        "style": torch.tensor([[0.0, 1.0, 0.0]]),
        "code": torch.randn(1, frames, 12, generator=generator),
    }


@torch.no_grad()
def last_level(
    network: Ha2gStream, move: torch.Tensor | None = None, **changed: torch.Tensor
) -> torch.Tensor:
    """Return what is drawn [T, D * 3], and decided [T, MOVES], side by side."""
    given = arguments() | changed
    course = true_course(MOVE if move is None else move, given["code"])
    drawn = network(**given, course=course)
    return torch.cat([drawn.poses[-1][0], drawn.moves[0], drawn.voice[0, :, None]], -1)


MOVE = torch.tensor([[0] * 5 + [1] * 6 + [2] * 9 + [3] + [4] * 8 + [3] + [4] * 10 + [5] * 20])


def test_nothing_sees_the_future():
    network, plain = tiny_network(), arguments()
    base = last_level(network)
    for name in ("image", "level", "word", "word_info", "code"):
        later = plain[name].clone()
        later[:, 40] = later[:, 40] * 0 + (7 if name == "word" else 3)
        moved = (last_level(network, **{name: later}) - base).abs().amax(1)
        assert moved[:40].max() == 0, name
        assert moved[40] > 0, f"{name} has no influence"
    move = MOVE.clone()
    move[:, 40] = 2
    moved = (last_level(network, move=move) - base).abs().amax(1)
    assert moved[:40].max() == 0
    assert moved[40] > 0


def test_style_and_lookahead_matter():
    network = tiny_network()
    base = last_level(network)
    big = last_level(network, style=torch.tensor([[0.0, 0.0, 1.0]]))
    eager = last_level(network, lookahead=torch.tensor([[0]]))
    assert (base - big).abs().max() > 1e-3
    assert (base - eager).abs().max() > 1e-4


def test_word_zero_is_no_word():
    network = tiny_network()
    none = arguments()["word"] * 0
    silent = arguments()["word_info"] * 0
    silent[..., 1:] = 1
    torch.testing.assert_close(
        last_level(network, word=none), last_level(network, word_info=silent)
    )


@torch.no_grad()
def test_step_equals_whole_sequence_from_raw_audio():
    network = tiny_network()
    audio, seed = probe_signal(4.0, 3), np.array([11.0, 222.0, 3333.0], np.float32)
    windows = torch.tensor(column_windows(audio, FRAMES, COLUMNS, TINY.window))
    image, level = network.features(windows)
    given = arguments()
    codes = network.codes[draw(network.dice, FRAMES, seed)][None]
    given |= {"image": image[None], "level": level[None], "code": codes}
    whole = network.generate(**given, seed=torch.tensor(seed)[None])
    assert len(whole.moves[0].argmax(-1).unique()) > 2, "an untrained rhythm moves at random"
    shapes = network.state_shapes()
    zeros = {name: torch.zeros(1, *shape) for name, shape in shapes.items()}
    state = network.fresh_state(zeros, {"seed": torch.tensor(seed)[None]})
    for m in range(FRAMES):
        inputs = {
            "audio": windows[m][None],
            "word": given["word"][:, m],
            "word_info": given["word_info"][:, m],
            "lookahead": given["lookahead"],
            "style": given["style"],
        }
        outputs, state = network.step(inputs, state)
        want = whole.poses[-1][0, m].unflatten(-1, (-1, 3)) + network.mean
        torch.testing.assert_close(outputs["directions"][0], want, atol=2e-6, rtol=0)
        torch.testing.assert_close(outputs["voice"][0, 0], torch.sigmoid(whole.voice[0, m]))
        assert torch.equal(state["move"], whole.moves[:, m])
        assert {n: t.shape[1:] for n, t in state.items()} == shapes


def test_small_preset_fits_its_budget():
    """Streaming.md 8: at most 50 000 state floats and 8 M multiply-adds a frame."""
    network = Ha2gStream(PRESETS["small"], load_skeleton("upper_body"), torch.zeros(100, 12))
    floats = sum(int(np.prod(shape)) for shape in network.state_shapes().values())
    assert floats <= 50_000
    counted = [0]

    def count(module: torch.nn.Module, _: object, out: torch.Tensor) -> None:
        match module:
            case torch.nn.Conv2d():
                counted[0] += out[0].numel() * module.weight[0].numel()
            case torch.nn.Linear():
                counted[0] += out[0].numel() * module.in_features

    for module in network.modules():
        module.register_forward_hook(count)
    shapes = network.state_shapes()
    state = {name: torch.zeros(1, *shape) for name, shape in shapes.items()}
    inputs = {
        "audio": torch.zeros(1, 2, 640),
        "word": torch.zeros(1, 12, dtype=torch.int32),
        "word_info": torch.zeros(1, 3),
        "lookahead": torch.zeros(1, 1, dtype=torch.int32),
        "style": torch.ones(1, 3) / 3,
    }
    with torch.no_grad():
        network.step(inputs, state)
    front = 2 * network.front.analysis.numel() + 2 * network.front.mel.numel()
    text = sum(w.numel() for w in network.text.weights)
    parts = [*network.levels, network.rhythm]
    grus = sum(p.numel() for part in parts for p in part.gru.parameters())
    assert counted[0] + front + text + grus <= 8_000_000


def test_full_preset_has_the_published_widths_and_both_forms_agree():
    """Ha2g.md 2.1, 2.3: channels 32 to 256 over 16 blocks, 4 x 300 GRUs for each of 6 levels."""
    torch.manual_seed(0)
    network = Ha2gStream(
        PRESETS["full"], load_skeleton("ted_expressive"), torch.randn(9, 12)
    ).eval()
    shapes = network.state_shapes()
    assert sum(name.startswith("layer") and "conv" in name for name in shapes) == 32
    assert sum(shape == (300,) for name, shape in shapes.items() if name[:3] == "gru") == 24
    rhythm = {n: s for n, s in shapes.items() if n in network.rhythm.shapes()}
    assert sum(int(np.prod(shape)) for shape in rhythm.values()) == 128 + 6 + 1 + 12 + 3
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 264_783
    generator = torch.Generator().manual_seed(1)
    windows = torch.randn(4, COLUMNS, 1024, generator=generator) * 0.1
    style, seed = torch.tensor([[0.2, 0.5, 0.3]]), torch.tensor([[7.0, 8.0, 9.0]])
    word, info = torch.zeros(1, 4, 12, dtype=torch.int32), torch.zeros(1, 4, 3)
    ahead = torch.tensor([[2]], dtype=torch.int32)
    with torch.no_grad():
        image, level = network.features(windows)
        codes = network.codes[draw(network.dice, 4, seed[0].numpy())]
        drawn = network.generate(
            image[None], level[None], word, info, ahead, style, codes[None], seed
        )
        inputs = {"word": word[:, 0], "word_info": info[:, 0], "lookahead": ahead, "style": style}
        inputs |= {"seed": seed, "audio": windows[:1]}
        state = network.fresh_state({n: torch.zeros(1, *s) for n, s in shapes.items()}, inputs)
        for m in range(4):
            outputs, state = network.step({**inputs, "audio": windows[m : m + 1]}, state)
            got = (outputs["directions"] - network.mean).flatten()
            torch.testing.assert_close(got, drawn.poses[-1][0, m], atol=1e-5, rtol=0)
