"""Each causal block: step by step equals the whole sequence, the future does not leak."""

import pytest
import torch

from models.causal import (
    CausalConv2d,
    CausalSqueeze,
    SqueezeBlock,
    StreamGru,
    TextStack,
    running_mean_matrix,
)

FRAMES = 50


def fresh(block: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(1, *shape) for name, shape in block.shapes().items()}


@pytest.mark.parametrize(("stride", "dilation"), [((1, 1), 1), ((2, 1), 4), ((2, 2), 1)])
@torch.no_grad()
def test_convolution(stride: tuple[int, int], dilation: int):
    torch.manual_seed(0)
    block = CausalConv2d("c", 2, 3, 8, stride=stride, dilation=dilation).eval()
    columns = stride[1]
    x = torch.randn(1, 2, 8, FRAMES * columns)
    whole = block(x)
    assert whole.shape[-1] == FRAMES
    state, rows = fresh(block), list[torch.Tensor]()
    for n in range(FRAMES):
        new: dict[str, torch.Tensor] = {}
        rows.append(block.step(x[..., n * columns : (n + 1) * columns], state, new))
        state = new
    torch.testing.assert_close(torch.cat(rows, -1), whole, atol=1e-6, rtol=0)


@torch.no_grad()
def test_squeeze_is_the_exact_running_mean_then_exponential():
    x = torch.randn(60, 1, dtype=torch.float32)
    mean = running_mean_matrix(60) @ x
    torch.testing.assert_close(mean[20], x[:21].mean(0), atol=1e-6, rtol=0)
    want = mean[50] + (x[51] - mean[50]) / 34
    torch.testing.assert_close(mean[51], want, atol=1e-6, rtol=0)


@torch.no_grad()
def test_squeeze_and_block_step_equals_whole():
    torch.manual_seed(1)
    for block in (
        SqueezeBlock("b", 4, 4, 6).eval(),
        SqueezeBlock("b", 4, 8, 6, stride=(2, 2)).eval(),
        SqueezeBlock("b", 4, 8, 6, stride=(2, 1), dilation=4).eval(),
    ):
        columns = block.stride[1]
        x = torch.randn(1, 4, 6, FRAMES * columns)
        whole = block(x, 1)
        state, rows = fresh(block), list[torch.Tensor]()
        for n in range(FRAMES):
            new: dict[str, torch.Tensor] = {}
            weight = torch.full((1, 1), 1.0 / min(n + 1, 34))
            columns_n = x[..., n * columns : (n + 1) * columns]
            rows.append(block.step(columns_n, weight, state, new))
            state = new
        torch.testing.assert_close(torch.cat(rows, -1), whole, atol=2e-6, rtol=0)


@torch.no_grad()
def test_squeeze_holds_one_gate_per_frame():
    block = CausalSqueeze("s", 4).eval()
    x = torch.randn(1, 4, 3, 20)
    ratio = block(x, 2) / x
    torch.testing.assert_close(ratio[..., 0::2], ratio[..., 1::2])


@torch.no_grad()
def test_text_stack():
    torch.manual_seed(2)
    block = TextStack("t", 3, 5).eval()
    x = torch.randn(1, FRAMES, 5)
    whole = block(x)
    state, rows = fresh(block), list[torch.Tensor]()
    for n in range(FRAMES):
        new: dict[str, torch.Tensor] = {}
        rows.append(block.step(x[:, n], state, new))
        state = new
    torch.testing.assert_close(torch.stack(rows, 1), whole, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_text_stack_sees_sixteen_frames_and_no_future():
    torch.manual_seed(4)
    block = TextStack("t", 1, 4).eval()
    x = torch.randn(32, FRAMES, 4)
    changed = x.clone()
    changed[:, 20] += 1
    moved = (block(x) - block(changed)).abs().sum((0, 2, 3)) > 0
    assert moved.nonzero().flatten().tolist() == list(range(20, 36))


@torch.no_grad()
def test_written_out_gru_equals_torch():
    torch.manual_seed(3)
    block = StreamGru("g", 5, 7, 3).eval()
    x = torch.randn(2, FRAMES, 5)
    whole = block(x)
    state = {name: torch.zeros(2, *shape) for name, shape in block.shapes().items()}
    rows = list[torch.Tensor]()
    for n in range(FRAMES):
        new: dict[str, torch.Tensor] = {}
        rows.append(block.step(x[:, n], state, new))
        state = new
    torch.testing.assert_close(torch.stack(rows, 1), whole, atol=1e-6, rtol=1e-6)
