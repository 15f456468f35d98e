"""Recording through sounddevice, and through it PortAudio."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np

from streamer.audio.devices import Device, list_devices, load_sounddevice
from streamer.clock import SAMPLE_RATE, Clock
from streamer.errors import UsageError
from streamer.types import Float32

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_BLOCK_S = 0.01
_MOST_CHANNELS = 8
# Sound servers offer this many through ALSA, whatever the microphone has.
_VIRTUAL_CHANNELS = 32

OnBlock = Callable[[Float32, float, float], None]
"""Takes a block [n, channels], when it arrived, and how long before that its last
sample was captured according to the device (any number, NaN if it does not say).
Called by the audio thread."""


class OpenInput(Protocol):
    """A device that is recording."""

    @property
    def rate(self) -> int:
        """Samples per second of its blocks."""
        ...

    @property
    def active(self) -> bool:
        """False once the device has gone."""
        ...


class AudioSystem(Protocol):
    """What a microphone needs of the machine; replaced by a fake in tests."""

    def devices(self) -> tuple[Device, ...]:
        """Return the input devices as known."""
        ...

    async def rescan(self) -> tuple[Device, ...]:
        """Return the input devices there are by now; raises `UsageError` when that fails."""
        ...

    async def open(self, device: Device, on_block: OnBlock) -> OpenInput:
        """Start to record; raises `UsageError` when the device refuses."""
        ...

    async def close(self, stream: OpenInput) -> None:
        """Stop recording; a device that has gone is no error."""
        ...

    async def aclose(self) -> None:
        """Close whatever is still open."""
        ...


class PortAudio:
    """Records through PortAudio; the event loop calls it.

    Opening, closing and scanning can take seconds, and WASAPI wants them all in
    one thread: they run in a thread of its own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sd = load_sounddevice()
        self._thread = ThreadPoolExecutor(1, "portaudio", initializer=_initialise_com)
        self._streams: list[_Stream] = []  # only that thread touches it

    def devices(self) -> tuple[Device, ...]:
        """Return the input devices that PortAudio found when it was last initialised."""
        return list_devices()

    async def rescan(self) -> tuple[Device, ...]:
        """Initialise PortAudio anew, which alone finds new devices and closes every stream."""
        return await self._run(self._rescan)

    async def open(self, device: Device, on_block: OnBlock) -> OpenInput:
        """Start to record at 16 kHz if the device can, else at its own rate."""
        return await self._run(lambda: self._open(device, on_block))

    async def close(self, stream: OpenInput) -> None:
        """Stop and close a stream."""
        await self._run(lambda: self._close(stream))

    async def aclose(self) -> None:
        """Close what is open, also a stream that nobody waited for, and end the thread."""
        with contextlib.suppress(RuntimeError):  # it was closed before
            await self._run(lambda: [self._close(stream) for stream in list(self._streams)])
        self._thread.shutdown(wait=False)

    async def _run(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _rescan(self) -> tuple[Device, ...]:
        # sounddevice has no public names for these; its issue 125 says to use them.
        sd = self._sd
        try:
            with contextlib.suppress(sd.PortAudioError):  # the last attempt may have failed
                sd._terminate()
            sd._initialize()
            return list_devices()
        except sd.PortAudioError as error:
            raise UsageError(f"the audio devices cannot be listed ({error})") from error

    def _close(self, stream: OpenInput) -> None:
        for mine in [mine for mine in self._streams if mine is stream]:
            self._streams.remove(mine)
            mine.close()

    def _open(self, device: Device, on_block: OnBlock) -> OpenInput:
        sd = self._sd
        refused = ""
        for rate, channels in _attempts(device):
            try:
                sd.check_input_settings(
                    device=device.index, channels=channels, samplerate=rate, dtype="float32"
                )
                stream = _Stream(sd, device, rate, channels, on_block, self._clock)
            except sd.PortAudioError as error:
                _log.debug("%s at %d Hz, %d channels: %s", device.name, rate, channels, error)
                refused = str(error)
            else:
                self._streams.append(stream)
                return stream
        raise UsageError(
            f"the audio device {device.name!r} cannot be opened ({refused}); close the program "
            "that holds it, allow this one to use the microphone, or choose another --device"
        )


class _Stream:
    """A PortAudio stream whose blocks go to `on_block`."""

    def __init__(
        self, sd: Any, device: Device, rate: int, channels: int, on_block: OnBlock, clock: Clock
    ) -> None:
        def callback(block: Float32, frames: int, time: Any, _status: object) -> None:
            arrived = clock()
            adc = time.inputBufferAdcTime
            ago = time.currentTime - adc - frames / rate if adc > 0 else float("nan")
            on_block(np.array(block, np.float32), arrived, ago)

        self._rate = rate
        self._stream = sd.InputStream(
            device=device.index,
            samplerate=rate,
            channels=channels,
            blocksize=round(rate * _BLOCK_S),
            latency="low",
            dtype="float32",
            callback=callback,
        )
        try:
            self._stream.start()
        except sd.PortAudioError:
            self.close()
            raise

    @property
    def rate(self) -> int:
        return self._rate

    @property
    def active(self) -> bool:
        return bool(self._stream.active)

    def close(self) -> None:
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)


def _attempts(device: Device) -> list[tuple[int, int]]:
    """Return the rates and channel counts to try, the best first."""
    every = min(device.channels, _MOST_CHANNELS)
    counts = [1, every] if device.channels >= _VIRTUAL_CHANNELS else [every, 1]
    rates = [SAMPLE_RATE, device.rate]
    tries = [(rate, count) for count in counts for rate in rates]
    return list(dict.fromkeys(tries))


def _initialise_com() -> None:
    # WASAPI refuses a thread in which COM is not initialised (PortAudio issue 250).
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.ole32.CoInitializeEx(None, 0)
