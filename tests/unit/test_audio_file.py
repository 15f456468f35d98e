import asyncio
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from streamer.audio.file import FileSource
from streamer.audio.opening import open_source
from streamer.errors import InputError, UsageError
from streamer.types import AudioChunk, Float32
from tests.support import ManualTime

RATE = 16_000


def tone(rate: int, seconds: float, hertz: float = 440.0) -> Float32:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(
        np.float32
    )


async def read(path: Path) -> list[AudioChunk]:
    source = FileSource(path, realtime=False)
    chunks = [chunk async for chunk in source.chunks()]
    position = 0
    for chunk in chunks:
        assert chunk.start == position
        assert chunk.filled == 0
        assert chunk.samples.dtype == np.float32
        assert not chunk.samples.flags.writeable
        position = chunk.end
    return chunks


def joined(chunks: list[AudioChunk]) -> Float32:
    return np.concatenate([chunk.samples for chunk in chunks])


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
async def test_any_rate_becomes_16_khz(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(rate, 2.3), rate, subtype="PCM_24")
    audio = joined(await read(path))
    assert len(audio) == pytest.approx(2.3 * RATE, abs=2)
    expected = tone(RATE, 2.3)[: len(audio)]
    inner = slice(400, len(expected) - 400)
    assert np.abs(audio[inner] - expected[inner]).max() < 2e-4


@pytest.mark.parametrize(
    ("extension", "tolerance"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.01), ("mp3", 0.01)]
)
async def test_any_format_is_read(tmp_path: Path, extension: str, tolerance: float) -> None:
    path = tmp_path / f"tone.{extension}"
    soundfile.write(path, tone(48_000, 3), 48_000)
    audio = joined(await read(path))
    assert len(audio) == 3 * RATE
    inner = slice(2_000, -2_000)
    assert np.sqrt(np.mean(np.square(audio[inner] - tone(RATE, 3)[inner]))) < tolerance


async def test_resampling_in_blocks_equals_soxr_at_once(tmp_path: Path) -> None:
    path = tmp_path / "noise.wav"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 44_100 * 4).astype(np.float32)
    soundfile.write(path, noise, 44_100, subtype="FLOAT")
    expected = soxr.resample(noise, 44_100, RATE)
    np.testing.assert_allclose(joined(await read(path)), expected, atol=2e-6)


@pytest.mark.parametrize("channel", [0, 5])
async def test_a_voice_on_one_of_eight_channels_keeps_its_level(
    tmp_path: Path, channel: int
) -> None:
    path = tmp_path / "many.wav"
    audio = np.zeros((RATE, 8), np.float32)
    audio[:, channel] = tone(RATE, 1)
    soundfile.write(path, audio, RATE)
    np.testing.assert_allclose(joined(await read(path)), tone(RATE, 1), atol=1e-4)


async def test_out_of_phase_stereo_does_not_cancel(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([tone(RATE, 1), -tone(RATE, 1)], axis=1), RATE)
    assert np.std(joined(await read(path))) == pytest.approx(np.std(tone(RATE, 1)), rel=1e-3)


