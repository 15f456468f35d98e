"""Recordings by their suffix, and `.jsonl`: the stream as on the wire (DESIGN 7)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.avatar import Avatar
from streamer.errors import UsageError
from streamer.recordings.bvh import bvh_text
from streamer.recordings.take import Take, TakeRig, even_motion
from streamer.recordings.vrma import vrma_bytes
from streamer.sinks.base import Policy, Sink
from streamer.sinks.captions import CaptionSink
from streamer.sinks.spool import Spool, check_writable
from streamer.sinks.take import TakeSink, WriteTake
from streamer.types import AudioChunk, Event, Hello, SkeletonFrame
from streamer.wire import INCLUDES, event_json, frame_json, hello_json

MakeHello = Callable[[], Hello]


def open_recording(
    path: Path, hello: MakeHello, *, avatar: Avatar | None = None, worn: Path | None = None
) -> Sink:
    """Return the sink for `--record PATH`; raises `UsageError` unless it can be written.

    hello: asked once, when the first frame or event comes. avatar: whose bones
    `.bvh` and `.vrma` get in place of the mannequin's. worn: the `.vrm` that `.mp4` shows
    in its place.
    """
    match path.suffix.lower():
        case ".jsonl":
            return JsonlSink(path, hello)
        case ".npz":
            return TakeSink(path, hello, _npz)
        case ".bvh":
            return TakeSink(path, hello, _bvh(TakeRig.of(avatar)))
        case ".vrma":
            return TakeSink(path, hello, _vrma(TakeRig.of(avatar)))
        case ".mp4":
            from streamer.recordings.video import VideoWriter

            return TakeSink(path, hello, VideoWriter(path, avatar=worn))
        case ".vtt" | ".srt" as suffix:
            check_writable(path)
            return CaptionSink(path, "vtt" if suffix == ".vtt" else "srt")
        case suffix:
            raise UsageError(
                f"--record {path}: recordings are .jsonl, .npz, .bvh, .vrma or .mp4, "
                f"captions .vtt or .srt, not {suffix or 'without suffix'}"
            )


class JsonlSink:
    """Writes a hello line, then one frame or event a line, in order."""

    def __init__(self, path: Path, hello: MakeHello) -> None:
        check_writable(path)
        self._path = path
        self._hello: MakeHello | None = hello
        self._spool = Spool(path)
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


@dataclass(frozen=True, slots=True)
class _Silent:
    """A format without sound."""

    write: Callable[[Take, Path], object]

    def hear(self, chunk: AudioChunk) -> None:
        """Leave the voice out."""

    def __call__(self, take: Take, path: Path) -> None:
        self.write(take, path)


def _write_npz(take: Take, path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            positions=take.positions,
            joint_names=np.array(take.hello.joints),
            rotations=take.rotations,
            root=take.root,
            bone_names=np.array(take.hello.bones),
            directions=take.directions,
            direction_names=np.array(take.hello.directions),
            fps=np.float64(take.hello.fps),
            sample=take.sample,
        )


_npz = _Silent(_write_npz)


def _bvh(rig: TakeRig) -> WriteTake:
    def write(take: Take, path: Path) -> None:
        path.write_text(bvh_text(even_motion(take, take.hello.fps), rig), "utf-8", newline="\n")

    return _Silent(write)


def _vrma(rig: TakeRig) -> WriteTake:
    return _Silent(lambda take, path: path.write_bytes(vrma_bytes(take, rig)))
