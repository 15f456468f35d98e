"""Recordings: `.jsonl` as on the wire, `.npz` as arrays (DESIGN 7)."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from streamer.errors import UsageError
from streamer.sinks.base import Policy, Sink
from streamer.sinks.captions import CaptionSink
from streamer.types import Event, Hello, SkeletonFrame
from streamer.wire import INCLUDES, event_json, frame_json, hello_json

MakeHello = Callable[[], Hello]

_FLUSH_BYTES = 128 * 1024
"""About a second and a half of frames; written at once, off the event loop."""


def open_recording(path: Path, hello: MakeHello) -> Sink:
    """Return the sink for `--record PATH`; raises `UsageError` unless it can be written.

    hello: asked once, when the first frame or event comes.
    """
    match path.suffix.lower():
        case ".jsonl":
            return JsonlSink(path, hello)
        case ".npz":
            return NpzSink(path, hello)
        case ".vtt" | ".srt" as suffix:
            _check_writable(path)
            return CaptionSink(path, "vtt" if suffix == ".vtt" else "srt")
        case suffix:
            raise UsageError(
                f"--record {path}: recordings are .jsonl or .npz, captions .vtt or .srt, "
                f"not {suffix or 'without suffix'}"
            )


class JsonlSink:
    """Writes a hello line, then one frame or event a line, in order."""

    def __init__(self, path: Path, hello: MakeHello) -> None:
        _check_writable(path)
        self._path = path
        self._hello: MakeHello | None = hello
        self._spool = _Spool(path)
        self._seq = 0

    @property
    def name(self) -> str:
        """The file's name."""
        return f"file {self._path}"

    @property
    def policy(self) -> Policy:
        """A file gets every frame."""
        return "every"

    async def send(self, frame: SkeletonFrame) -> None:
        """Write a frame with positions and directions."""
        self._begin()
        await self._write(frame_json(frame, self._seq, include=INCLUDES))
        self._seq += 1

    async def event(self, event: Event) -> None:
        """Write an event."""
        self._begin()
        await self._write(event_json(event))

    async def aclose(self) -> None:
        """Write what waits; a stream without frames still has its hello."""
        self._begin()
        await self._spool.aclose()

    def _begin(self) -> None:
        if self._hello is not None:
            self._spool.add(hello_json(self._hello()).encode() + b"\n")
            self._hello = None

    async def _write(self, line: str) -> None:
        self._spool.add(line.encode() + b"\n")
        await self._spool.flush_if_full()


class NpzSink:
    """Collects frames in `PATH.part` and makes the archive of them at the end.

    The archive appears whole or not at all; memory does not grow with its
    length. Events are not part of it.
    """

    def __init__(self, path: Path, hello: MakeHello) -> None:
        _check_writable(path)
        self._path = path
        self._make_hello = hello
        self._hello: Hello | None = None
        self._rows: np.dtype[Any] | None = None
        self._part = path.with_name(path.name + ".part")
        self._spool = _Spool(self._part)

    @property
    def name(self) -> str:
        """The file's name."""
        return f"file {self._path}"

    @property
    def policy(self) -> Policy:
        """A file gets every frame."""
        return "every"

    async def send(self, frame: SkeletonFrame) -> None:
        """Keep a frame."""
        if self._rows is None:
            self._rows = _row_type(self._header())
        row = np.zeros((), self._rows)
        row["sample"] = frame.sample
        row["root"] = frame.root
        row["rotations"] = frame.rotations
        row["positions"] = frame.positions
        row["directions"] = frame.directions
        self._spool.add(row.tobytes())
        await self._spool.flush_if_full()

    async def event(self, event: Event) -> None:
        """Leave events out."""

    async def aclose(self) -> None:
        """Write the archive and remove the part file."""
        await self._spool.aclose()
        await asyncio.to_thread(self._archive)

    def _header(self) -> Hello:
        if self._hello is None:
            self._hello = self._make_hello()
        return self._hello

    def _archive(self) -> None:
        hello = self._header()
        kind = _row_type(hello)
        empty = self._part.stat().st_size == 0
        rows = np.empty(0, kind) if empty else np.memmap(self._part, kind, mode="r")
        whole = self._path.with_name(self._path.name + ".tmp")
        with whole.open("wb") as file:
            np.savez_compressed(
                file,
                positions=rows["positions"],
                joint_names=np.array(hello.joints),
                rotations=rows["rotations"],
                root=rows["root"],
                bone_names=np.array(hello.bones),
                directions=rows["directions"],
                direction_names=np.array(hello.directions),
                fps=np.float64(hello.fps),
                sample=rows["sample"],
            )
        del rows  # Windows cannot remove a file that is mapped
        whole.replace(self._path)
        self._part.unlink()


class _Spool:
    """A file written in large pieces by a thread, so that a slow disk stalls nothing.

    It is made, or an old one emptied, when the first piece is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._waiting = bytearray()

    def add(self, data: bytes) -> None:
        self._waiting += data

    async def flush_if_full(self) -> None:
        if len(self._waiting) >= _FLUSH_BYTES:
            await self._flush()

    async def aclose(self) -> None:
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


def _row_type(hello: Hello) -> np.dtype[Any]:
    return np.dtype(
        [
            ("sample", "<i8"),
            ("root", "<f4", (3,)),
            ("rotations", "<f4", (len(hello.bones), 4)),
            ("positions", "<f4", (len(hello.joints), 3)),
            ("directions", "<f4", (len(hello.directions), 3)),
        ]
    )


def _check_writable(path: Path) -> None:
    """Raise `UsageError` unless the file can be made or replaced; leave it as it is."""
    try:
        new = not path.exists()
        path.open("xb" if new else "ab").close()
        if new:
            path.unlink()
    except OSError as error:
        raise UsageError(f"--record {path}: cannot be written: {error.strerror}") from error
