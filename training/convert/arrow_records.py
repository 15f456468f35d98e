"""What `pyarrow.serialize` of old wrote, read without pyarrow.

That function was removed in pyarrow 14, and the pinned 0.14.1 has no wheels
for a Python of today; the TED datasets are full of it. A record is

    4 int32 counts (3 and padding before pyarrow 0.15)
    an Arrow stream of one record batch: a dense union column, row 0 is the value
    one Arrow tensor message for each numpy array, 64-byte aligned

A union's members are the Python types that occur: bool, int64, utf8, binary,
floats; int32 is the number of a numpy array; a list is a list of a union, a
dict a list of a struct of two unions, keys and values. Lists, tuples and sets
become lists. Objects that were pickled inside are refused: nothing is run.

Checked on records of pyarrow 0.14.1, 0.17.1 and 11.0.0 (tests/unit/test_arrow_records.py).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamer.errors import InputError
from training.convert.flatbuffer import Malformed, Table, number

Array = npt.NDArray[Any]

_STREAM_AT: Final = 16
_ALIGNMENT: Final = 64
_CONTINUATION: Final = -1
_DEPTH: Final = 100

_SCHEMA, _BATCH, _TENSOR = 1, 3, 4
_V5: Final = 4  # unions lost their validity bitmap


class _Kind(IntEnum):
    """Arrow's types by their number in a schema, those that occur."""

    NULL = 1
    INT = 2
    FLOAT = 3
    BINARY = 4
    TEXT = 5
    BOOL = 6
    LIST = 12
    STRUCT = 13
    UNION = 14


