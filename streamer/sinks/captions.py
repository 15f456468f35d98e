"""Captions as subtitle files: WebVTT and SubRip."""

import asyncio
from pathlib import Path
from typing import IO, Literal

from streamer.clock import SAMPLE_RATE
from streamer.sinks.base import Policy
from streamer.types import Event, SkeletonFrame

Format = Literal["vtt", "srt"]

SHORTEST = SAMPLE_RATE
"""A caption stays for at least a second, unless the next one comes before."""


class CaptionSink:
    """Writes each final caption as a cue, as soon as it is known.

    Times are those of the stream: 0 is its first sample. What has been written
    is a whole file at any time.
    """

    def __init__(self, path: Path, form: Format) -> None:
        self._path = path
        self._form: Format = form
        self._file: IO[str] | None = None
        self._waiting: tuple[int, int, str] | None = None
        self._count = 0
        self._free = 0

    @property
    def name(self) -> str:
        """The file's name."""
        return f"file {self._path}"

    @property
    def policy(self) -> Policy:
        """A file gets everything."""
        return "every"

    async def send(self, frame: SkeletonFrame) -> None:
        """Leave frames out."""

    async def event(self, event: Event) -> None:
        """Write the caption before this one, whose end is known now."""
        if event.kind != "caption" or not event.data["final"]:
            return
        text = " ".join(str(event.data["text"]).split())
        start = max(int(event.data["start"]), self._free)
        await self._write(self._take_waiting(until=start))
        if text:
            self._free = max(int(event.data["end"]), start + 1)
            self._waiting = (start, self._free, text)

    async def aclose(self) -> None:
        """Write the last caption; a stream without any still makes a file."""
        await self._write(self._take_waiting(until=None), always=True)
        if self._file is not None:
            self._file.close()

    def _take_waiting(self, until: int | None) -> str:
        if self._waiting is None:
            return ""
        start, end, text = self._waiting
        self._waiting = None
        least = start + SHORTEST if until is None else min(start + SHORTEST, until)
        self._count += 1
        return cue(self._form, self._count, start, max(end, least), text)

    async def _write(self, text: str, *, always: bool = False) -> None:
        if text or (always and self._file is None):
            await asyncio.to_thread(self._append, text)

    def _append(self, text: str) -> None:
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8", newline="\n")
            if self._form == "vtt":
                self._file.write("WEBVTT\n")
        self._file.write(text)
        self._file.flush()


def cue(form: Format, number: int, start: int, end: int, text: str) -> str:
    """Return one cue; start and end are samples, the text is one line."""
    if form == "vtt":
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"\n{_time(start, '.')} --> {_time(end, '.')}\n{text}\n"
    between = "\n" if number > 1 else ""
    # "-->" in a line of SubRip would be taken for its times
    text = text.replace("-->", "->")
    return f"{between}{number}\n{_time(start, ',')} --> {_time(end, ',')}\n{text}\n"


def _time(sample: int, point: str) -> str:
    ms = round(sample * 1000 / SAMPLE_RATE)
    s, ms = divmod(ms, 1000)
    return f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}{point}{ms:03}"
