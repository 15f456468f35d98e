"""The moving average of a network's weights, which is steadier than the last of them."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Average:
    """Exponential moving average of named tensors, statistics too.

    The decay grows with the steps up to its value, so that the random start is
    soon forgotten.
    """

    def __init__(self, tensors: Mapping[str, Tensor], decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.tensors = {k: v.detach().clone() for k, v in tensors.items()}

    @torch.no_grad()
    def update(self, tensors: Mapping[str, Tensor]) -> None:
        """Take in the present values."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in tensors.items():
            if value.is_floating_point():
                self.tensors[key].lerp_(value, 1 - decay)
            else:
                self.tensors[key].copy_(value)

    def load(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Go on from kept tensors."""
        for key, value in tensors.items():
            self.tensors[key].copy_(value)
        self.steps = steps
