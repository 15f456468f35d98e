"""Where named tensors lie in one block of memory, so that one copy moves them all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.spec import TensorSpec

ALIGNMENT = 256
"""What TensorRT asks of an address, and what CUDA gives to an allocation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One tensor in a block: `offset` and `size` in bytes, `shape` with the slot axis."""

    offset: int
    size: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def row(self) -> int:
        """Bytes of one slot."""
        return self.size // self.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The tensors of a block by name, and the block's size in bytes."""

    parts: Mapping[str, Part]
    size: int

    @classmethod
    def of(cls, tensors: Iterable[TensorSpec], slots: int, *, masks: bool = False) -> "Layout":
        """Lay out tensors for `slots` sessions; masks: `start` and `ready` too, as bool."""
        shapes = [(t.name, (slots, *t.shape), str(t.dtype)) for t in tensors]
        if masks:
            shapes += [("start", (slots,), "bool"), ("ready", (slots,), "bool")]
        parts, at = dict[str, Part](), 0
        for name, shape, dtype in shapes:
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            parts[name] = Part(offset=at, size=size, shape=shape, dtype=dtype)
            at += -(-size // ALIGNMENT) * ALIGNMENT
        return cls(parts=parts, size=at)

    def views(self, block: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
        """Return each tensor as a view of a block's bytes."""
        return {
            name: block[p.offset : p.offset + p.size].view(p.dtype).reshape(p.shape)
            for name, p in self.parts.items()
        }