async def test_two_speakers_on_two_channels_are_both_heard(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    audio = np.zeros((4 * RATE, 2), np.float32)
    audio[: 2 * RATE, 0] = tone(RATE, 2)
    audio[2 * RATE :, 1] = 0.5 * tone(RATE, 2)
    soundfile.write(path, audio, RATE)
    heard = joined(await read(path))
    assert np.std(heard[RATE : 2 * RATE]) == pytest.approx(0.5 / 2**0.5, rel=0.01)
    assert np.std(heard[3 * RATE :]) == pytest.approx(0.25 / 2**0.5, rel=0.01)


async def test_realtime_goes_by_the_clock_and_does_not_drift(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(RATE, 4), RATE)
    time = ManualTime()
    source = FileSource(path, clock=time, sleep=time.sleep)
    assert source.live
    delays, lengths = [], []
    iterator = source.chunks()
    ending: list[AudioChunk] = []
    while not ending or ending[-1].end < 4 * RATE:
        coming = asyncio.ensure_future(anext(iterator))
        while not coming.done():  # the clock moves only while the source waits for it
            await asyncio.wait([coming], timeout=0.001)
            if not coming.done():
                await time.advance(0.005)
        chunk = coming.result()
        ending.append(chunk)
        delays.append(time() - chunk.captured_at)
        lengths.append(len(chunk.samples))
        began = ending[0].captured_at - len(ending[0].samples) / RATE
        assert chunk.captured_at == pytest.approx(began + chunk.end / RATE, abs=1e-9)
    await source.aclose()
    assert max(lengths) <= 320
    assert min(delays) >= -1e-9
    # The clock of this test moves on in steps while a file thread works.
    assert delays[-1] < 0.5


async def test_as_fast_as_read_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(RATE, 5), RATE)
    time = ManualTime()
    source = FileSource(path, clock=time, realtime=False, sleep=time.sleep)
    assert not source.live
    assert sum([len(chunk.samples) async for chunk in source.chunks()]) == 5 * RATE
    assert time() == ManualTime()()


async def test_a_long_file_does_not_sit_in_memory(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("ru_maxrss is counted in kilobytes on Linux only")
    path = tmp_path / "hour.wav"
    with soundfile.SoundFile(path, "w", 16_000, 2, "PCM_16") as sound:
        minute = np.zeros((60 * 16_000, 2), np.int16)
        for _ in range(60):
            sound.write(minute)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = FileSource(path, realtime=False)
    total = 0
    async for chunk in source.chunks():
        total += len(chunk.samples)
        if total >= 600 * RATE:
            break
    await source.aclose()
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 40  # ten minutes alone would be 38 MB as float mono, 77 MB as read


def broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.wav"
    audio = tone(RATE, 2)
    match kind:
        case "missing":
            pass
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("this is no audio\n" * 100)
        case "no_samples":
            soundfile.write(path, audio[:0], RATE)
        case "nan":
            audio[RATE + 8_000] = np.nan
            soundfile.write(path, audio, RATE, subtype="FLOAT")
        case "infinite":
            audio[0] = np.inf
            soundfile.write(path, audio, RATE, subtype="DOUBLE")
        case "loud":
            soundfile.write(path, audio * 32_768, RATE, subtype="FLOAT")
        case "slow":
            soundfile.write(path, audio, 4_000)
        case "fast":
            soundfile.write(path, audio, 384_000)
        case "crowd":
            soundfile.write(path, np.zeros((10, 100), np.float32), RATE)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", "the file is empty"),
        ("text", "not an audio file"),
        ("no_samples", "holds no samples"),
        ("nan", r"NaN or infinite samples at 1\.50 s"),
        ("infinite", r"NaN or infinite samples at 0\.00 s"),
        ("loud", "float samples up to 16384; expected -1 to 1"),
        ("slow", "4000 samples per second; expected 8000 to 192000"),
        ("fast", "384000 samples per second"),
        ("crowd", "100 channels; expected at most 64"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, kind: str, says: str) -> None:
    path = broken(tmp_path, kind)
    with pytest.raises(InputError, match=says) as caught:
        open_source(str(path))
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", ["flac", "ogg"])
async def test_a_damaged_file_is_an_error_and_not_silence(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"noise.{extension}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * RATE)
    soundfile.write(path, noise, RATE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8_000] = bytes(8_000)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"broken after|ends after"):
        await read(path)


async def test_closing_early_ends_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(RATE, 5), RATE)
    source = FileSource(path, realtime=False)
    seen = 0
    async for _ in source.chunks():
        seen += 1
        if seen == 3:
            await source.aclose()
    assert seen == 3
    await source.aclose()


def test_a_device_needs_the_microphone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--device is for --source mic"):
        open_source("demo", device="Blue Yeti")
    with pytest.raises(UsageError, match="cannot be rendered"):
        open_source("mic", realtime=False)
