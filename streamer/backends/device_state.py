"""The state of many sessions in GPU memory, whichever library computes the step."""

import logging
from collections.abc import Callable
from functools import partial

import numpy as np

from streamer.backends.cuda import Cuda, CudaError, Pinned
from streamer.backends.layout import Layout, Part
from streamer.errors import BackendError
from streamer.spec import ModelSpec
from streamer.types import StepInputs, Tensors

_log = logging.getLogger(__name__)


class DeviceState:
    """Two blocks of state, a block of inputs and one of outputs, and pinned twins of these.

    A step reads one block of state and writes the other, so one that fails
    leaves the old state. After a CUDA error nothing can be read any more: every
    call raises `BackendError` from then on. For the inference thread alone.
    """

    def __init__(self, cuda: Cuda, spec: ModelSpec, slots: int, *, backend: str) -> None:
        self.cuda = cuda
        self.into = Layout.of(spec.inputs, slots, masks=True)
        self.out = Layout.of(spec.outputs, slots)
        self.kept = Layout.of(spec.state, slots)
        self._backend = backend
        self._names = [t.name for t in spec.outputs]
        self._side = 0
        self._lost: str | None = None
        self._device = list[int]()
        self._pinned = list[Pinned]()
        self.closed = False

    @property
    def bytes(self) -> int:
        """How much device memory the blocks take."""
        return self.into.size + self.out.size + 2 * self.kept.size

    def open(self) -> None:
        """Allocate; raises `CudaError`."""
        self._host_in, self._host_out = self._pin(self.into.size), self._pin(self.out.size)
        self._row = self._pin(max(p.row for p in self.kept.parts.values()))
        self._in, self._result = self.allocate(self.into.size), self.allocate(self.out.size)
        self._blocks = self.allocate(self.kept.size), self.allocate(self.kept.size)
        self._feed = self.into.views(self._host_in.bytes)
        self._results = self.out.views(self._host_out.bytes)

    def allocate(self, size: int) -> int:
        """Return the address of device memory that lives as long as this state."""
        self._device.append(self.cuda.allocate(size))
        return self._device[-1]

    def given(self, side: int) -> dict[str, tuple[int, Part]]:
        """Return where each input of the graph lies when it reads block `side`."""
        given = {name: (self._in + p.offset, p) for name, p in self.into.parts.items()}
        source = self._blocks[side]
        return given | {name: (source + p.offset, p) for name, p in self.kept.parts.items()}

    def results(self, side: int) -> dict[str, tuple[int, Part]]:
        """Return where each output of the graph lies when it reads block `side`."""
        results = {name: (self._result + p.offset, p) for name, p in self.out.parts.items()}
        target = self._blocks[1 - side]
        kept = self.kept.parts.items()
        return results | {f"next_{name}": (target + p.offset, p) for name, p in kept}

    def queue_in(self) -> None:
        """Queue the copy of all inputs to the device."""
        self.cuda.copy_in(self._in, self._host_in.address, self.into.size)

    def queue_out(self) -> None:
        """Queue the copy of all outputs to the host."""
        self.cuda.copy_out(self._host_out.address, self._result, self.out.size)

    def clear(self) -> None:
        """Make both blocks zeros: warm-up has run steps on them."""
        for block in self._blocks:
            self.cuda.zero(block, self.kept.size)
        self.cuda.wait()

    def step(self, inputs: StepInputs, queue: Callable[[int], None]) -> Tensors:
        """Run one step; `queue(side)` queues it from block `side` to the other, copies included.

        Raises `BackendError`, after which nothing can be read.
        """
        self._check()
        for name, tensor in inputs.tensors.items():
            np.copyto(self._feed[name], tensor)
        np.copyto(self._feed["start"], inputs.start)
        np.copyto(self._feed["ready"], inputs.ready)
        try:
            queue(self._side)
            self.cuda.wait()
        except BackendError as error:
            self._lost = str(error)
            raise BackendError(f"{self._backend}: {error}") from error
        self._side = 1 - self._side
        return {name: self._results[name].copy() for name in self._names}

    def read(self, slot: int) -> Tensors:
        """Return a copy of one slot's tensors."""
        self._check()
        out = dict[str, np.ndarray]()
        try:
            for name, part in self.kept.parts.items():
                source = self._blocks[self._side] + part.offset + slot * part.row
                self.cuda.copy_out(self._row.address, source, part.row)
                self.cuda.wait()
                bytes_ = self._row.bytes[: part.row]
                out[name] = bytes_.view(part.dtype).reshape(part.shape[1:]).copy()
        except CudaError as error:
            self._lost = str(error)
            raise BackendError(f"{self._backend}: the state cannot be read: {error}") from error
        return out

    def write(self, slot: int, tensors: Tensors) -> None:
        """Put one slot's tensors in force."""
        self._check()
        try:
            for name, part in self.kept.parts.items():
                row = self._row.bytes[: part.row].view(part.dtype).reshape(part.shape[1:])
                np.copyto(row, tensors[name])
                target = self._blocks[self._side] + part.offset + slot * part.row
                self.cuda.copy_in(target, self._row.address, part.row)
                self.cuda.wait()
        except CudaError as error:
            self._lost = str(error)
            raise BackendError(f"{self._backend}: the state cannot be written: {error}") from error

    def close(self) -> None:
        """Free everything; it may be repeated."""
        if self.closed:
            return
        self.closed = True
        frees = [
            *(partial(self.cuda.free, address) for address in self._device),
            *(partial(self.cuda.free_pinned, pinned) for pinned in self._pinned),
        ]
        for free in frees:
            try:
                free()
            except CudaError as error:  # after a failure nothing more can be given back
                _log.debug("freeing: %s", error)

    def _check(self) -> None:
        if self._lost is not None:
            raise BackendError(f"{self._backend}: the state was lost: {self._lost}")
        if self.closed:
            raise BackendError(f"{self._backend}: the back end is closed")

    def _pin(self, size: int) -> Pinned:
        self._pinned.append(self.cuda.allocate_pinned(size))
        return self._pinned[-1]


def too_large(backend: str, slots: int, free: int, wanted: int) -> BackendError:
    """Return the error that says how many slots would fit into `free` bytes.

    wanted: what `slots` take at least; the library's own scratch memory comes on top.
    """
    fit = min(slots * free // max(wanted, 1), slots - 1)
    return BackendError(
        f"{backend}: {slots} slots do not fit into {free / 1e6:.0f} MB of free GPU memory; "
        f"about {fit} would"
    )