def read_record(data: bytes | memoryview) -> Any:
    """Return the value of a record; raises `InputError` where it is not one.

    Arrays are read-only views of the data.
    """
    view = memoryview(data).toreadonly()
    try:
        return _read(view)
    except (
        struct.error,
        ValueError,  # Malformed too
        TypeError,  # numpy: a buffer too small for its shape
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:
        raise InputError(
            f"not a record that pyarrow.serialize wrote ({error}); expected the LMDB that the "
            "authors of the dataset published"
        ) from error


def _read(view: memoryview) -> Any:
    messages = _messages(view, _STREAM_AT)
    schema, _, _ = next(messages, (None, 0, 0))
    batch, body, end = next(messages, (None, 0, 0))
    if schema is None or batch is None or (schema.int8(1), batch.int8(1)) != (_SCHEMA, _BATCH):
        raise Malformed("no record batch")
    fields = list(schema.table(2).tables(1))
    if len(fields) != 1:
        raise Malformed(f"{len(fields)} columns, expected 1")
    builder = _Columns(batch.table(2), view[body:end], with_validity=batch.int16(0) < _V5)
    column = builder.column(fields[0], 0)
    # the end of the stream is 0, with or without a continuation mark before it
    after = end + 4 if number(view, "<i", end) == 0 else end + 8
    arrays = [
        _tensor(message.table(2), view[body:end])
        for message, body, end in _messages(view, _aligned(after), _ALIGNMENT)
        if message.int8(1) == _TENSOR
    ]
    return _Decoder(arrays, limit=len(view)).value(column, 0, 0)


def _messages(view: memoryview, at: int, alignment: int = 1) -> Iterator[tuple[Table, int, int]]:
    """Yield each message of a stream, and where its body begins and ends."""
    while at + 4 <= len(view):
        size = number(view, "<i", at)
        at += 4
        if size == _CONTINUATION:
            size = number(view, "<i", at)
            at += 4
        if size == 0:
            return
        if size < 0 or at + size > len(view):
            raise Malformed(f"a message of {size} bytes past the end")
        message = Table.root(view[at : at + size])
        body = at + size
        end = body + message.int64(3)
        if not body <= end <= len(view):
            raise Malformed("a body past the end")
        yield message, body, end
        at = _aligned(end) if alignment > 1 else end


def _aligned(place: int) -> int:
    return -(-place // _ALIGNMENT) * _ALIGNMENT


def _tensor(header: Table, body: memoryview) -> Array:
    shape = [dim.int64(0) for dim in header.tables(2)]
    strides = [stride for (stride,) in header.structs(3, "<q")] or None
    offset, length = header.inline(4, "<qq")
    return np.ndarray(
        shape, _dtype(header.int8(0), header.table(1)), _cut(body, offset, length), 0, strides
    )


def _dtype(kind: int, described: Table) -> np.dtype[Any]:
    match kind:
        case _Kind.INT:
            sign = "i" if described.int8(1) else "u"
            return np.dtype(f"<{sign}{described.int32(0) // 8}")
        case _Kind.FLOAT:
            return np.dtype(("<f2", "<f4", "<f8")[described.int16(0)])
        case _:
            raise Malformed(f"numbers of Arrow type {kind}")


def _cut(body: memoryview, offset: int, length: int) -> memoryview:
    if offset < 0 or length < 0 or offset + length > len(body):
        raise Malformed("a buffer past the end")
    return body[offset : offset + length]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Column:
    """An Arrow array. values: numbers, offsets or, of bits, bytes; types: of a union."""

    kind: int
    length: int
    valid: Array | None
    values: Array
    types: Array
    text: memoryview
    children: dict[int, "_Column"]


class _Columns:
    """Takes a record batch apart, in the order in which its nodes and buffers lie."""

    def __init__(self, batch: Table, body: memoryview, *, with_validity: bool) -> None:
        self._nodes = iter(batch.structs(1, "<qq"))
        self._buffers = iter([_cut(body, a, n) for a, n in batch.structs(2, "<qq")])
        self._with_validity = with_validity

    def column(self, field: Table, depth: int) -> _Column:
        """Return a field's array, with all below it."""
        if depth > _DEPTH:
            raise Malformed("nested too deep")
        kind = _Kind(field.int8(2))
        length, _ = self._next(self._nodes)
        valid: Array | None = None
        values = types = np.zeros(0, np.int32)
        text = memoryview(b"")
        numbers = range(0)
        if kind not in (_Kind.NULL, _Kind.UNION) or (kind == _Kind.UNION and self._with_validity):
            bits = np.frombuffer(self._next(self._buffers), np.uint8)
            valid = np.unpackbits(bits, bitorder="little") if len(bits) else None
        match kind:
            case _Kind.NULL:
                pass
            case _Kind.INT | _Kind.FLOAT:
                values = self._array(_dtype(kind, field.table(3)))
            case _Kind.BOOL:
                values = np.unpackbits(self._array(np.dtype("u1")), bitorder="little")
            case _Kind.BINARY | _Kind.TEXT:
                values = self._array(np.dtype("<i4"))
                text = self._next(self._buffers)
            case _Kind.LIST:
                values = self._array(np.dtype("<i4"))
            case _Kind.STRUCT:
                pass
            case _Kind.UNION:
                types = self._array(np.dtype("i1"))
                values = self._array(np.dtype("<i4"))
                numbers = [n for (n,) in field.table(3).structs(1, "<i")]
            case _:
                raise Malformed(f"Arrow type {kind}")
        below = [self.column(child, depth + 1) for child in field.tables(5)]
        keys = numbers if kind == _Kind.UNION and numbers else range(len(below))
        return _Column(
            kind=kind,
            length=length,
            valid=valid,
            values=values,
            types=types,
            text=text,
            children=dict(zip(keys, below, strict=True)),
        )

    def _array(self, dtype: np.dtype[Any]) -> Array:
        buffer = self._next(self._buffers)
        return np.frombuffer(buffer[: len(buffer) // dtype.itemsize * dtype.itemsize], dtype)

    def _next(self, items: Iterator[Any]) -> Any:
        item = next(items, None)
        if item is None:
            raise Malformed("fewer buffers than columns")
        return item


class _Decoder:
    """Turns rows of columns into Python values; `limit` bounds how many."""

    def __init__(self, arrays: list[Array], limit: int) -> None:
        self._arrays, self._left = arrays, limit

    def value(self, column: _Column, row: int, depth: int) -> Any:
        """Return one row of a column."""
        self._left -= 1
        if self._left < 0 or depth > 2 * _DEPTH or not 0 <= row < column.length:
            raise Malformed("more values than the record has bytes for, or rows past the end")
        if column.valid is not None and not self._at(column.valid, row):
            return None
        match column.kind:
            case _Kind.NULL:
                return None
            case _Kind.INT:
                whole = int(self._at(column.values, row))
                if column.values.dtype.itemsize != 4:
                    return whole
                if not 0 <= whole < len(self._arrays):
                    raise Malformed(f"array {whole} of {len(self._arrays)}")
                return self._arrays[whole]
            case _Kind.FLOAT:
                return float(self._at(column.values, row))
            case _Kind.BOOL:
                return bool(self._at(column.values, row))
            case _Kind.BINARY | _Kind.TEXT:
                begin, end = self._range(column, row, len(column.text))
                content = bytes(column.text[begin:end])
                return content if column.kind == _Kind.BINARY else content.decode("utf-8")
            case _Kind.LIST:
                (below,) = column.children.values()
                begin, end = self._range(column, row, below.length)
                return self._list(below, begin, end, depth)
            case _Kind.UNION:
                child = column.children.get(int(self._at(column.types, row)))
                if child is None:
                    raise Malformed("a union of unknown members")
                return self.value(child, int(self._at(column.values, row)), depth + 1)
            case _:
                raise Malformed(f"Arrow type {column.kind} outside of a dict")

    def _list(self, below: _Column, begin: int, end: int, depth: int) -> Any:
        if below.kind != _Kind.STRUCT:
            return [self.value(below, i, depth + 1) for i in range(begin, end)]
        if len(below.children) != 2:
            raise Malformed("a dict without keys and values")
        keys, values = below.children.values()
        out: dict[Any, Any] = {}
        for i in range(begin, end):
            key = self.value(keys, i, depth + 1)
            if not isinstance(key, str | int | float | bytes | bool):
                raise Malformed("a dict whose keys are no plain values")
            if key == "_pytype_":
                raise Malformed("it holds a pickled object, which is refused")
            out[key] = self.value(values, i, depth + 1)
        return out

    def _range(self, column: _Column, row: int, limit: int) -> tuple[int, int]:
        begin, end = int(self._at(column.values, row)), int(self._at(column.values, row + 1))
        if not 0 <= begin <= end <= limit:
            raise Malformed("a list past the end")
        return begin, end

    def _at(self, values: Array, row: int) -> Any:
        if not 0 <= row < len(values):
            raise Malformed("rows past the end of a buffer")
        return values[row]
