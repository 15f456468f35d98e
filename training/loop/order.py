"""Which windows a step takes: a function of seed and step alone, so that runs resume exactly."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from streamer.errors import InputError

Key = tuple[int, int]
"""A window's index and the seed of what is random about its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Windows shuffled anew every epoch; the last incomplete batch is left out, as published."""

    windows: int
    batch: int
    seed: int

    def __post_init__(self) -> None:
        if self.windows < self.batch:
            raise InputError(
                f"{self.windows} training windows, fewer than one batch of {self.batch}; "
                f"convert more, or --set batch={max(1, self.windows)}"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Full batches of one epoch."""
        return self.windows // self.batch

    def of(self, step: int, rank: int = 0, world: int = 1) -> list[Key]:
        """Return one process's keys of a step (from 0)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        share = self.batch // world
        begin = place * self.batch + rank * share
        chosen = _permutation(self.windows, self.seed, epoch)[begin : begin + share]
        first = step * self.batch + rank * share
        return [(int(index), first + i) for i, index in enumerate(chosen)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """One process's keys of the steps from `first` to before `end`, made as they are asked for."""

    order: Order
    first: int
    end: int
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return max(0, self.end - self.first)

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self.first, self.end):
            yield self.order.of(step, self.rank, self.world)


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)
