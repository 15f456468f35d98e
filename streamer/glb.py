"""The JSON chunk of a binary glTF file, read from files that nobody vouches for.

Meshes and textures are never read. What is allocated is bounded by the file's
limits below, whatever the file claims of itself.
"""

import json
import struct
from pathlib import Path
from typing import Any, cast

from streamer.errors import InputError

MAX_FILE_BYTES = 256 << 20
MAX_JSON_BYTES = 16 << 20

# Python needs some 100 bytes for a value of the JSON text. A large VRM has
# 100 000 of them; half a million stays below 100 MB.
_MAX_JSON_VALUES = 500_000

_HEADER = struct.Struct("<4sII")
_CHUNK = struct.Struct("<I4s")


def read_glb_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a `.glb` or `.vrm` file; raises `InputError`."""
    name = path.name
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise InputError(
                    f"{name}: {size >> 20} MB; avatars may have {MAX_FILE_BYTES >> 20} MB, "
                    "export it with smaller textures"
                )
            head = file.read(_HEADER.size + _CHUNK.size)
            length = _json_length(name, head, size)
            text = file.read(length)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(text) < length:
        raise InputError(f"{name}: cut short inside its JSON; copy or download it again")
    return _parsed(name, text)


def _json_length(name: str, head: bytes, size: int) -> int:
    if len(head) < _HEADER.size + _CHUNK.size or head[:4] != b"glTF":
        raise InputError(f"{name}: not a binary glTF file; expected a .vrm avatar")
    _, version, total = _HEADER.unpack_from(head)
    length, kind = _CHUNK.unpack_from(head, _HEADER.size)
    if version != 2:
        raise InputError(f"{name}: binary glTF version {version}, expected 2")
    if total > size:
        raise InputError(f"{name}: cut short, {size} of {total} bytes; copy or download it again")
    if kind != b"JSON" or length > total - len(head):
        raise InputError(f"{name}: damaged, its first chunk is not JSON of a length that fits")
    if length > MAX_JSON_BYTES:
        raise InputError(
            f"{name}: {length >> 20} MB of JSON, at most {MAX_JSON_BYTES >> 20} MB is read"
        )
    return length


def _parsed(name: str, text: bytes) -> dict[str, Any]:
    values = text.count(b",") + text.count(b"[") + text.count(b"{")
    if values > _MAX_JSON_VALUES:
        raise InputError(
            f"{name}: {values} values in its JSON, at most {_MAX_JSON_VALUES} are read"
        )
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise InputError(f"{name}: damaged, its JSON is nested too deeply") from error
    except ValueError as error:  # not JSON, not UTF-8, or a number of thousands of digits
        raise InputError(f"{name}: damaged, its JSON cannot be read ({error})") from error
    if not isinstance(data, dict):
        raise InputError(f"{name}: damaged, its JSON is no object")
    return cast(dict[str, Any], data)
