"""A network as the exported step: flat tensors in, flat tensors out, masks inside."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


class SteppedNetwork(Protocol):
    """What a streaming network offers to `StepModule`."""

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the state tensors' shapes without the slot axis."""
        ...

    def fresh_state(self, state: State, inputs: Mapping[str, Tensor]) -> State:
        """Return a fresh state with the slots of `state`."""
        ...

    def step(self, inputs: Mapping[str, Tensor], state: State) -> tuple[State, State]:
        """Run one step; returns (outputs, next state)."""
        ...


class StepModule(nn.Module):
    """Wraps a network's step with the `start` and `ready` masks (DESIGN 5).

    forward(*inputs, start, ready, *state) returns (*outputs, *next_state), all
    in the order of the names given. Masks select; they never multiply, so a
    NaN stays in its slot and an unready slot keeps its bits.
    """

    def __init__(
        self, network: SteppedNetwork, inputs: tuple[str, ...], outputs: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.network = network
        self.inputs, self.outputs = inputs, outputs
        self.state = tuple(network.state_shapes())

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run one masked step."""
        count = len(self.inputs)
        inputs = dict(zip(self.inputs, tensors[:count], strict=True))
        start, ready = tensors[count], tensors[count + 1]
        kept = dict(zip(self.state, tensors[count + 2 :], strict=True))
        fresh = self.network.fresh_state(kept, inputs)
        state = {n: torch.where(_spread(start, t), fresh[n], t) for n, t in kept.items()}
        outputs, new = self.network.step(inputs, state)
        masked = [torch.where(_spread(ready, kept[n]), new[n], kept[n]) for n in self.state]
        return (*(outputs[n] for n in self.outputs), *masked)


def _spread(mask: Tensor, like: Tensor) -> Tensor:
    """Return a bool mask [S] with trailing axes to broadcast over `like`."""
    return mask.reshape(-1, *([1] * (like.dim() - 1)))
