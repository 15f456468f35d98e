"""Writing files beside a stream: in large pieces, by a thread, so that it stalls nothing."""

import asyncio
from pathlib import Path
from typing import IO, Final

from streamer.errors import UsageError

_FLUSH_BYTES: Final = 128 * 1024
"""About a second and a half of frames; written at once, off the event loop."""


def check_writable(path: Path) -> None:
    """Raise `UsageError` unless the file can be made or replaced; leave it as it is."""
    try:
        new = not path.exists()
        path.open("xb" if new else "ab").close()
        if new:
            path.unlink()
    except OSError as error:
        raise UsageError(f"--record {path}: cannot be written: {error.strerror}") from error


class Spool:
    """A file written in large pieces by a thread, so that a slow disk stalls nothing.

    It is made, or an old one emptied, when the first piece is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._waiting = bytearray()

    def add(self, data: bytes) -> None:
        """Let data wait for the next piece."""
        self._waiting += data

    async def flush_if_full(self) -> None:
        """Write the piece if it is large enough."""
        if len(self._waiting) >= _FLUSH_BYTES:
            await self._flush()

    async def aclose(self) -> None:
        """Write what waits and close."""
        try:
            await self._flush()
        finally:
            if self._file is not None:
                self._file.close()

    async def _flush(self) -> None:
        data, self._waiting = self._waiting, bytearray()
        await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes | bytearray) -> None:
        if self._file is None:
            self._file = self._path.open("wb")
        self._file.write(data)
        self._file.flush()
