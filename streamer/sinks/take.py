"""Recordings that are made of a whole take at its end: `.npz`, `.bvh`, `.vrma`, `.mp4`."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from streamer.recordings.take import Take
from streamer.sinks.base import Policy
from streamer.sinks.spool import Spool, check_writable
from streamer.types import AudioChunk, Event, Hello, SkeletonFrame


class WriteTake(Protocol):
    """Makes a file of a take; may want its voice."""

    def hear(self, chunk: AudioChunk) -> None:
        """Take the audio that the take belongs to."""
        ...

    def __call__(self, take: Take, path: Path) -> None:
        """Write the file."""
        ...


class TakeSink:
    """Collects frames in `PATH.part` and makes the file of them at the end.

    The file appears whole or not at all; memory does not grow with its length.
    Events are not part of it. write: makes the file at a path of its own choice
    of format; it runs in a thread.
    """

    def __init__(self, path: Path, hello: Callable[[], Hello], write: WriteTake) -> None:
        check_writable(path)
        self._path = path
        self._make_hello = hello
        self._hello: Hello | None = None
        self._rows: np.dtype[Any] | None = None
        self._part = path.with_name(path.name + ".part")
        self._spool = Spool(self._part)
        self._write = write
        self._closed = False

    @property
    def name(self) -> str:
        """The file's name."""
        return f"file {self._path}"

    @property
    def policy(self) -> Policy:
        """A file gets every frame."""
        return "every"

    def hear(self, chunk: AudioChunk) -> None:
        """Hand the voice on to a format that holds it."""
        if not self._closed:
            self._write.hear(chunk)

    async def send(self, frame: SkeletonFrame) -> None:
        """Keep a frame."""
        if self._closed:
            return
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
        """Write the file and remove the part file; again is nothing."""
        if self._closed:
            return
        self._closed = True
        await self._spool.aclose()
        await asyncio.to_thread(self._finish)

    def _header(self) -> Hello:
        if self._hello is None:
            self._hello = self._make_hello()
        return self._hello

    def _finish(self) -> None:
        hello = self._header()
        kind = _row_type(hello)
        empty = self._part.stat().st_size == 0
        rows = np.empty(0, kind) if empty else np.memmap(self._part, kind, mode="r")
        take = Take(
            hello=hello,
            sample=rows["sample"],
            root=rows["root"],
            rotations=rows["rotations"],
            positions=rows["positions"],
            directions=rows["directions"],
        )
        whole = self._path.with_name(self._path.name + ".tmp")
        try:
            self._write(take, whole)
            whole.replace(self._path)
        finally:
            whole.unlink(missing_ok=True)
        del rows, take  # Windows cannot remove a file that is mapped
        self._part.unlink()


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
