import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from streamer.audio.devices import Device
from streamer.audio.microphone import MicrophoneSource
from streamer.audio.portaudio import OnBlock, OpenInput
from streamer.errors import UsageError
from streamer.types import AudioChunk, Float32
from tests.support import ManualTime

RATE = 16_000
YETI = Device(index=3, name="Blue Yeti", host_api="ALSA", channels=1, rate=48_000, is_default=True)
BUILT_IN = replace(YETI, index=1, name="Built-in", is_default=False)


class FakeStream:
    def __init__(self, device: Device, rate: int, on_block: OnBlock) -> None:
        self.device = device
        self.rate = rate
        self.active = True
        self._on_block = on_block

    def give(self, samples: Float32, arrived: float, age: float = math.nan) -> None:
        self._on_block(samples, arrived, age)


class FakeAudio:
    """A machine with microphones that can be unplugged."""

    def __init__(self, rate: int = RATE) -> None:
        self.plugged: tuple[Device, ...] = (BUILT_IN, YETI)
        self.rate = rate
        self.refuses = False
        self.stream: FakeStream | None = None
        self.scanned_at: list[float] = []
        self.opened = self.closed = 0
        self.time: ManualTime | None = None

    def devices(self) -> tuple[Device, ...]:
        return self.plugged

    async def rescan(self) -> tuple[Device, ...]:
        assert self.time is not None
        self.scanned_at.append(self.time())
        return self.plugged

    async def open(self, device: Device, on_block: OnBlock) -> OpenInput:
        if self.refuses:
            raise UsageError("the audio device cannot be opened")
        self.opened += 1
        self.stream = FakeStream(device, self.rate, on_block)
        return self.stream

    async def close(self, stream: OpenInput) -> None:
        assert stream is self.stream
        self.closed += 1
        self.stream = None

    async def aclose(self) -> None:
        if self.stream is not None:
            await self.close(self.stream)


