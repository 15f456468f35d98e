"""What is used of onnxruntime's Python API, typed, and opening a session with it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy.typing as npt
import onnxruntime

from streamer.errors import ArtifactError, BackendError
from streamer.spec import ModelSpec
from streamer.types import GestureState

# onnxruntime's own types are incomplete; what is used of it is declared below.
_ort = cast(Any, onnxruntime)
_codes = _ort.capi.onnxruntime_pybind11_state
ORT_ERRORS: tuple[type[Exception], ...] = (
    _codes.Fail,
    _codes.InvalidArgument,
    _codes.InvalidGraph,
    _codes.InvalidProtobuf,
    _codes.NoSuchFile,
    _codes.NotImplemented,
    _codes.RuntimeException,
    RuntimeError,
)
_TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(bool)": "bool"}


class Node(Protocol):
    """An input or output of a graph."""

    name: str
    type: str
    shape: list[int | str | None]


class Binding(Protocol):
    """`IOBinding`: where each tensor of a run lies. It keeps no memory alive."""

    def bind_input(  # noqa: D102
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: npt.DTypeLike,
        shape: Sequence[int],
        buffer_ptr: int,
    ) -> None: ...
    def bind_output(  # noqa: D102
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: npt.DTypeLike,
        shape: Sequence[int],
        buffer_ptr: int,
    ) -> None: ...


class Session(Protocol):
    """`InferenceSession`."""

    def io_binding(self) -> Binding: ...  # noqa: D102
    def run_with_iobinding(self, iobinding: Binding) -> None: ...  # noqa: D102
    def get_inputs(self) -> Sequence[Node]: ...  # noqa: D102
    def get_outputs(self) -> Sequence[Node]: ...  # noqa: D102
    def get_providers(self) -> Sequence[str]: ...  # noqa: D102


Provider = tuple[str, Mapping[str, str]]
"""An execution provider's name and its options."""


def open_session(path: Path, threads: int) -> Session:
    """Load a graph for the CPU; raises `ArtifactError`."""
    try:
        return start_session(path, threads, [("CPUExecutionProvider", {})], module=_ort)
    except ORT_ERRORS as error:
        raise ArtifactError(
            f"{path}: onnxruntime cannot load it ({first_line(error)}); export the model again"
        ) from error


def start_session(
    path: Path, threads: int, providers: Sequence[Provider], *, module: Any
) -> Session:
    """Load a graph; raises `ArtifactError` where it is not there, and `ORT_ERRORS`.

    module: `onnxruntime` or what behaves like it.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: missing; copy the whole artifact folder or export it again")
    options = module.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = module.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # A spinning pool would take a second core from the game that runs beside us.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    asked = [(name, dict(told)) for name, told in providers]
    # without `enable_fallback=0` it would print, and run elsewhere than it was told
    return module.InferenceSession(str(path), options, providers=asked, enable_fallback=0)


def compare(path: Path, session: Session, spec: ModelSpec) -> None:
    """Raise `ArtifactError` where the graph and the manifest disagree."""
    masks = {"start": ("bool", ()), "ready": ("bool", ())}
    state = {t.name: (t.dtype, t.shape) for t in spec.state}
    wanted_in = {t.name: (t.dtype, t.shape) for t in spec.inputs} | state | masks
    wanted_out = {t.name: (t.dtype, t.shape) for t in spec.outputs}
    wanted_out |= {f"next_{name}": value for name, value in state.items()}
    for kind, wanted, nodes in (
        ("input", wanted_in, session.get_inputs()),
        ("output", wanted_out, session.get_outputs()),
    ):
        got = {node.name: (_TYPES.get(node.type, node.type), node.shape) for node in nodes}
        for name in sorted(wanted.keys() ^ got.keys()):
            where = "graph lacks it" if name in wanted else "manifest lacks it"
            raise ArtifactError(f"{path}: {kind} {name!r}: the {where}; export the model again")
        for name, (dtype, shape) in wanted.items():
            found, axes = got[name]
            if found != dtype or tuple(axes[1:]) != shape or isinstance(axes[0], int):
                raise ArtifactError(
                    f"{path}: {kind} {name!r} is {found} {axes}, the manifest says "
                    f"{dtype} [slots, {', '.join(map(str, shape))}]; export the model again"
                )


def graph_name(precision: str) -> str:
    """Return the file of an artifact that computes in a precision."""
    return "model.fp16.onnx" if precision == "float16" else "model.onnx"


def check_state(spec: ModelSpec, saved: GestureState) -> None:
    """Raise `BackendError` unless a saved state has the model's names, shapes and types."""
    for tensor in spec.state:
        got = saved.tensors.get(tensor.name)
        if got is None or got.shape != tensor.shape or str(got.dtype) != tensor.dtype:
            found = "missing" if got is None else f"{got.dtype} {list(got.shape)}"
            raise BackendError(
                f"saved state {tensor.name!r} is {found}, expected "
                f"{tensor.dtype} {list(tensor.shape)}; it is of another model"
            )


def first_line(error: Exception) -> str:
    """Return what an exception says, as one line, without the place in onnxruntime's source."""
    said = re.sub(r"^/\S+:\d+ .*?\) ", "", str(error).strip())
    return said.splitlines()[0][:200] if said else repr(error)
