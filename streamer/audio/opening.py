"""From what the user typed to a source."""

import time
from pathlib import Path

from streamer.audio.file import FileSource
from streamer.audio.source import AudioSource
from streamer.clock import Clock
from streamer.errors import UsageError


def open_source(
    source: str,
    *,
    device: str | None = None,
    clock: Clock = time.perf_counter,
    realtime: bool = True,
) -> AudioSource:
    """Return the source that `--source` names: `mic`, `demo` or the path of a file.

    device: name or index of the microphone, for `mic` only. realtime: at the
    clock's pace; False is as fast as the reader, and plays the demo once
    instead of for ever. Raises `UsageError` for a device that does not exist or
    does not fit, `InputError` for a file that cannot be used.
    """
    if device is not None and source != "mic":
        raise UsageError(f"--device is for --source mic, not for {source!r}; leave it out")
    match source:
        case "mic":
            if not realtime:
                raise UsageError("a microphone cannot be rendered; give an audio file")
            from streamer.audio.microphone import MicrophoneSource

            return MicrophoneSource(device, clock=clock)
        case "demo":
            from streamer.audio.demo import DemoSource

            return DemoSource(clock=clock, realtime=realtime)
        case _:
            return FileSource(Path(source), clock=clock, realtime=realtime)