class Studio:
    """A microphone under test, its clock, and what it gave."""

    def __init__(self, audio: FakeAudio, device: str | None = None) -> None:
        self.time = audio.time = ManualTime()
        self.audio = audio
        self.source = MicrophoneSource(device, clock=self.time, sleep=self.time.sleep, audio=audio)
        self.chunks: list[AudioChunk] = []

    async def listen(self) -> None:
        async for chunk in self.source.chunks():
            assert chunk.start == self.end
            self.chunks.append(chunk)

    @property
    def end(self) -> int:
        return self.chunks[-1].end if self.chunks else 0

    @property
    def filled(self) -> int:
        return sum(chunk.filled for chunk in self.chunks)

    async def speak(self, seconds: float, level: float = 0.5) -> None:
        """Let time pass with the device giving a block every 10 ms."""
        for _ in range(round(seconds * 100)):
            await self.time.advance(0.01)
            if self.audio.stream is not None and self.audio.stream.active:
                block = np.full((self.audio.rate // 100, 1), level, np.float32)
                self.audio.stream.give(block, self.time())
                await self.time.settle()


@asynccontextmanager
async def studio(
    audio: FakeAudio | None = None, device: str | None = None
) -> AsyncIterator[Studio]:
    room = Studio(audio or FakeAudio(), device)
    listening = asyncio.create_task(room.listen())
    await room.time.settle()
    yield room
    await room.source.aclose()
    await listening
    assert room.audio.stream is None


async def test_it_gives_what_the_device_gives() -> None:
    async with studio() as room:
        await room.speak(1)
    assert room.end == RATE
    assert room.filled == room.source.filled == 0
    assert room.source.name == "mic Blue Yeti"
    chunk = room.chunks[-1]
    assert (chunk.samples == 0.5).all()
    assert chunk.samples.dtype == np.float32
    assert not chunk.samples.flags.writeable
    assert chunk.captured_at == pytest.approx(room.time(), abs=1e-6)


async def test_a_device_at_its_own_rate_is_resampled_and_its_delay_counted() -> None:
    async with studio(FakeAudio(48_000)) as room:
        await room.speak(1)
    audio = np.concatenate([chunk.samples for chunk in room.chunks])
    assert room.end == pytest.approx(RATE, abs=0.003 * RATE)
    np.testing.assert_allclose(audio[100:], 0.5, atol=1e-5)
    missing = 1 - room.end / RATE
    assert room.time() - room.chunks[-1].captured_at == pytest.approx(missing, abs=1e-4)


async def test_nan_from_a_driver_goes_no_further() -> None:
    async with studio() as room:
        await room.speak(0.1)
        assert room.audio.stream is not None
        for bad in (np.nan, np.inf, -7.0):
            await room.time.advance(0.01)
            room.audio.stream.give(np.full((160, 1), bad, np.float32), room.time())
        await room.speak(0.1)
    audio = np.concatenate([chunk.samples for chunk in room.chunks])
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1
    assert (audio[-1_600:] == 0.5).all()


async def test_a_short_stall_is_filled_without_fuss(caplog: pytest.LogCaptureFixture) -> None:
    async with studio() as room:
        await room.speak(1)
        await room.time.advance(0.4)
        await room.speak(1)
    assert room.filled == pytest.approx(0.4 * RATE, abs=0.02 * RATE)
    assert room.end == pytest.approx(2.4 * RATE, abs=0.02 * RATE)
    assert room.audio.opened == 1
    assert not caplog.records


async def test_unplugged_the_clock_goes_on_and_it_comes_back_by_its_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    audio = FakeAudio()
    async with studio(audio, "yeti") as room:
        await room.speak(1)
        assert audio.stream is not None
        audio.stream.active = False
        audio.plugged = (BUILT_IN,)
        lost_at = room.time()
        await room.time.advance(30)
        assert room.end == pytest.approx(31 * RATE, abs=0.2 * RATE)
        assert audio.stream is None
        assert [record.message for record in caplog.records] == [
            "mic Blue Yeti is lost; silence stands in until it is back"
        ]
        waits = np.diff(audio.scanned_at)
        np.testing.assert_allclose(waits, [0.5, 1, 2, 4, 8, 8][: len(waits)])
        assert len(waits) >= 5
        assert audio.scanned_at[0] - lost_at < 0.1

        audio.plugged = (BUILT_IN, replace(YETI, index=7))
        await room.speak(10)
        assert [record.message for record in caplog.records][1:] == ["mic Blue Yeti is back"]
        assert audio.opened == 2
    assert room.end == pytest.approx(41 * RATE, abs=0.2 * RATE)
    assert not any(chunk.filled for chunk in room.chunks[-100:])
    silent = [chunk for chunk in room.chunks if chunk.filled]
    assert max(len(chunk.samples) for chunk in silent[1:-1]) <= 0.05 * RATE


async def test_the_default_microphone_may_be_another_one_afterwards() -> None:
    audio = FakeAudio()
    async with studio(audio) as room:
        await room.speak(0.5)
        assert audio.stream is not None
        audio.stream.active = False
        audio.plugged = (replace(BUILT_IN, is_default=True),)
        await room.speak(1)
        assert room.source.name == "mic Built-in"
        assert audio.stream is not None


async def test_a_device_that_falls_silent_without_a_word_is_opened_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with studio() as room:
        await room.speak(1)
        await room.time.advance(1.4)
        assert room.audio.opened == 1
        await room.time.advance(0.3)
        assert room.audio.opened == 2
        await room.speak(1)
        assert len(caplog.records) == 2


async def test_a_device_that_wakes_up_slowly_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with studio() as room:
        await room.time.advance(4)
        await room.speak(1)
    assert room.end == pytest.approx(5 * RATE, abs=0.02 * RATE)
    assert room.filled == pytest.approx(4 * RATE, abs=0.03 * RATE)
    assert room.audio.opened == 1
    assert not caplog.records


async def test_back_off_survives_a_device_that_refuses() -> None:
    async with studio() as room:
        await room.speak(0.5)
        assert room.audio.stream is not None
        room.audio.stream.active = False
        room.audio.refuses = True
        await room.time.advance(20)
        room.audio.refuses = False
        await room.speak(9)
    assert room.audio.opened == 2
    assert room.end == pytest.approx(29.5 * RATE, abs=0.2 * RATE)


async def test_after_the_machine_slept_time_is_filled_and_the_device_gets_a_moment(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with studio() as room:
        await room.speak(1)
        await room.time.jump(3_600)
        await room.speak(1)
    assert room.end == pytest.approx(3_602 * RATE, abs=0.1 * RATE)
    assert room.audio.opened == 1
    assert not caplog.records


@pytest.mark.parametrize("still", [2.1, 5.0])
async def test_a_reader_that_stands_still_loses_the_oldest_and_knows_how_much(
    still: float, caplog: pytest.LogCaptureFixture
) -> None:
    time, audio = ManualTime(), FakeAudio()
    audio.time = time
    source = MicrophoneSource(None, clock=time, sleep=time.sleep, audio=audio)
    iterator = source.chunks()
    first = asyncio.ensure_future(anext(iterator))
    await time.settle()
    chunks: list[AudioChunk] = []
    began = time()
    for number in range(round(still * 100)):  # while nobody reads on
        await time.advance(0.01)
        assert audio.stream is not None
        audio.stream.give(np.full((160, 1), number / 1_000, np.float32), time())
        await time.settle()
    chunks.append(await first)
    while chunks[-1].end < round(still * RATE):
        chunks.append(await anext(iterator))
    await source.aclose()
    await iterator.aclose()

    values = np.concatenate([chunk.samples for chunk in chunks])
    filled = sum(chunk.filled for chunk in chunks)
    assert len(values) == round(still * RATE)
    assert filled == pytest.approx((still - 2) * RATE, abs=320)
    assert values[-1] == np.float32((still * 100 - 1) / 1_000)
    for chunk in chunks:
        assert chunk.filled or chunk.captured_at == pytest.approx(began + chunk.end / RATE)
    starts = {chunk.start: chunk.samples[0] for chunk in chunks if not chunk.filled}
    assert all(value == np.float32(start / 160_000) for start, value in starts.items())
    assert "samples dropped" in caplog.text


async def test_what_the_audio_thread_held_back_in_a_standstill_is_not_lost() -> None:
    async with studio() as room:
        await room.speak(1)
        await room.time.jump(0.3)  # the whole program stood still, say to collect garbage
        assert room.audio.stream is not None
        for _ in range(30):
            room.audio.stream.give(np.full((160, 1), 0.5, np.float32), room.time())
        await room.speak(1)
    assert room.filled == 0
    assert room.end == 2.3 * RATE


class TwoMicrophones(FakeAudio):
    """A machine that records from several microphones at once; `mute` ones give nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[str, FakeStream] = {}
        self.mute = ""
        self.broken = ""

    async def open(self, device: Device, on_block: OnBlock) -> OpenInput:
        if device.name == self.broken:
            raise UsageError(f"the audio device {device.name!r} cannot be opened")
        self.streams[device.name] = FakeStream(device, self.rate, on_block)
        return self.streams[device.name]

    async def close(self, stream: OpenInput) -> None:
        assert isinstance(stream, FakeStream)
        del self.streams[stream.device.name]

    async def aclose(self) -> None:
        self.streams.clear()

    async def speak(self, room: Studio, seconds: float) -> None:
        """Let every open microphone give a level of its own."""
        for _ in range(round(seconds * 100)):
            await room.time.advance(0.01)
            for name, stream in list(self.streams.items()):
                if name != self.mute:
                    level = 0.5 if name == YETI.name else 0.25
                    stream.give(np.full((160, 1), level, np.float32), room.time())
            await room.time.settle()


async def test_another_microphone_while_it_records() -> None:
    audio = TwoMicrophones()
    async with studio(audio) as room:
        await audio.speak(room, 1)
        switching = asyncio.create_task(room.source.switch("built-in"))
        await audio.speak(room, 1)
        await switching
        assert room.source.name == "mic Built-in"
        assert list(audio.streams) == ["Built-in"]
        values = np.concatenate([chunk.samples for chunk in room.chunks])
        assert room.end == pytest.approx(2 * RATE, abs=0.05 * RATE)
        assert room.filled <= 0.05 * RATE
        assert (values[: round(0.99 * RATE)] == 0.5).all()
        assert (values[round(1.1 * RATE) :] == 0.25).all()
        audio.streams["Built-in"].active = False  # a named one must come back by its name
        await audio.speak(room, 3)
        assert room.source.name == "mic Built-in"


@pytest.mark.parametrize("fault", ["broken", "mute", "missing"])
async def test_a_microphone_that_does_not_work_leaves_the_old_one(fault: str) -> None:
    audio = TwoMicrophones()
    async with studio(audio) as room:
        await audio.speak(room, 1)
        if fault != "missing":
            setattr(audio, fault, "Built-in")
        wanted = "shure" if fault == "missing" else "Built-in"
        switching = asyncio.create_task(room.source.switch(wanted))
        await audio.speak(room, 4)
        says = {"broken": "cannot be opened", "mute": "gives no sound", "missing": "no such audio"}
        with pytest.raises(UsageError, match=says[fault]):
            await switching
        assert list(audio.streams) == ["Blue Yeti"]
        values = np.concatenate([chunk.samples for chunk in room.chunks])
        assert (values == 0.5).all()
        assert room.filled == 0
        assert room.end == pytest.approx(5 * RATE, abs=0.01 * RATE)


async def test_a_microphone_that_was_plugged_in_is_found() -> None:
    audio = TwoMicrophones()
    audio.plugged = (YETI,)
    async with studio(audio) as room:
        await audio.speak(room, 1)
        audio.plugged = (YETI, BUILT_IN)
        found = await room.source.rescan()
        assert [device.name for device in found] == ["Blue Yeti", "Built-in"]
        await audio.speak(room, 1)
        assert room.end == pytest.approx(2 * RATE, abs=0.05 * RATE)
        assert room.filled <= 0.05 * RATE


async def test_a_device_that_cannot_be_opened_at_the_start_is_an_error() -> None:
    audio = FakeAudio()
    audio.refuses = True
    source = MicrophoneSource(None, audio=audio)
    with pytest.raises(UsageError, match="cannot be opened"):
        await anext(source.chunks())


async def test_a_wrong_device_is_refused_before_anything_is_opened() -> None:
    audio = FakeAudio()
    with pytest.raises(UsageError, match=r"'shure'.*1 'Built-in'.*3 'Blue Yeti' \(ALSA, default\)"):
        MicrophoneSource("shure", audio=audio)
    assert audio.opened == 0


async def test_closing_ends_a_reader_that_waits() -> None:
    room = Studio(FakeAudio())
    listening = asyncio.create_task(room.listen())
    await room.time.settle()
    await room.source.aclose()
    await asyncio.wait_for(listening, 5)
    await room.source.aclose()
    assert room.audio.closed == 1
