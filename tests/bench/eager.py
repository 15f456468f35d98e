"""PyTorch without any export: what the artifacts are measured against."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from export.artifact import model_spec, step_module
from models.checkpoint import Checkpoint
from streamer.spec import ModelSpec
from streamer.types import GestureState, StepInputs, Tensors


class EagerTorch:
    """A network's own step, run by PyTorch line by line; it keeps the step contract."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.spec: ModelSpec = model_spec(checkpoint)
        self._module = step_module(checkpoint.network, self.spec).to(device)
        self._device = device

    @property
    def name(self) -> str:
        return "torch eager"

    @property
    def precision(self) -> str:
        return "float32"

    def initial_state(self, slots: int) -> dict[str, torch.Tensor]:
        return {t.name: torch.zeros(slots, *t.shape, device=self._device) for t in self.spec.state}

    @torch.no_grad()
    def step(
        self, inputs: StepInputs, state: dict[str, torch.Tensor]
    ) -> tuple[Tensors, dict[str, torch.Tensor]]:
        given = [inputs.tensors[t.name] for t in self.spec.inputs]
        masks = (np.asarray(inputs.start), np.asarray(inputs.ready))
        tensors = [torch.from_numpy(np.array(x)).to(self._device) for x in (*given, *masks)]
        results = self._module(*tensors, *state.values())
        split = len(self.spec.outputs)
        outputs = {
            t.name: r.cpu().numpy() for t, r in zip(self.spec.outputs, results[:split], strict=True)
        }
        return outputs, dict(zip(state, results[split:], strict=True))

    def save(self, state: dict[str, torch.Tensor], slot: int) -> GestureState:
        return GestureState(tensors={n: t[slot].cpu().numpy().copy() for n, t in state.items()})

    def restore(
        self, state: dict[str, torch.Tensor], slot: int, saved: GestureState
    ) -> dict[str, torch.Tensor]:
        for name, tensor in state.items():
            tensor[slot] = torch.from_numpy(np.array(saved.tensors[name]))
        return state

    def close(self) -> None:
        pass


def in_turn(
    runs: Mapping[str, Callable[[], Any]], *, rounds: int, each: int = 1
) -> dict[str, Sequence[float]]:
    """Return the milliseconds of each call, the candidates taking turns.

    Whatever else the machine does meets all of them alike, so their ratio holds.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            for _ in range(each):
                began = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - began) * 1e3)
    return times
