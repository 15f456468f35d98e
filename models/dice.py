"""The seeded dice that live in the state: which gesture code, and for how long.

A Wichmann-Hill generator: three small integers held as float32. Every product
stays below 2**24, so each back end computes the same integers exactly, and a
session is reproducible (spec/streaming.md, What follows, 2).
"""

import torch
from torch import Tensor, nn

_FACTORS = (171.0, 172.0, 170.0)
_MODULI = (30269.0, 30307.0, 30323.0)


def uniform(integers: Tensor) -> tuple[Tensor, Tensor]:
    """Return (next integers [S, 3], a number [S, 1] in [0, 1)) of a generator's integers."""
    factors = torch.tensor(_FACTORS, device=integers.device)
    moduli = torch.tensor(_MODULI, device=integers.device)
    product = integers * factors
    integers = product - moduli * torch.floor(product / moduli)
    total = integers.sum(-1, keepdim=True)
    total = total - _MODULI[0] * torch.floor(total / _MODULI[0])
    return integers, total / _MODULI[0]


class Dice(nn.Module):
    """Redraws one of `faces` codes every `shortest` to `longest` frames.

    State [S, 4] = three generator integers and the frames left.
    """

    def __init__(self, faces: int, *, shortest: int, longest: int) -> None:
        super().__init__()
        if faces > 256:
            raise ValueError(f"{faces} codes; at most 256 keep the draw exact in float32")
        self.faces, self.shortest, self.longest = faces, shortest, longest

    def _roll(self, integers: Tensor, faces: int) -> tuple[Tensor, Tensor]:
        """Advance [S, 3] and return it with a draw [S, 1] in 0 .. faces-1."""
        integers, number = uniform(integers)
        return integers, torch.floor(number * faces)

    def step(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (next state [S, 4], index int [S], drawn bool [S, 1])."""
        integers, left = state[:, :3], state[:, 3:]
        drawn = left < 0.5
        rolled, face = self._roll(integers, self.faces)
        rolled, extra = self._roll(rolled, self.longest - self.shortest + 1)
        integers = torch.where(drawn, rolled, integers)
        left = torch.where(drawn, extra + (self.shortest - 1), left - 1)
        # a NaN must not become an index outside the table
        index = face[:, 0].to(torch.int64).clamp(0, self.faces - 1)
        return torch.cat([integers, left], -1), index, drawn
