"""A microphone as a source that never ends and never stops the clock."""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import numpy as np

from streamer.audio.channels import StrongestChannel
from streamer.audio.devices import Device, choose_device, find_again
from streamer.audio.pacing import Sleep
from streamer.audio.portaudio import AudioSystem, OpenInput, PortAudio
from streamer.audio.resample import FirResampler
from streamer.audio.timeline import Arrival, CaptureClock, CaptureTimeline
from streamer.clock import SAMPLE_RATE, Clock
from streamer.errors import UsageError
from streamer.types import AudioChunk, Float32, WordEvent

_log = logging.getLogger(__name__)
_TICK_S = 0.02
_QUEUE_S = 2.0
_LATE_S = 0.1
# A stream that has run is lost after this long without a block; one that was
# just opened gets longer, as some devices take seconds to wake up.
_LOST_S = 1.5
_START_S = 5.0
_BACK_OFF_S = (0.5, 8.0)
_TRIAL_S = 3.0
"""For a device that was chosen while another records to give its first sound."""


class MicrophoneSource:
    """Records from a device at 16 kHz; all methods belong to the event loop.

    The audio thread only copies blocks into a bounded queue (2 s; the oldest is
    dropped and its time filled with silence). A device that stalls or is
    unplugged is filled with silence at the pace of the clock, reported once,
    and tried again after 0.5 to 8 s until it is back; the default device is
    chosen anew then, a named one must come back by its name.
    """

    def __init__(
        self,
        device: str | None = None,
        *,
        clock: Clock = time.perf_counter,
        sleep: Sleep = asyncio.sleep,
        audio: AudioSystem | None = None,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._audio = PortAudio(clock) if audio is None else audio
        self._follow_default = device is None
        self._device = choose_device(self._audio.devices(), device)
        self._connection: _Connection | None = None
        self._timeline = CaptureTimeline(0.0)
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._looked_at = 0.0
        self._reported_lost = False
        self._closed = False
        self._changing = asyncio.Lock()

    @property
    def name(self) -> str:
        """`mic` and the device's name."""
        return f"mic {self._device.name}"

    @property
    def device(self) -> Device:
        """The device that records, or shall again once it is back."""
        return self._device

    @property
    def live(self) -> bool:
        """Always."""
        return True

    @property
    def words(self) -> tuple[WordEvent, ...]:
        """None: a recogniser must hear them."""
        return ()

    @property
    def period(self) -> int:
        """0: nothing repeats."""
        return 0

    @property
    def filled(self) -> int:
        """Samples of silence so far that stand in for audio that never came."""
        return self._timeline.filled

    async def chunks(self) -> AsyncIterator[AudioChunk]:
        """Yield chunks of about 10 ms for ever.

        `captured_at` follows `CaptureClock`, less the resampler's delay. Raises
        `UsageError` when the device cannot be opened at the start.
        """
        self._looked_at = self._clock()
        self._timeline = CaptureTimeline(self._looked_at)
        try:
            await self._connect(self._device)
            self._tasks = [
                asyncio.create_task(self._tick()),
                asyncio.create_task(self._stay_connected()),
            ]
            while not self._closed:
                await self._wake.wait()
                self._wake.clear()
                for chunk in self._collect():
                    yield chunk
                    await asyncio.sleep(0)  # hours of silence after a sleep block nobody
                for task in self._tasks:
                    if task.done():
                        task.result()
        finally:
            await self.aclose()

    def devices(self) -> tuple[Device, ...]:
        """Return the input devices as known."""
        return self._audio.devices()

    async def rescan(self) -> tuple[Device, ...]:
        """Look for devices that were plugged in; takes a moment, which is filled with silence."""
        async with self._changing:
            connection, self._connection = self._connection, None
            if connection is not None:
                await self._audio.close(connection.stream)
            await self._reconnect()  # scans; where it fails, `_stay_connected` tries on
        return self._audio.devices()

    async def switch(self, device: str | None) -> None:
        """Record from another device from now on, None for the default.

        The old one goes on until the new one gives sound. Raises `UsageError`
        for one that does not exist, cannot be opened or stays mute for 3 s, and
        keeps the old one.
        """
        async with self._changing:
            chosen = choose_device(self._audio.devices(), device)
            connection = await self._open(chosen)
            until = self._clock() + _TRIAL_S
            while connection.queue.heard_at is None:
                if self._clock() > until or not connection.stream.active:
                    await self._audio.close(connection.stream)
                    raise UsageError(
                        f"the audio device {chosen.name!r} gives no sound; is it switched on?"
                    )
                await self._sleep(_TICK_S)
            connection.queue.drain()  # what the old one has given, too
            old, self._connection = self._connection, connection
            self._device, self._follow_default = chosen, device is None
            self._reported_lost = False
            if old is not None:
                await self._audio.close(old.stream)

    async def aclose(self) -> None:
        """Close the device and end `chunks`."""
        self._closed = True
        self._wake.set()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._connection = None
        await self._audio.aclose()

    def _collect(self) -> Iterator[AudioChunk]:
        """Yield what came in, or silence if nothing has for too long."""
        dropped, blocks = self._connection.queue.drain() if self._connection else (0, [])
        now = self._clock()
        # After a standstill of the whole program the audio thread needs a moment
        # to hand over what it holds; only then is it known what is missing.
        prompt, self._looked_at = now - self._looked_at < _LATE_S, now
        if not blocks and prompt:
            yield from self._timeline.silence(now)
        if self._connection is None:
            return
        connection = self._connection
        if dropped:
            _log.warning("%s: %d samples dropped, the engine is late", self.name, dropped)
            connection.capture.skip(dropped)
            yield from self._timeline.lost(round(dropped * SAMPLE_RATE / connection.rate))
        if blocks and self._reported_lost:
            self._reported_lost = False
            _log.warning("%s is back", self.name)
        if not blocks:
            return
        for block, captured_at in zip(blocks, connection.stamp(blocks), strict=True):
            samples = connection.decode(block.samples)
            if connection.resampler is not None:
                captured_at -= connection.resampler.pending_s
            if len(samples):
                yield from self._timeline.audio(samples, captured_at, block.arrived)

    async def _tick(self) -> None:
        while True:
            await self._sleep(_TICK_S)
            self._wake.set()

    async def _stay_connected(self) -> None:
        looked_at = self._clock()
        awake_since = looked_at
        while True:
            await self._sleep(_TICK_S)
            before, looked_at = looked_at, self._clock()
            if looked_at - before > _LOST_S / 2:  # the machine slept: the device wakes up too
                awake_since = looked_at
            if self._changing.locked() or not self._is_lost(awake_since):
                continue
            if not self._reported_lost:
                self._reported_lost = True
                _log.warning("%s is lost; silence stands in until it is back", self.name)
            if (connection := self._connection) is not None:
                self._connection = None
                await self._audio.close(connection.stream)
            back_off, longest = _BACK_OFF_S
            while not await self._back():
                await self._sleep(back_off)
                back_off = min(2 * back_off, longest)

    async def _back(self) -> bool:
        """Whether there is a connection again, be it through `switch`."""
        async with self._changing:
            return self._connection is not None or await self._reconnect()

    def _is_lost(self, awake_since: float) -> bool:
        connection = self._connection
        if connection is None or not connection.stream.active:
            return True
        heard_at = connection.queue.heard_at
        if heard_at is None:
            return self._clock() - max(connection.opened_at, awake_since) > _START_S
        return self._clock() - max(heard_at, awake_since) > _LOST_S

    async def _reconnect(self) -> bool:
        try:
            devices = await self._audio.rescan()
            if self._follow_default:
                device = choose_device(devices, None)
            elif (device := find_again(devices, self._device)) is None:
                return False
            await self._connect(device)
        except UsageError as error:
            _log.debug("%s: not yet: %s", self.name, error)
            return False
        return True

    async def _connect(self, device: Device) -> None:
        self._connection = await self._open(device)
        self._device = device

    async def _open(self, device: Device) -> "_Connection":
        loop = asyncio.get_running_loop()
        queue = _BlockQueue()

        def on_block(samples: Float32, arrived: float, age: float) -> None:
            queue.put(_Block(samples=samples, arrived=arrived, age=age))
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens
                loop.call_soon_threadsafe(self._wake.set)

        stream = await self._audio.open(device, on_block)
        queue.bound(round(stream.rate * _QUEUE_S))
        _log.info("mic %s: recording at %d Hz", device.name, stream.rate)
        return _Connection(stream=stream, queue=queue, opened_at=self._clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    samples: Float32
    arrived: float
    age: float


class _BlockQueue:
    """Blocks from the audio thread to the loop; drops and counts the oldest when full."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: deque[_Block] = deque()
        self._frames = 0
        self._dropped = 0
        self._most = SAMPLE_RATE
        self.heard_at: float | None = None

    def bound(self, frames: int) -> None:
        """Set how many frames it holds."""
        with self._lock:
            self._most = frames

    def put(self, block: _Block) -> None:
        """Add a block; the audio thread calls it."""
        with self._lock:
            self.heard_at = block.arrived
            self._blocks.append(block)
            self._frames += len(block.samples)
            while self._frames > self._most and len(self._blocks) > 1:
                oldest = len(self._blocks.popleft().samples)
                self._frames -= oldest
                self._dropped += oldest

    def drain(self) -> tuple[int, list[_Block]]:
        """Return how many frames were dropped before the blocks, and the blocks."""
        with self._lock:
            dropped, blocks = self._dropped, list(self._blocks)
            self._blocks.clear()
            self._frames = self._dropped = 0
        return dropped, blocks


@dataclass(slots=True, kw_only=True)
class _Connection:
    """An open device with all that belongs to its stream of samples."""

    stream: OpenInput
    queue: _BlockQueue
    opened_at: float
    rate: int = field(init=False)
    capture: CaptureClock = field(init=False)
    mixer: StrongestChannel = field(init=False)
    resampler: FirResampler | None = field(init=False)

    def __post_init__(self) -> None:
        self.rate = self.stream.rate
        self.capture = CaptureClock(self.rate)
        self.mixer = StrongestChannel(self.rate)
        self.resampler = None if self.rate == SAMPLE_RATE else FirResampler(self.rate)

    def stamp(self, blocks: list[_Block]) -> list[float]:
        """Return when the last sample of each block was captured."""
        return self.capture.stamp(
            [Arrival(frames=len(b.samples), arrived=b.arrived, age=b.age) for b in blocks]
        )

    def decode(self, block: Float32) -> Float32:
        """Return a block [n, channels] as mono at 16 kHz."""
        # Drivers have been seen to give NaN while a device goes away.
        finite = np.nan_to_num(block, nan=0.0, posinf=1.0, neginf=-1.0)
        mono = self.mixer.mix(finite)
        samples = np.clip(mono if self.resampler is None else self.resampler.push(mono), -1, 1)
        samples.flags.writeable = False
        return samples
