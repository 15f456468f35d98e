"""The reference back end: the exported program in PyTorch, on CPU or as CUDA graphs."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np

from streamer.backends.layout import Layout
from streamer.backends.onnxruntime_session import check_state
from streamer.errors import ArtifactError, BackendError, UsageError
from streamer.spec import ModelSpec, load_manifest
from streamer.types import GestureState, StepInputs, Tensors

PROGRAM = "model.pt2"
Device = Literal["auto", "cpu", "cuda"]
_Run = Callable[..., tuple[Any, ...]]
"""(*inputs, start, ready, *state) to (*outputs, *next_state), all torch tensors."""


class TorchBackend:
    """Runs `model.pt2` of an artifact; only the inference thread calls `step`.

    device: `auto` takes CUDA where it answers. On CUDA every state has two
    blocks of memory and a graph for each direction between them, so a step that
    fails leaves the old state as it was. Raises `ArtifactError` for a program
    that does not fit its manifest and `UsageError` where PyTorch or the device
    is missing.
    """

    def __init__(self, folder: Path, *, device: Device = "auto") -> None:
        self._torch = torch = _import()
        manifest = load_manifest(folder)
        self._spec = manifest.spec
        path = folder / PROGRAM
        if PROGRAM not in manifest.files:
            raise ArtifactError(
                f"{folder.name}: its manifest lists no {PROGRAM}; "
                "write one with python -m export build --pt2"
            )
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        elif device == "cuda" and not torch.cuda.is_available():
            raise UsageError("torch finds no CUDA device; use device cpu")
        self._cuda = device == "cuda"
        try:
            program = torch.export.load(path)
        except (RuntimeError, ValueError, KeyError, OSError, BadZipFile) as error:
            raise ArtifactError(
                f"{path}: torch {torch.__version__} cannot load it ({_line(error)}); "
                "export the model again with this version"
            ) from error
        _compare(path, program, self._spec)
        if self._cuda:
            program = import_module("torch.export.passes").move_to_device_pass(program, "cuda")
        self._run: _Run = program.module()

    @property
    def name(self) -> str:
        """`torch`."""
        return "torch"

    @property
    def precision(self) -> str:
        """In what the program computes."""
        return "float32"

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        return "cuda" if self._cuda else "cpu"

    @property
    def spec(self) -> ModelSpec:
        """The model that it runs."""
        return self._spec

    def initial_state(self, slots: int) -> "HostState | GraphedState":
        """Return a state of zeros; on CUDA this captures its graphs (seconds)."""
        if not self._cuda:
            return HostState(self._torch, self._run, self._spec, slots)
        try:
            return GraphedState(self._torch, self._run, self._spec, slots)
        except RuntimeError as error:
            raise BackendError(f"torch: {slots} slots: {_line(error)}") from error

    def step(
        self, inputs: StepInputs, state: "HostState | GraphedState"
    ) -> tuple[Tensors, "HostState | GraphedState"]:
        """Advance the ready slots; raises `BackendError` when PyTorch fails."""
        try:
            return state.step({**inputs.tensors, "start": inputs.start, "ready": inputs.ready})
        except RuntimeError as error:
            raise BackendError(f"torch: {_line(error)}") from error

    def save(self, state: "HostState | GraphedState", slot: int) -> GestureState:
        """Return a copy of one slot's state; raises `BackendError` where it cannot be read."""
        try:
            rows = {name: tensor[slot].cpu() for name, tensor in state.tensors.items()}
            return GestureState(tensors={name: row.numpy().copy() for name, row in rows.items()})
        except RuntimeError as error:  # after a CUDA error nothing can be read
            raise BackendError(f"torch: {_line(error)}") from error

    def restore(
        self, state: "HostState | GraphedState", slot: int, saved: GestureState
    ) -> "HostState | GraphedState":
        """Put a saved state into a slot; raises `BackendError` if it does not fit."""
        check_state(self._spec, saved)
        try:
            for name, tensor in state.tensors.items():
                tensor[slot] = self._torch.from_numpy(np.array(saved.tensors[name]))
            if self._cuda:  # the graphs run on a stream of their own
                self._torch.cuda.current_stream().synchronize()
        except RuntimeError as error:
            raise BackendError(f"torch: {_line(error)}") from error
        return state

    def close(self) -> None:
        """Nothing to do: PyTorch frees what a state holds with the state."""


