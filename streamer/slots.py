"""Which session has which slot of the batched state."""

from dataclasses import dataclass

from streamer.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in the batch; `generation` tells its successive owners apart."""

    index: int
    generation: int


class SlotTable:
    """Hands out slots, lowest index first; only the event loop calls it."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise UsageError(f"slots: got {capacity}, expected at least 1")
        self._generations = [0] * capacity
        self._taken = [False] * capacity

    @property
    def capacity(self) -> int:
        """How many slots there are."""
        return len(self._taken)

    @property
    def free(self) -> int:
        """How many slots nobody has."""
        return self._taken.count(False)

    def acquire(self) -> Slot:
        """Take a free slot; raises `UsageError` when every slot is taken."""
        if all(self._taken):
            raise UsageError(f"all {self.capacity} sessions are in use; close one or allow more")
        index = self._taken.index(False)
        self._taken[index] = True
        self._generations[index] += 1
        return Slot(index=index, generation=self._generations[index])

    def release(self, slot: Slot) -> None:
        """Give a slot back; a slot that has another owner by now is left alone."""
        if self.owns(slot):
            self._taken[slot.index] = False

    def owns(self, slot: Slot) -> bool:
        """Tell whether a slot still belongs to whom it was handed to."""
        return self._taken[slot.index] and self._generations[slot.index] == slot.generation
