"""The step contract that every back end keeps (DESIGN 5).

Laws, proved by one suite in `tests/contract`: (1) step by step equals offline;
(2) an unready slot's state stays bit-identical; (3) `start` equals a fresh
state; (4) NaN in one slot stays there; (5) save, restore, continue is
identical; (6) shapes and types never change.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from streamer.spec import ModelSpec
from streamer.types import GestureState, StepInputs, Tensors

S = TypeVar("S")


class StepBackend(Protocol[S]):
    """Runs one step for a fixed number of slots.

    Only the inference thread calls it. State is moved: after `step(inputs,
    state)` use only the state that came back, since a back end may update in
    place.
    """

    @property
    def name(self) -> str:
        """What `--backend` calls it."""
        ...

    @property
    def precision(self) -> str:
        """In what the matrix products are computed: `float32`, `tf32` or `float16`."""
        ...

    @property
    def spec(self) -> ModelSpec:
        """The model that it runs."""
        ...

    def initial_state(self, slots: int) -> S:
        """Return a fresh state for `slots` sessions."""
        ...

    def step(self, inputs: StepInputs, state: S) -> tuple[Tensors, S]:
        """Advance every ready slot by one step; outputs are [S, ...].

        Outputs of slots that are not ready are undefined. Raises
        `BackendError` when the engine underneath fails; then the state is as it
        was before, or `save` raises too.
        """
        ...

    def save(self, state: S, slot: int) -> GestureState:
        """Return a copy of one slot's state on the host."""
        ...

    def restore(self, state: S, slot: int, saved: GestureState) -> S:
        """Put a saved state into a slot; raises `BackendError` if it does not fit."""
        ...

    def close(self) -> None:
        """Free what it holds; it must not be used afterwards."""
        ...


MakeBackend = Callable[[], StepBackend[Any]]
"""Makes a back end on the thread that will run it."""
