"""Reads files of `torch.save` as data: the zip of today and the stream before PyTorch 1.6.

Nothing in them is run (`models.unpickle`). Sizes are those of the file: what
declares more than is there is refused before it is allocated.
"""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from models.unpickle import Machine
from streamer.errors import ArtifactError

MAX_FILE_BYTES = 4 << 30
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read_torch_file(path: Path) -> Any:
    """Return the content of a file; `ArtifactError` says what is wrong with it."""
    if not path.is_file():
        raise ArtifactError("no such file")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ArtifactError(f"{size} bytes, more than the {MAX_FILE_BYTES} that are read")
    with path.open("rb") as file:
        try:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            return _read_zip(file, size) if zipped else _read_stream(file, size)
        except (ValueError, EOFError, struct.error, zipfile.BadZipFile) as error:
            raise ArtifactError(
                f"truncated or no PyTorch file ({error}); download it again"
            ) from error


def _read_zip(file: BinaryIO, size: int) -> Any:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        programs = [name for name in members if name.endswith("/data.pkl")]
        if len(programs) != 1:
            raise ArtifactError("no PyTorch file: the zip holds no single data.pkl")
        root = programs[0].removesuffix("data.pkl")
        taken = 0

        def read(name: str) -> bytes:
            nonlocal taken
            info = members.get(name)
            if info is None:
                raise ArtifactError(f"truncated: {name} is missing; download it again")
            taken += info.file_size
            packed = info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1
            if packed or taken > size:
                raise ArtifactError(f"refused: {name} unpacks to more than the file holds")
            return archive.read(info)

        if f"{root}byteorder" in members and read(f"{root}byteorder") != b"little":
            raise ArtifactError("saved on a big-endian machine; not supported")
        known: dict[str, Tensor] = {}

        def storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
            if key not in known:
                known[key] = _numbers(read(f"{root}data/{key}"), dtype, key, count)
            return _same_type(known[key], dtype, key)

        return Machine(storage).run(io.BytesIO(read(programs[0])))


def _read_stream(file: BinaryIO, size: int) -> Any:
    if Machine().run(file) != _LEGACY_MAGIC:
        raise ArtifactError("no PyTorch file: neither a zip nor the format before 1.6")
    Machine().run(file)  # the protocol's version
    system = Machine().run(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ArtifactError("saved on a big-endian machine; not supported")
    at = file.tell()
    wanted: dict[str, tuple[torch.dtype, int]] = {}

    def note(dtype: torch.dtype, key: str, count: int) -> None:
        wanted[key] = (dtype, count)

    Machine(note).run(file)  # once to learn the storages, which come after
    keys = Machine().run(file)
    if not isinstance(keys, list):
        raise ValueError("no list of storages")
    known: dict[str, Tensor] = {}
    for key in keys:
        if key not in wanted:
            raise ArtifactError(f"storage {key!r} belongs to no tensor")
        dtype, count = wanted[key]
        (stored,) = struct.unpack("<q", _exactly(file, 8))
        if stored != count or count < 0:
            raise ArtifactError(f"storage {key!r}: {stored} numbers, expected {count}")
        if count * dtype.itemsize > size - file.tell():
            raise ArtifactError(f"truncated: storage {key!r} ends early; download it again")
        known[key] = _numbers(_exactly(file, count * dtype.itemsize), dtype, key, count)
    file.seek(at)

    def storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
        if key not in known:
            raise ArtifactError(f"truncated: storage {key!r} is missing; download it again")
        return _same_type(known[key], dtype, key)

    return Machine(storage).run(file)


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ArtifactError("truncated: the weights end early; download it again")
    return data


def _same_type(values: Tensor, dtype: torch.dtype, key: str) -> Tensor:
    if values.dtype != dtype:
        raise ArtifactError(f"storage {key!r} is declared as {values.dtype} and as {dtype}")
    return values


def _numbers(data: bytes, dtype: torch.dtype, key: str, count: int) -> Tensor:
    if len(data) != count * dtype.itemsize:
        raise ArtifactError(
            f"refused: storage {key!r} has {len(data)} bytes where {count} numbers of {dtype} "
            "are declared"
        )
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
