"""What a published checkpoint may be made of, and how each is built from a pickle's data.

`construct` and `fill` are all that a pickle can make `models.unpickle` do: the
names in `ALLOWED` select a construction below; none is imported or called.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamer.errors import ArtifactError

Array = npt.NDArray[Any]

STORAGES: Mapping[str, torch.dtype] = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}

ALLOWED = frozenset(
    {
        "argparse.Namespace",
        "model.vocab.Vocab",
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch.Size",
        "numpy.ndarray",
        "numpy.dtype",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "_codecs.encode",
        *STORAGES,
    }
)


@dataclass(slots=True, eq=False)
class Namespace:
    """The training options (`argparse.Namespace`) as a plain mapping."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True, eq=False)
class Vocabulary:
    """A pickled `model.vocab.Vocab`, of words or of speakers (ha2g.md 1.7).

    index: word -> row; rows: special tokens included; embeddings: float32
    [rows, 300] or None.
    """

    name: str = ""
    index: dict[str, int] = field(default_factory=dict[str, int])
    rows: int = 0
    embeddings: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class GlobalName:
    """A name the pickle mentions. It is never looked up."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """The numbers behind tensors; None in the pass that only learns which there are."""

    values: Tensor | None


@dataclass(slots=True, eq=False)
class ArrayType:
    """A numpy type under construction."""

    code: str
    order: str = "="


@dataclass(slots=True, eq=False)
class PendingArray:
    """A numpy array whose shape and data have not come yet."""


def allowed(name: str) -> GlobalName:
    """Return a global name, or refuse it."""
    if name not in ALLOWED:
        raise ArtifactError(
            f"refused: the file asks for {name!r}; only tensors, plain containers, arguments "
            "and vocabularies are read"
        )
    return GlobalName(name)


def storage_type(pid: Any) -> tuple[torch.dtype, str, int]:
    """Return type, key and count of a persistent id, which must be a tensor storage."""
    match pid:
        case ("storage", GlobalName(name), str(key), str(), int(count), *_) if name in STORAGES:
            return STORAGES[name], key, count
        case _:
            raise ArtifactError(f"refused: {str(pid)[:80]} is no tensor storage")


def construct(what: Any, args: Any) -> Any:
    """Return what a REDUCE or NEWOBJ of an allowed name builds."""
    if not isinstance(what, GlobalName):
        raise ArtifactError("refused: the pickle calls something that is no name")
    match (what.name.replace("numpy._core.", "numpy.core."), args):
        case ("argparse.Namespace", ()):
            return Namespace()
        case ("model.vocab.Vocab", ()):
            return Vocabulary()
        case ("collections.OrderedDict", ()):
            return {}
        case ("collections.OrderedDict", ([*pairs],)):
            return pairs_to_dict([item for pair in pairs for item in _pair(pair)])
        case (
            "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2",
            (Storage(values), int(offset), tuple(size), tuple(stride), *_),
        ):
            return None if values is None else _tensor(values, offset, size, stride)
        case ("torch._utils._rebuild_parameter", (Tensor() | None as data, *_)):
            return data
        case ("torch.Size", (tuple(size),)):
            return size
        case ("_codecs.encode", (str(text), "latin1")):
            return text.encode("latin1")
        case ("numpy.dtype", (str(code), *_)):
            return ArrayType(code)
        case ("numpy.core.multiarray._reconstruct", (GlobalName("numpy.ndarray"), (0,), _)):
            return PendingArray()
        case ("numpy.core.multiarray.scalar", (ArrayType() as kind, bytes(data))):
            return _array((), kind, data, fortran=False)[()]
        case _:
            raise ArtifactError(f"refused: {what.name} with arguments that no checkpoint has")


def fill(target: Any, state: Any) -> Any:
    """Return what an object becomes by BUILD: itself, or for an array the finished one."""
    match (target, state):
        case (Namespace(), dict()):
            target.values.update({str(k): v for k, v in state.items()})
        case (Vocabulary(), dict()):
            _fill_vocabulary(target, cast(dict[str, Any], state))
        case (ArrayType(), (_, str(order), *_)):
            target.order = order
        case (PendingArray(), (_, tuple(shape), ArrayType() as kind, fortran, bytes(data))):
            return _array(shape, kind, data, fortran=bool(fortran))
        case (dict(), dict()):
            pass  # `_metadata` of a state dict, which nothing here needs
        case _:
            raise ArtifactError(f"refused: state for a {type(target).__name__}")
    return target


def pairs_to_dict(items: list[Any]) -> dict[Any, Any]:
    """Return a dict of alternating keys and values."""
    if len(items) % 2:
        raise ValueError("a key without its value")
    try:
        return dict(zip(items[::2], items[1::2], strict=True))
    except TypeError as error:
        raise ArtifactError("refused: a dict whose keys are no plain values") from error


def _pair(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple) or len(cast(list[Any], value)) != 2:
        raise ValueError("an OrderedDict of something else than pairs")
    return list(cast(list[Any], value))


def _fill_vocabulary(target: Vocabulary, state: Mapping[str, Any]) -> None:
    index, rows = state.get("word2index"), state.get("n_words")
    if not isinstance(index, dict) or not isinstance(rows, int):
        raise ArtifactError("a vocabulary without word2index and n_words")
    if any(not isinstance(k, str) or not isinstance(v, int) for k, v in index.items()):
        raise ArtifactError("a vocabulary whose word2index does not map words to rows")
    weights = state.get("word_embedding_weights")
    if weights is not None and not isinstance(weights, np.ndarray):
        raise ArtifactError("a vocabulary whose embeddings are no array")
    target.name = str(state.get("name", ""))
    target.index, target.rows = cast(dict[str, int], index), rows
    target.embeddings = None if weights is None else weights.astype(np.float32)


def _tensor(values: Tensor, offset: int, size: tuple[Any, ...], stride: tuple[Any, ...]) -> Tensor:
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(
        not isinstance(n, int) or not 0 <= n < 1 << 62 for n in numbers
    ):
        raise ArtifactError(f"a tensor of size {size} and stride {stride}")
    count = math.prod(size)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if count else 0
    # A tensor may not be larger than its storage: a stride of 0 would make it so.
    if count > len(values) or last >= max(len(values), 1):
        raise ArtifactError(
            f"a tensor of size {size} in a storage of {len(values)} numbers; refused"
        )
    return values.as_strided(size, stride, offset).contiguous()


def _array(shape: tuple[Any, ...], kind: ArrayType, data: bytes, *, fortran: bool) -> Array:
    code = kind.code.lstrip("<=|")
    if code[:1] not in ("f", "i", "u", "b") or kind.order not in ("<", "=", "|"):
        raise ArtifactError(f"refused: an array of type {kind.code!r}")
    dtype = np.dtype(code)
    if any(not isinstance(n, int) or n < 0 for n in shape):
        raise ArtifactError(f"an array of shape {shape}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ArtifactError(f"an array of shape {shape} with {len(data)} bytes; refused")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()
