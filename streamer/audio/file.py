"""Any audio file that libsndfile reads, as a source."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from streamer.audio.channels import StrongestChannel
from streamer.audio.pacing import Pacer, Sleep
from streamer.clock import SAMPLE_RATE, Clock
from streamer.errors import InputError
from streamer.types import AudioChunk, Float32, WordEvent

CHUNK = SAMPLE_RATE // 100
_RATES = (8_000, 192_000)
_MOST_CHANNELS = 64
_MOST_PEAK = 8.0
_BLOCK_S = 0.5
_MIX_S = 0.01


class AudioFile:
    """Decodes a file to 16 kHz mono block by block, so that length costs no memory.

    Opening it reads float files through once, because only those can hold NaN
    or samples on another scale. One thread reads; any may close.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._sound = _open(path)
        try:
            _check_format(self._sound, path)
            if self._sound.subtype in ("FLOAT", "DOUBLE"):
                _check_samples(self._sound, path)
        except InputError:
            self._sound.close()
            raise

    @property
    def seconds(self) -> float:
        """Length as the header states it."""
        return self._sound.frames / self._sound.samplerate

    def close(self) -> None:
        """Close the file once a read in progress has ended; may be called twice."""
        with self._lock:
            self._sound.close()

    def blocks(self) -> Iterator[Float32]:
        """Yield the file as float32 [n] in [-1, 1] at 16 kHz, from its start, about 0.5 s each."""
        rate = self._sound.samplerate
        mixer = StrongestChannel(rate)
        resampler = None if rate == SAMPLE_RATE else soxr.ResampleStream(rate, SAMPLE_RATE, 1)
        if self._sound.tell():
            self._sound.seek(0)
        read = 0
        while len(block := self._read(round(rate * _BLOCK_S), read)):
            read += len(block)
            step = round(rate * _MIX_S)
            mono = np.concatenate(
                [mixer.mix(block[i : i + step]) for i in range(0, len(block), step)]
            )
            yield _limit(mono if resampler is None else resampler.resample_chunk(mono))
        # A header may be a frame of the codec off; an MP3 may only estimate its length.
        if self._sound.format != "MP3" and read < 0.99 * self._sound.frames - rate / 10:
            raise InputError(
                f"{self.path}: ends after {read / rate:.1f} of {self.seconds:.1f} s; "
                "the file is cut off or damaged, copy it again"
            )
        if resampler is not None:
            rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            if len(rest):
                yield _limit(rest)

    def _read(self, frames: int, at: int) -> Float32:
        try:
            with self._lock:
                return np.asarray(
                    self._sound.read(frames, dtype="float32", always_2d=True), np.float32
                )
        except soundfile.LibsndfileError as error:
            where = at / self._sound.samplerate
            raise InputError(
                f"{self.path}: broken after {where:.1f} s ({error}); convert it to WAV again"
            ) from error


class FileSource:
    """Plays a file once, at the pace of the clock or as fast as it is read."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock = time.perf_counter,
        realtime: bool = True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._file = AudioFile(path)
        self._clock = clock
        self._pacer = Pacer(clock, sleep) if realtime else None
        self._ahead: asyncio.Task[Float32 | None] | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """The file's name."""
        return self._file.path.name

    @property
    def live(self) -> bool:
        """Whether the clock paces it."""
        return self._pacer is not None

    @property
    def words(self) -> tuple[WordEvent, ...]:
        """None: a file does not say its words."""
        return ()

    @property
    def period(self) -> int:
        """0: a file is played once."""
        return 0

    @property
    def seconds(self) -> float:
        """Length of the file."""
        return self._file.seconds

    async def chunks(self) -> AsyncIterator[AudioChunk]:
        """Yield chunks of 10 ms until the file ends; the last one may be shorter.

        `captured_at` is when a microphone would have captured the last sample:
        the pace's own time, or now when nothing paces it.
        """
        position = 0
        blocks = self._file.blocks()
        # Decoding half a second takes milliseconds, a cold disk longer: off the
        # loop, and one block ahead of the block that is being played.
        self._ahead = asyncio.create_task(asyncio.to_thread(next, blocks, None))
        try:
            while not self._closed and (block := await asyncio.shield(self._ahead)) is not None:
                self._ahead = asyncio.create_task(asyncio.to_thread(next, blocks, None))
                for at in range(0, len(block), CHUNK):
                    samples = block[at : at + CHUNK]
                    due = await self._due(position + len(samples))
                    if self._closed:
                        return
                    yield AudioChunk(samples=samples, start=position, captured_at=due)
                    position += len(samples)
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the file and end `chunks`."""
        self._closed = True
        if self._ahead is not None:
            # A thread cannot be cancelled: let it end, and leave no exception unseen.
            await asyncio.gather(self._ahead, return_exceptions=True)
        self._file.close()

    async def _due(self, sample: int) -> float:
        return self._clock() if self._pacer is None else await self._pacer.until(sample)


class _ForwardFile(soundfile.SoundFile):
    """Reads straight on; soundfile seeks after every read, which garbles MP3 and OGG."""

    def seekable(self) -> bool:
        return False


def _open(path: Path) -> soundfile.SoundFile:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give an audio file")
    try:
        empty = path.stat().st_size == 0
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; sources are mic, demo or a file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if empty:
        raise InputError(f"{path}: the file is empty; give an audio file")
    try:
        return _ForwardFile(path)
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path}: not an audio file that can be read ({error.error_string.rstrip('.')}); "
            "give WAV, FLAC, OGG or MP3"
        ) from error


def _check_format(sound: soundfile.SoundFile, path: Path) -> None:
    lowest, highest = _RATES
    if not lowest <= sound.samplerate <= highest:
        raise InputError(
            f"{path}: {sound.samplerate} samples per second; "
            f"expected {lowest} to {highest}, convert it first"
        )
    if not 1 <= sound.channels <= _MOST_CHANNELS:
        raise InputError(
            f"{path}: {sound.channels} channels; expected at most {_MOST_CHANNELS}, mix it first"
        )
    if sound.frames == 0:
        raise InputError(f"{path}: holds no samples; give an audio file")


def _check_samples(sound: soundfile.SoundFile, path: Path) -> None:
    """Raise `InputError` for samples that are no numbers or on another scale."""
    at = 0
    while len(block := sound.read(sound.samplerate, dtype="float32", always_2d=True)):
        peak = float(np.max(np.abs(block)))
        if not np.isfinite(peak):
            bad = at + int(np.argmax(~np.isfinite(block).all(axis=1)))
            raise InputError(
                f"{path}: NaN or infinite samples at {bad / sound.samplerate:.2f} s; "
                "export it again"
            )
        if peak > _MOST_PEAK:
            raise InputError(
                f"{path}: float samples up to {peak:.0f}; expected -1 to 1, scale it down"
            )
        at += len(block)


def _limit(samples: Float32) -> Float32:
    out = np.clip(samples, -1, 1)
    out.flags.writeable = False
    return out