class HostState:
    """State tensors in host memory, new ones after every step."""

    def __init__(self, torch: Any, run: _Run, spec: ModelSpec, slots: int) -> None:
        self._torch, self._run, self._spec = torch, run, spec
        self._order = [*(t.name for t in spec.inputs), "start", "ready"]
        shapes = {t.name: (slots, *t.shape) for t in spec.state}
        self.tensors: dict[str, Any] = {n: torch.zeros(s) for n, s in shapes.items()}

    def step(self, feed: Mapping[str, Any]) -> tuple[Tensors, "HostState"]:
        """Run one step; when it raises, the state is as it was."""
        with self._torch.no_grad():
            arguments = [self._torch.from_numpy(np.array(feed[name])) for name in self._order]
            results = self._run(*arguments, *self.tensors.values())
        split = len(self._spec.outputs)
        self.tensors = dict(zip(self.tensors, results[split:], strict=True))
        names = (t.name for t in self._spec.outputs)
        return {n: r.numpy() for n, r in zip(names, results[:split], strict=True)}, self


class GraphedState:
    """State in two blocks of device memory, with a CUDA graph for each direction.

    A graph holds the copy in, the step and the copy out, between addresses that
    stay. Warm-up and capture run the step, so they come before the first real
    state: the blocks are zeros again afterwards.
    """

    def __init__(self, torch: Any, run: _Run, spec: ModelSpec, slots: int) -> None:
        self._torch, self._run, self._spec = torch, run, spec
        into = Layout.of(spec.inputs, slots, masks=True)
        out = Layout.of(spec.outputs, slots)
        kept = Layout.of(spec.state, slots)
        self._host_in, self._in = self._pair(into)
        self._host_out, self._out = self._pair(out)
        self._feed = into.views(self._host_in.numpy())
        self._results = out.views(self._host_out.numpy())
        self._inputs, self._outputs = self._views(into, self._in), self._views(out, self._out)
        blocks = [torch.zeros(kept.size, dtype=torch.uint8, device="cuda") for _ in range(2)]
        self._sides = [self._views(kept, block) for block in blocks]
        self._side = 0
        self._stream = torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        # TF32 is cuDNN's default for convolutions and would cost the parity
        with torch.no_grad(), torch.backends.cudnn.flags(allow_tf32=False):
            with torch.cuda.stream(self._stream):
                for side in (0, 1, 0, 1):
                    self._body(side)
            self._stream.synchronize()
            self._graphs = [self._capture(side) for side in (0, 1)]
        for block in blocks:
            block.zero_()
        torch.cuda.current_stream().synchronize()

    @property
    def tensors(self) -> dict[str, Any]:
        """The state that is in force, on the device."""
        return self._sides[self._side]

    def step(self, feed: Mapping[str, Any]) -> tuple[Tensors, "GraphedState"]:
        """Run one step; when it raises, the state that was in force still is."""
        for name, view in self._feed.items():
            np.copyto(view, feed[name])
        with self._torch.cuda.stream(self._stream):
            self._graphs[self._side].replay()
        self._stream.synchronize()
        self._side = 1 - self._side
        return {name: view.copy() for name, view in self._results.items()}, self

    def _body(self, side: int) -> None:
        self._in.copy_(self._host_in, non_blocking=True)
        results = self._run(*self._inputs.values(), *self._sides[side].values())
        targets = [*self._outputs.values(), *self._sides[1 - side].values()]
        for target, result in zip(targets, results, strict=True):
            target.copy_(result)
        self._host_out.copy_(self._out, non_blocking=True)

    def _capture(self, side: int) -> Any:
        graph = self._torch.cuda.CUDAGraph()
        with self._torch.cuda.graph(graph, stream=self._stream):
            self._body(side)
        return graph

    def _pair(self, layout: Layout) -> tuple[Any, Any]:
        """Return a block in pinned memory and its twin on the device."""
        byte = self._torch.uint8
        host = self._torch.zeros(layout.size, dtype=byte, pin_memory=True)
        return host, self._torch.zeros(layout.size, dtype=byte, device="cuda")

    def _views(self, layout: Layout, block: Any) -> dict[str, Any]:
        return {
            name: block[p.offset : p.offset + p.size]
            .view(getattr(self._torch, p.dtype))
            .view(p.shape)
            for name, p in layout.parts.items()
        }


def _import() -> Any:
    try:
        return import_module("torch")
    except ImportError as error:
        raise UsageError(
            "PyTorch is not installed: pip install 'gesture-streamer[torch]'"
        ) from error


def _compare(path: Path, program: Any, spec: ModelSpec) -> None:
    """Raise `ArtifactError` where the program's inputs and the manifest disagree."""
    masks = [((), "bool"), ((), "bool")]
    inputs, state = ([(t.shape, str(t.dtype)) for t in s] for s in (spec.inputs, spec.state))
    wanted = [*inputs, *masks, *state]
    names = set(program.graph_signature.user_inputs)
    nodes = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]
    values = [node.meta["val"] for node in nodes]
    got = [(tuple(v.shape[1:]), str(v.dtype).removeprefix("torch.")) for v in values]
    if got != wanted:
        raise ArtifactError(f"{path}: its inputs are not the manifest's; export the model again")


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
