"""Just enough of FlatBuffers to read Arrow's message headers, each access bounded.

A table holds fields by number; an absent field has its default. Everything that
lies outside of the buffer raises `Malformed`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MAX_VECTOR = 1 << 20


class Malformed(ValueError):
    """Bytes that cannot be what they are taken for."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a flatbuffer at a position of its bytes."""

    data: memoryview
    at: int

    @classmethod
    def root(cls, data: memoryview) -> "Table":
        """Return the root table of a buffer."""
        return cls(data, number(data, "<I", 0))

    def int8(self, field: int, default: int = 0) -> int:
        """Return a byte or boolean field."""
        return self._scalar("<b", field, default)

    def int16(self, field: int, default: int = 0) -> int:
        """Return a short field."""
        return self._scalar("<h", field, default)

    def int32(self, field: int, default: int = 0) -> int:
        """Return an int field."""
        return self._scalar("<i", field, default)

    def int64(self, field: int, default: int = 0) -> int:
        """Return a long field."""
        return self._scalar("<q", field, default)

    def table(self, field: int) -> "Table":
        """Return a table field; it must be there."""
        return Table(self.data, self._follow(self._place(field)))

    def text(self, field: int) -> str:
        """Return a string field, empty where absent."""
        if not self._offset(field):
            return ""
        start, count = self._vector(field, 1)
        return bytes(self.data[start : start + count]).decode("utf-8", "replace")

    def tables(self, field: int) -> Iterator["Table"]:
        """Yield the tables of a vector field; none where absent."""
        if self._offset(field):
            start, count = self._vector(field, 4)
            for i in range(count):
                yield Table(self.data, self._follow(start + 4 * i))

    def structs(self, field: int, layout: str) -> list[tuple[int, ...]]:
        """Return the structs of a vector field, unpacked by a `struct` layout."""
        if not self._offset(field):
            return []
        size = struct.calcsize(layout)
        start, count = self._vector(field, size)
        return [struct.unpack_from(layout, self.data, start + size * i) for i in range(count)]

    def inline(self, field: int, layout: str) -> tuple[int, ...]:
        """Return a struct field; it must be there."""
        place = self._place(field)
        if place + struct.calcsize(layout) > len(self.data):
            raise Malformed("a struct past the end")
        return struct.unpack_from(layout, self.data, place)

    def _scalar(self, layout: str, field: int, default: int) -> int:
        return number(self.data, layout, self.at + o) if (o := self._offset(field)) else default

    def _offset(self, field: int) -> int:
        """Return where a field lies in the table, 0 where it is absent."""
        entries = self.at - number(self.data, "<i", self.at)
        if 4 + 2 * field + 2 > number(self.data, "<H", entries):
            return 0
        return number(self.data, "<H", entries + 4 + 2 * field)

    def _place(self, field: int) -> int:
        offset = self._offset(field)
        if not offset:
            raise Malformed(f"field {field} is missing")
        return self.at + offset

    def _follow(self, place: int) -> int:
        return place + number(self.data, "<I", place)

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        """Return where a vector's elements begin and how many there are."""
        place = self._follow(self._place(field))
        count = number(self.data, "<I", place)
        if count > _MAX_VECTOR or place + 4 + count * size > len(self.data):
            raise Malformed(f"a vector of {count} elements past the end")
        return place + 4, count


def number(data: memoryview, layout: str, place: int) -> int:
    """Return the number at a place of the bytes."""
    if place < 0 or place + struct.calcsize(layout) > len(data):
        raise Malformed("an offset past the end")
    return struct.unpack_from(layout, data, place)[0]
