import asyncio
from itertools import pairwise
from pathlib import Path

import numpy as np
import pocketsphinx
import pytest

from streamer.audio.demo import DemoSource
from streamer.types import AudioChunk, Float32, WordEvent
from tests.support import ManualTime

RATE = 16_000
DATA = Path(__file__).parents[2] / "streamer" / "data" / "demo"


@pytest.fixture(scope="module")
def speech() -> Float32:
    async def read() -> list[Float32]:
        return [chunk.samples async for chunk in DemoSource(realtime=False).chunks()]

    return np.concatenate(asyncio.run(read()))


@pytest.fixture(scope="module")
def words() -> tuple[WordEvent, ...]:
    return DemoSource(realtime=False).words


def dbfs(audio: Float32) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(audio, dtype=np.float64))) + 1e-9))


def test_it_is_speech_of_a_decent_length_and_level(
    speech: Float32, words: tuple[WordEvent, ...]
) -> None:
    assert 30 * RATE < len(speech) < 60 * RATE
    assert (DATA / "speech.flac").stat().st_size < 1_000_000
    assert np.abs(speech).max() < 10 ** (-1 / 20)
    spoken = np.concatenate([speech[word.start : word.end] for word in words])
    assert dbfs(spoken) == pytest.approx(-20, abs=1)


def test_it_rests_once_for_five_seconds(speech: Float32, words: tuple[WordEvent, ...]) -> None:
    gaps = [b.start - a.end for a, b in pairwise(words)]
    longest = int(np.argmax(gaps))
    assert 4.5 * RATE < gaps[longest] < 5.5 * RATE
    assert sorted(gaps)[-2] < 1.5 * RATE
    silence = speech[words[longest].end + RATE // 10 : words[longest + 1].start]
    assert dbfs(silence) < -70


def test_words_are_in_order_and_inside(speech: Float32, words: tuple[WordEvent, ...]) -> None:
    assert len(words) > 100
    assert all(word.start < word.end for word in words)
    assert all(a.end <= b.start for a, b in pairwise(words))
    assert words[-1].end <= len(speech)
    invited = {"i", "you", "no", "big", "stop", "here", "all", "questions"}
    assert invited <= {word.text for word in words}


def test_a_recogniser_finds_the_words_where_they_are_said_to_be(
    speech: Float32, words: tuple[WordEvent, ...]
) -> None:
    decoder = pocketsphinx.Decoder(loglevel="FATAL")
    decoder.set_align_text(" ".join(word.text for word in words))
    decoder.start_utt()
    decoder.process_raw((speech * 32_767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    found = [seg for seg in decoder.seg() if not seg.word.startswith(("<", "["))]
    assert [seg.word.split("(")[0] for seg in found] == [word.text for word in words]
    apart = np.abs(
        [seg.start_frame / 100 - word.start / RATE for seg, word in zip(found, words, strict=True)]
    )
    assert np.median(apart) < 0.03  # measured 0.010 s
    assert np.quantile(apart, 0.9) < 0.06  # measured 0.021 s


async def test_live_it_loops_with_a_pause_and_the_words_go_on(words: tuple[WordEvent, ...]) -> None:
    time = ManualTime()
    source = DemoSource(clock=time, sleep=time.sleep)
    began = time()
    chunks: list[AudioChunk] = []

    async def listen() -> None:
        async for chunk in source.chunks():
            assert chunk.start == (chunks[-1].end if chunks else 0)
            assert chunk.captured_at == pytest.approx(began + chunk.end / RATE, abs=1e-6)
            assert time() == pytest.approx(chunk.captured_at, abs=1e-6)
            chunks.append(chunk)
            if chunk.end >= 2.5 * source.period:
                return

    listening = asyncio.create_task(listen())
    await time.advance(2.5 * source.period / RATE + 1)
    await listening
    await source.aclose()

    audio = np.concatenate([chunk.samples for chunk in chunks])
    period = source.period
    np.testing.assert_array_equal(audio[:period], audio[period : 2 * period])
    assert not audio[period - 2 * RATE : period].any()
    assert all(chunk.filled == 0 for chunk in chunks)
    # `words` and `period` say where the speech is in every loop.
    assert source.words == words
    for word in words:
        again = audio[period + word.start : period + word.end]
        assert dbfs(again) > -45, word


async def test_rendered_it_plays_once() -> None:
    source = DemoSource(realtime=False)
    assert not source.live
    assert source.period == 0
    chunks = [chunk async for chunk in source.chunks()]
    assert source.words[-1].end < chunks[-1].end < 60 * RATE
