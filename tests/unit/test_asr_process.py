"""The owner's side of a recogniser's process, with processes that misbehave to order."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from streamer.asr.hypothesis import Hypothesis
from streamer.asr.process import BLOCK, MOST_BEHIND, RecogniserProcess
from streamer.errors import InputError
from streamer.types import AudioChunk
from tests.fakes import ManualClock
from tests.serving import until

WORKER = (sys.executable, str(Path(__file__).parents[1] / "asr_worker.py"))


class Heard:
    def __init__(self) -> None:
        self.said: list[Hypothesis] = []
        self.warnings: list[str] = []
        self.changed = asyncio.Event()
        self.at = 0

    def told(self, hypothesis: Hypothesis) -> None:
        self.said.append(hypothesis)
        self.changed.set()

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        self.changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def recogniser(
    *command: str, clock: ManualClock | None = None
) -> AsyncIterator[tuple[RecogniserProcess, Heard]]:
    heard = Heard()
    process = RecogniserProcess(
        command,
        name="fake",
        told=heard.told,
        warn=heard.warn,
        clock=clock or ManualClock(),
        back_off_s=0.01,
    )
    process.start()
    try:
        yield process, heard
    finally:
        await process.aclose()
        assert process.pid is None


def order(process: RecogniserProcess, heard: Heard, number: int) -> None:
    """Send a block whose first sample says what to do."""
    samples = np.zeros(BLOCK, np.float32)
    samples[0] = number / 32768
    process.hear(AudioChunk(samples=samples, start=heard.at, captured_at=0.0))
    heard.at += BLOCK


async def test_words_come_back_with_the_samples_of_the_session() -> None:
    async with recogniser(*WORKER, "well") as (process, heard):
        await process.wait_until_ready()
        heard.at = 1_000_000
        order(process, heard, 1)
        order(process, heard, 2)
        await process.catch_up()
        assert [(h.utterance, h.heard, h.final) for h in heard.said] == [
            (0, 1_000_000 + BLOCK, False),
            (0, 1_000_000 + 2 * BLOCK, True),
        ]
        small = AudioChunk(samples=np.zeros(5, np.float32), start=heard.at, captured_at=0.0)
        process.hear(small)
        await process.finish()
        assert heard.said[-1].final
        assert heard.said[-1].heard == heard.at + 5
        assert (process.restarts, process.skipped, heard.warnings) == (0, 0, [])


async def test_a_model_that_cannot_be_loaded_is_said_and_left_alone() -> None:
    async with recogniser(*WORKER, "refuses") as (process, heard):
        with pytest.raises(InputError, match="--asr fake: the model is of wood"):
            await process.wait_until_ready()
        await heard.until(lambda: heard.warnings)
        assert process.restarts == 0
        assert heard.warnings == [
            "the recogniser fake cannot be used: the model is of wood; "
            "gestures go on from the voice alone"
        ]


async def test_a_process_that_dies_while_loading_says_its_last_words() -> None:
    async with recogniser(*WORKER, "dies") as (process, _):
        with pytest.raises(InputError, match=r"ended with code 7 \(something native went wrong\)"):
            await process.wait_until_ready()


async def test_a_command_that_does_not_exist() -> None:
    async with recogniser("/no/such/program") as (process, _):
        with pytest.raises(InputError, match="cannot be started"):
            await process.wait_until_ready()


async def test_one_outage_is_one_warning_and_then_it_is_back(tmp_path: Path) -> None:
    async with recogniser(*WORKER, f"once:{tmp_path / 'lived'}") as (process, heard):
        await heard.until(lambda: heard.warnings)
        await _ready(process)
        order(process, heard, 1)
        await process.catch_up()
        assert len(heard.said) == 1
        assert process.restarts == 1
        assert len(heard.warnings) == 1
        assert "ended with code 9; gestures go on" in heard.warnings[0]


@pytest.mark.parametrize(("trouble", "says"), [(3, "code 11"), (4, "nonsense")])
async def test_trouble_in_the_middle_of_an_utterance(trouble: int, says: str) -> None:
    async with recogniser(*WORKER, "well") as (process, heard):
        await process.wait_until_ready()
        first = process.pid
        order(process, heard, 1)
        order(process, heard, trouble)
        await heard.until(lambda: heard.warnings)
        order(process, heard, 1)  # nobody listens; nothing happens
        await _ready(process)
        assert process.pid != first
        order(process, heard, 1)
        await process.catch_up()
        assert len(heard.warnings) == 1
        assert says in heard.warnings[0]
        # the new process counts its utterances from 0; ours go on
        assert [h.utterance for h in heard.said] == [0, 1]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
async def test_kill_9() -> None:
    async with recogniser(*WORKER, "well") as (process, heard):
        await process.wait_until_ready()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        await heard.until(lambda: heard.warnings)
        await _ready(process)
        order(process, heard, 1)
        await process.catch_up()
        assert len(heard.said) == 1


async def test_a_slow_one_misses_audio_and_a_hung_one_is_replaced() -> None:
    clock = ManualClock()
    async with recogniser(*WORKER, "well", clock=clock) as (process, heard):
        await process.wait_until_ready()
        first = process.pid
        order(process, heard, 5)
        for _ in range(MOST_BEHIND // BLOCK + 2):
            order(process, heard, 0)
        assert 0 < process.skipped <= 2 * BLOCK
        clock.now += 21
        order(process, heard, 0)
        await heard.until(lambda: heard.warnings)
        await _ready(process)
        assert process.pid != first
        order(process, heard, 1)
        await process.catch_up()
        assert len(heard.said) == 1
        assert len(heard.warnings) == 1


async def test_closing_while_it_loads_leaves_no_process() -> None:
    async with recogniser(*WORKER, "well") as (process, _):
        await until(lambda: process.pid is not None, seconds=30)
        pid = process.pid
    if hasattr(signal, "SIGKILL"):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def _ready(process: RecogniserProcess) -> None:
    await until(lambda: process.ready, seconds=60)
