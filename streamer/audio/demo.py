"""The bundled speech, with its words: a source for machines without a microphone."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from streamer.audio.file import CHUNK, AudioFile
from streamer.audio.pacing import Pacer, Sleep
from streamer.clock import SAMPLE_RATE, Clock
from streamer.types import AudioChunk, Float32, WordEvent

_LOOP_PAUSE_S = 2


class DemoSource:
    """Plays the demo speech: again and again with pauses of 2 s live, once otherwise.

    `words` are those of the first loop; later loops repeat them every `period`
    samples.
    """

    def __init__(
        self,
        *,
        clock: Clock = time.perf_counter,
        realtime: bool = True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._pacer = Pacer(clock, sleep) if realtime else None
        self._speech, self._words = _load()
        self._closed = False

    @property
    def name(self) -> str:
        """`demo`."""
        return "demo"

    @property
    def live(self) -> bool:
        """Whether the clock paces it, and it loops."""
        return self._pacer is not None

    @property
    def words(self) -> tuple[WordEvent, ...]:
        """The words of the first loop, with their times from the synthesiser."""
        return self._words

    @property
    def period(self) -> int:
        """Length of a loop with its pause when live; 0 when it is played once."""
        return 0 if self._pacer is None else len(self._speech) + _LOOP_PAUSE_S * SAMPLE_RATE

    async def chunks(self) -> AsyncIterator[AudioChunk]:
        """Yield chunks of 10 ms; the pause between loops is part of the audio, not `filled`."""
        pause = np.zeros(_LOOP_PAUSE_S * SAMPLE_RATE, np.float32)
        position = 0
        while True:
            for part in (self._speech, pause):
                for at in range(0, len(part), CHUNK):
                    samples = part[at : at + CHUNK]
                    due = await self._due(position + len(samples))
                    if self._closed:
                        return
                    yield AudioChunk(samples=samples, start=position, captured_at=due)
                    position += len(samples)
                if not self.live:
                    return

    async def aclose(self) -> None:
        """End the stream."""
        self._closed = True

    async def _due(self, sample: int) -> float:
        return self._clock() if self._pacer is None else await self._pacer.until(sample)


def _load() -> tuple[Float32, tuple[WordEvent, ...]]:
    folder = files("streamer") / "data" / "demo"
    with as_file(folder / "speech.flac") as path:
        audio = AudioFile(path)
        try:
            speech = np.concatenate(list(audio.blocks()))
        finally:
            audio.close()
    rows: list[dict[str, Any]] = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    words = tuple(
        WordEvent(
            text=row["word"],
            start=round(row["start_s"] * SAMPLE_RATE),
            end=round(row["end_s"] * SAMPLE_RATE),
        )
        for row in rows
    )
    speech.flags.writeable = False
    return speech, words
