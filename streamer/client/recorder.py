"""What a client receives, written to the engine's own kinds of files."""

from collections.abc import Sequence
from pathlib import Path

from streamer.sinks.base import Sink
from streamer.sinks.file import open_recording
from streamer.types import Event, Hello, SkeletonFrame
from streamer.wire import WireFrame


class Recorder:
    """Writes every frame as it arrives, a file for each connection.

    A file has one header and one clock: after a restart of the engine the
    recording goes on in `talk-2.jsonl` beside `talk.jsonl`. Raises `UsageError`
    for a file that cannot be written.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._sinks: list[Sink] = []
        self._part = 0

    async def begin(self, hello: Hello) -> None:
        """Take the header of a connection."""
        await self.aclose()
        self._part += 1
        self._sinks = [open_recording(_part(p, self._part), lambda: hello) for p in self._paths]

    async def frame(self, frame: WireFrame, at: float) -> None:
        """Write a frame that arrived at a local time."""
        if not self._sinks:
            return
        if frame.positions is None or frame.directions is None:
            return  # sent before the engine had read our subscription
        whole = SkeletonFrame(
            index=frame.index,
            sample=frame.sample,
            rotations=frame.rotations,
            root=frame.root,
            positions=frame.positions,
            directions=frame.directions,
            state=frame.state,
            reset=frame.reset,
            captured_at=at,
            emitted_at=at,
            face=frame.face,
        )
        for sink in self._sinks:
            await sink.send(whole)

    async def event(self, event: Event) -> None:
        """Write an event."""
        for sink in self._sinks:
            await sink.event(event)

    async def aclose(self) -> None:
        """Finish the files; again is nothing."""
        sinks, self._sinks = self._sinks, []
        for sink in sinks:
            await sink.aclose()


def _part(path: Path, part: int) -> Path:
    return path if part == 1 else path.with_name(f"{path.stem}-{part}{path.suffix}")
