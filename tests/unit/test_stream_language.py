"""The cached causal language model: two forms, its window, and MiniLM's own numbers."""

from pathlib import Path

import pytest
import torch

from models.causal import State
from models.stream_language import LanguageShape, StreamLanguage
from streamer.errors import ArtifactError

SHAPE = LanguageShape(buckets=50, width=8, layers=2, heads=2, feed=12, span=7)
FRAMES = 25


def uneven(shape: LanguageShape) -> StreamLanguage:
    """Return a language model in which nothing is neutral, in float64."""
    generator = torch.Generator().manual_seed(1)
    model = StreamLanguage(shape).double()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).double() * 0.5
    return model.requires_grad_(False)


def stepped(model: StreamLanguage, x: torch.Tensor) -> torch.Tensor:
    """Return features [T, width] of vectors [T, width], frame by frame."""
    state: State = {n: torch.zeros(1, *s).double() for n, s in model.shapes().items()}
    rows: list[torch.Tensor] = []
    for row in x:
        new: State = {}
        rows.append(model.step(row[None], state, new)[0])
        assert {n: tuple(t.shape[1:]) for n, t in new.items()} == model.shapes()
        state = new
    return torch.stack(rows)


@pytest.mark.parametrize("positions", [0, 10])
@pytest.mark.parametrize("layers", [0, 2])
def test_cached_steps_equal_whole_sequences(positions: int, layers: int) -> None:
    shape = LanguageShape(
        buckets=50, width=8, layers=layers, heads=2, feed=12, span=7, positions=positions
    )
    model, x = uneven(shape), torch.randn(FRAMES, 8).double()
    whole = model(x[None])[0]
    torch.testing.assert_close(stepped(model, x), whole, atol=1e-12, rtol=0)


def test_blocks_of_a_long_sequence_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = uneven(SHAPE), torch.randn(2, FRAMES, 8).double()
    whole = model(x)
    for block in (1, 4, 8):
        monkeypatch.setattr("models.stream_language._BLOCK", block)
        torch.testing.assert_close(model(x), whole, atol=1e-12, rtol=0)


def test_it_sees_its_span_for_each_layer_and_no_more() -> None:
    model, x = uneven(SHAPE), torch.randn(FRAMES, 8).double()
    base, later = model(x[None])[0], x.clone()
    later[4, 0] += 1
    moved = (model(later[None])[0] - base).abs().amax(1) > 0
    assert moved.nonzero()[:, 0].tolist() == list(range(4, 4 + 2 * (SHAPE.span - 1) + 1))


def test_positions_wrap_and_an_offset_shifts_them() -> None:
    shape = LanguageShape(buckets=50, width=8, layers=1, heads=2, feed=12, span=3, positions=10)
    model, x = uneven(shape), torch.randn(1, 1, 8).double().expand(1, 24, 8)
    out = model(x)[0]
    # what a frame sees repeats with the positions, once the first frames are out of sight
    torch.testing.assert_close(out[4:14], out[14:24])
    assert not torch.allclose(out[4], out[5])
    shifted = model(x, torch.tensor([3]))[0]
    torch.testing.assert_close(shifted[4:21], out[7:24])


def test_no_word_is_empty_and_a_word_is_the_sum_of_its_rows() -> None:
    model = uneven(SHAPE)
    word = torch.tensor([[3, 5, 0], [0, 0, 0], [3, 5, 0]])
    present = torch.tensor([[1.0], [1.0], [0.0]])
    got = model.embed(word, present)
    torch.testing.assert_close(got[0], model.table[3] + model.table[5])
    assert torch.equal(got[1], model.empty)
    assert torch.equal(got[2], model.empty)


def test_weights_travel_in_half_and_need_the_same_shape(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, other = StreamLanguage(SHAPE), StreamLanguage(SHAPE)
    model.save(tmp_path / "m.safetensors")
    other.load(tmp_path / "m.safetensors")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    # fewer layers are a part of more
    shallow = StreamLanguage(LanguageShape(buckets=50, width=8, layers=0, heads=2, span=7))
    shallow.load(tmp_path / "m.safetensors")
    assert torch.equal(shallow.table, other.table)
    wide = StreamLanguage(LanguageShape(buckets=51, width=8, layers=2, heads=2, feed=12, span=7))
    with pytest.raises(ArtifactError, match="does not fit"):
        wide.load(tmp_path / "m.safetensors")
    with pytest.raises(ArtifactError, match="training distil"):
        wide.load(tmp_path / "none.safetensors")
