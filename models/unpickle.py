"""Interprets a pickle as data.

A pickle is a program. This machine has no instruction to import or to call:
a global name only ever selects one of the constructions of `models.pickled`,
and any other name is refused by that name.
"""

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO

import torch
from torch import Tensor

from models.pickled import (
    PendingArray,
    Storage,
    allowed,
    construct,
    fill,
    pairs_to_dict,
    storage_type,
)
from streamer.errors import ArtifactError

MAX_PICKLE_BYTES = 1 << 30

StorageOf = Callable[[torch.dtype, str, int], Tensor | None]
"""Returns the numbers of a storage by type, key and count; None if not known yet."""

_VALUES = frozenset(
    """BININT BININT1 BININT2 INT LONG LONG1 LONG4 BINFLOAT FLOAT BINUNICODE SHORT_BINUNICODE
    BINUNICODE8 UNICODE STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES
    BINBYTES8""".split()
)


class _Mark:
    """Start of a run of items on the stack."""


class Machine:
    """Runs one pickle stream; `storage` is None where the format has no tensors."""

    def __init__(self, storage: StorageOf | None = None) -> None:
        self.storage = storage
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: BinaryIO) -> Any:
        """Return what the stream builds; the file stands after its STOP.

        Raises `ArtifactError` for what is refused, `ValueError` for what is no
        whole pickle.
        """
        start = file.tell()
        for op, arg, at in pickletools.genops(file):
            if (at or 0) - start > MAX_PICKLE_BYTES:
                raise ArtifactError("the pickle is larger than any checkpoint's")
            if op.name == "STOP":
                return self._pop()
            self._do(op.name, arg)
        raise ValueError("the pickle has no end")

    def _do(self, op: str, arg: Any) -> None:
        stack = self.stack
        if op in _VALUES:
            stack.append(arg)
            return
        match op:
            case "PROTO" | "FRAME":
                pass
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(op == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_SET":
                stack.append(set())
            case "MARK":
                stack.append(_Mark())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [self._pop() for _ in range(int(op[-1]))]
                stack.append(tuple(reversed(items)))
            case "TUPLE":
                stack.append(tuple(self._to_mark()))
            case "LIST":
                stack.append(self._to_mark())
            case "DICT":
                stack.append(pairs_to_dict(self._to_mark()))
            case "APPEND" | "APPENDS":
                items = [self._pop()] if op == "APPEND" else self._to_mark()
                self._top(list).extend(items)
            case "SETITEM":
                value, key = self._pop(), self._pop()
                self._top(dict).update(pairs_to_dict([key, value]))
            case "SETITEMS":
                items = self._to_mark()
                self._top(dict).update(pairs_to_dict(items))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[arg] = self._top(object)
            case "MEMOIZE":
                self.memo[len(self.memo)] = self._top(object)
            case "GET" | "BINGET" | "LONG_BINGET":
                if arg not in self.memo:
                    raise ValueError(f"memo {arg} is empty")
                stack.append(self.memo[arg])
            case "POP":
                self._pop()
            case "DUP":
                stack.append(self._top(object))
            case "GLOBAL":
                stack.append(allowed(str(arg).replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = self._pop(), self._pop()
                stack.append(allowed(f"{module}.{name}"))
            case "BINPERSID":
                stack.append(self._stored(self._pop()))
            case "NEWOBJ" | "REDUCE":
                args, what = self._pop(), self._pop()
                stack.append(construct(what, args))
            case "BUILD":
                state, target = self._pop(), self._pop()
                self._replace(target, fill(target, state))
            case _:
                raise ArtifactError(f"refused: the pickle uses {op}, which no checkpoint needs")

    def _stored(self, pid: Any) -> Storage:
        dtype, key, count = storage_type(pid)
        if self.storage is None:
            raise ArtifactError("refused: a tensor where the format has none")
        return Storage(self.storage(dtype, key, count))

    def _replace(self, target: Any, built: Any) -> None:
        if isinstance(target, PendingArray):
            self.memo = {k: built if v is target else v for k, v in self.memo.items()}
        self.stack.append(built)

    def _pop(self) -> Any:
        if not self.stack or isinstance(self.stack[-1], _Mark):
            raise ValueError("the pickle's stack is empty")
        return self.stack.pop()

    def _top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise ValueError("the pickle's stack holds something else")
        return self.stack[-1]

    def _to_mark(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[i], _Mark):
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise ValueError("the pickle has no mark")
