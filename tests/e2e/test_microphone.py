"""The real microphone path: PortAudio records what PulseAudio plays.

PulseAudio itself lets the stream slip on a machine that is busy, so what we
hear is compared with what PulseAudio's own recorder heard at the same time.
"""

import asyncio
import logging
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from streamer.audio.demo import DemoSource
from streamer.audio.opening import open_source
from streamer.audio.source import AudioSource
from streamer.errors import UsageError
from streamer.types import AudioChunk, Float32
from tests.e2e.pulse import PulseServer, pulse  # noqa: F401  (a fixture)

RATE = 16_000


class Recording:
    """What a source gives, and how long after `captured_at`."""

    def __init__(self, source: AudioSource) -> None:
        self._iterator = source.chunks()
        self.chunks: list[AudioChunk] = []
        self.delays: list[float] = []

    async def until(self, seconds: float) -> None:
        """Record until the session is so long."""
        async for chunk in self._iterator:
            self.delays.append(time.perf_counter() - chunk.captured_at)
            assert chunk.start == (self.chunks[-1].end if self.chunks else 0)
            self.chunks.append(chunk)
            if chunk.end >= seconds * RATE:
                return

    @property
    def audio(self) -> Float32:
        return np.concatenate([chunk.samples for chunk in self.chunks])

    @property
    def filled(self) -> int:
        return sum(chunk.filled for chunk in self.chunks)


def best_match(piece: Float32, audio: Float32) -> float:
    """The highest correlation of a piece with any stretch of the audio."""
    products = scipy.signal.correlate(audio, piece, mode="valid")
    energy = scipy.signal.correlate(np.square(audio), np.ones_like(piece), mode="valid")
    return float(np.max(products / np.sqrt(np.maximum(energy, 1e-3) * np.sum(np.square(piece)))))


async def test_the_microphone_hears_what_is_played(pulse: PulseServer, tmp_path: Path) -> None:  # noqa: F811
    demo = [chunk.samples async for chunk in DemoSource(realtime=False).chunks()]
    played = np.concatenate(demo)[: 4 * RATE]
    wav = tmp_path / "speech.wav"
    soundfile.write(wav, played, RATE)
    source = open_source("mic", device="PULSE")
    assert source.live
    assert source.name == "mic pulse"
    recording = Recording(source)
    player = pulse.play(wav)
    await recording.until(6)
    await source.aclose()
    assert player.wait(10) == 0

    pieces = [piece for piece in played.reshape(16, -1) if np.std(piece) > 0.03]
    matches = [best_match(piece, recording.audio) for piece in pieces]
    assert len(pieces) > 8
    assert np.median(matches) > 0.98  # resampled twice by PulseAudio; measured 0.998
    assert best_match(pieces[0][::-1].copy(), recording.audio) < 0.8  # it can tell


async def test_clicks_keep_their_distance_and_delay(pulse: PulseServer, tmp_path: Path) -> None:  # noqa: F811
    seconds = 8
    clicks = np.zeros(seconds * 48_000, np.float32)
    clicks[24_000::48_000] = 0.9
    wav, raw = tmp_path / "clicks.wav", tmp_path / "reference.raw"
    soundfile.write(wav, clicks, 48_000)
    source = open_source("mic", device="pulse")
    recording = Recording(source)
    reference = pulse.record(raw)
    player = pulse.play(wav)
    await recording.until(seconds + 2)
    await source.aclose()
    assert player.wait(10) == 0
    reference.terminate()
    reference.wait(10)

    ours = onsets(recording.audio, RATE)
    theirs = onsets(np.fromfile(raw, np.float32), 48_000)
    assert len(ours) == len(theirs) == seconds
    intervals = np.diff(ours) - RATE
    assert np.abs(intervals - (np.diff(theirs) / 3 - RATE)).max() <= 20
    assert np.median(np.abs(intervals)) <= 20
    settled = np.array(recording.delays[100:]) * 1000
    p50, p99 = np.percentile(settled, [50, 99])
    print(f"\nclicks {intervals.tolist()} samples from 16000 apart; ", end="")
    print(f"chunk delivery after captured_at: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    assert np.min(settled) > -1  # nothing is given out before it was captured
    assert p50 < 20  # measured 5 to 8 ms on two busy cores


async def test_an_unplugged_microphone_comes_back(
    pulse: PulseServer,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wav = tmp_path / "tone.wav"
    tone = np.sin(2 * np.pi * 440 * np.arange(6 * RATE) / RATE)
    soundfile.write(wav, 0.5 * tone, RATE)
    source = open_source("mic", device="pulse")
    recording = Recording(source)
    pulse.play(wav)
    began = time.perf_counter()
    with caplog.at_level(logging.WARNING, "streamer.audio"):
        await recording.until(1.5)
        await asyncio.gather(recording.until(3), asyncio.to_thread(pulse.stop))
        await asyncio.gather(recording.until(4), asyncio.to_thread(pulse.start))
        pulse.play(wav)
        await recording.until(8)
    took = time.perf_counter() - began
    await source.aclose()

    assert took == pytest.approx(8, abs=0.5)  # the session's clock went on
    assert 1 * RATE < recording.filled < 6 * RATE
    audio = recording.audio
    assert np.std(audio[RATE // 2 : RATE]) > 0.2
    assert np.std(audio[-RATE // 2 :]) > 0.2
    messages = [record.message for record in caplog.records]
    assert len(messages) == 2, messages
    assert "is lost" in messages[0]
    assert "is back" in messages[1]


async def test_a_wrong_name_lists_the_real_ones(pulse: PulseServer) -> None:  # noqa: F811
    with pytest.raises(UsageError, match=r"'nonsense'.*\d 'pulse' \(ALSA.*default"):
        open_source("mic", device="nonsense")


def onsets(audio: Float32, rate: int) -> np.ndarray:
    level = np.abs(audio)
    found, _ = scipy.signal.find_peaks(level, height=0.3 * level.max(), distance=rate // 2)
    return found
