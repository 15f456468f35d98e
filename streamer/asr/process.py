"""A recogniser's process, from its owner's side: fed, watched, and started again."""

import asyncio
import logging
import os
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from streamer.asr.hypothesis import Hypothesis
from streamer.asr.pipe import (
    MAX_LINE,
    Failed,
    Heard,
    Ready,
    audio_bytes,
    flush_bytes,
    read_answer,
)
from streamer.clock import SAMPLE_RATE, Clock
from streamer.errors import InputError
from streamer.types import AudioChunk, Float32

_log = logging.getLogger(__name__)

BLOCK = 2 * SAMPLE_RATE // 25
"""Samples that are sent at once, 80 ms."""
MOST_BEHIND = 4 * SAMPLE_RATE
"""Audio that may wait for a slow recogniser; beyond it some is left out, and counted."""

_CATCH_UP = SAMPLE_RATE // 2
_HUNG_S = 20.0
_LONGEST_WAIT_S = 30.0
_STEADY_S = 60.0
_END_S = 2.0

Told = Callable[[Hypothesis], None]
Warn = Callable[[str], None]


def worker_command(kind: str, folder: Path | None = None) -> tuple[str, ...]:
    """Return the command line of a recogniser's process."""
    worker = (sys.executable, "-P", "-m", "streamer.asr.worker", kind)
    return worker if folder is None else (*worker, str(folder))


class RecogniserProcess:
    """Runs one recogniser and hands on what it says; the event loop's alone.

    told: gets every hypothesis. warn: gets one line for each outage. A process
    that dies, hangs for 20 s or answers nonsense is started again, after 1 s at
    first and at most 30 s later on; until then there are no words and nothing
    else is amiss. One that cannot load its model is left alone. One that is too
    slow misses audio: see `MOST_BEHIND`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        told: Told,
        warn: Warn,
        clock: Clock,
        back_off_s: float = 1.0,
    ) -> None:
        self.name = name
        self.restarts = 0
        self.skipped = 0
        self._command = tuple(command)
        self._told = told
        self._warn = warn
        self._clock = clock
        self._first_wait = self._wait = back_off_s
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._ready = self._flushed = self._warned = self._behind = self._refused = False
        self._failed = ""
        self._blocks: list[Float32] = []
        self._gathered = 0
        self._fresh = True
        self._sent = self._heard = 0
        self._answered = self._began = 0.0
        self._utterances = self._before = 0
        self._complaints = deque[str](maxlen=5)

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process is not None else None

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._task is not None

    @property
    def ready(self) -> bool:
        """Whether it listens now."""
        return self._ready

    def start(self) -> None:
        """Start the process; it loads while the caller goes on."""
        self._task = asyncio.create_task(self._supervise())

    async def wait_until_ready(self) -> None:
        """Wait until the model is loaded; raises `InputError` where it cannot be."""
        assert self._task is not None, "start it first"
        while not self._ready:
            if self._failed:
                raise InputError(f"--asr {self.name}: {self._failed}")
            await self._change()

    def hear(self, chunk: AudioChunk) -> None:
        """Take session audio; never waits."""
        self._blocks.append(chunk.samples)
        self._gathered += len(chunk.samples)
        if self._gathered >= BLOCK:
            self._send(chunk.end)

    async def catch_up(self) -> None:
        """Wait until everything that was sent has been heard, or cannot be."""
        while self._ready and self._heard < self._sent:
            await self._change()

    async def finish(self) -> None:
        """End the last utterance and wait, at most 2 s, for its words."""
        if not self._ready:
            return
        if self._gathered:
            self._send(self._sent + self._gathered)
        self._flushed = False
        self._write(flush_bytes())
        try:
            async with asyncio.timeout(_END_S):
                while self._ready and not self._flushed:
                    await self._change()
        except TimeoutError:
            _log.debug("%s has not finished", self.name)

    async def aclose(self) -> None:
        """End the process; may be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    # -- audio ---------------------------------------------------------------

    def _send(self, end: int) -> None:
        samples = np.concatenate(self._blocks)
        self._blocks, self._gathered = [], 0
        if not self._ready:
            return
        if self._fresh:
            self._fresh, self._sent, self._heard = False, end - len(samples), end - len(samples)
        waiting = self._sent - self._heard
        self._behind = waiting > (_CATCH_UP if self._behind else MOST_BEHIND)
        if self._behind:
            self.skipped += len(samples)
            if self._clock() - self._answered > _HUNG_S:
                self._kill("hangs")
            return
        self._sent = end
        self._write(audio_bytes(end - len(samples), samples))

    def _write(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(data)  # bounded by `MOST_BEHIND`; a broken pipe ends `_run`

    # -- the process ---------------------------------------------------------

    async def _supervise(self) -> None:
        while True:
            why = await self._run()
            if self._refused:
                self._note(f"cannot be used: {why}; gestures go on from the voice alone")
                return
            if self._began and self._clock() - self._began > _STEADY_S:
                self._wait = self._first_wait
            self._note(f"{why}; gestures go on from the voice alone, it is started again")
            await asyncio.sleep(self._wait)
            self._wait = min(2 * self._wait, _LONGEST_WAIT_S)
            self.restarts += 1

    async def _run(self) -> str:
        """Run the process until it ends; return why it did."""
        self._ready, self._behind, self._began = False, False, 0.0
        self._complaints.clear()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                limit=MAX_LINE,
                env=_environment(),
                **_apart(),
            )
        except OSError as error:
            return f"cannot be started: {error.strerror}"
        self._process = process
        assert process.stdout is not None
        assert process.stderr is not None
        complaints = asyncio.create_task(self._gather(process.stderr))
        try:
            why = await self._listen(process.stdout)
            if why:
                self._kill(why)
            code = await process.wait()
            await complaints
            return why or self._failed or f"ended with code {code}{self._last_complaint()}"
        finally:
            self._ready = False
            self._kill("is closed")
            complaints.cancel()
            await asyncio.gather(complaints, return_exceptions=True)
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()
            self._process = None

    async def _listen(self, answers: asyncio.StreamReader) -> str:
        """Hand on what the process says until it stops; say what is wrong with it."""
        while True:
            try:
                line = await answers.readline()
                if not line:
                    return ""
                answer = read_answer(line)
            except ValueError as error:
                return f"answers nonsense ({str(error)[:80]})"
            self._answered = self._clock()
            match answer:
                case Ready():
                    self._ready, self._warned, self._failed = True, False, ""
                    self._began = self._answered
                    self._before = self._utterances  # a new process counts from 0
                    self._fresh = True
                    self._blocks, self._gathered = [], 0
                case Failed(message=message):
                    self._failed, self._refused = message, True
                case Heard():
                    self._heard = answer.sample
                    self._flushed |= answer.flushed
                    for hypothesis in answer.hypotheses:
                        utterance = self._before + hypothesis.utterance
                        self._utterances = utterance + 1
                        self._told(replace(hypothesis, utterance=utterance))
            self._changed.set()

    async def _gather(self, complaints: asyncio.StreamReader) -> None:
        """Keep the last lines of what libraries print."""
        while True:
            try:
                line = await complaints.readline()
            except ValueError:  # a line without end
                continue
            if not line:
                return
            text = line.decode(errors="replace").strip()
            if text:
                self._complaints.append(text)
                _log.debug("%s: %s", self.name, text[:200])

    def _note(self, why: str) -> None:
        """Say once that there are no words for now."""
        self._failed = self._failed or why
        self._changed.set()
        _log.debug("%s %s", self.name, why)
        if not self._warned:
            self._warned = True
            self._warn(f"the recogniser {self.name} {why}")

    def _kill(self, why: str) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            _log.debug("%s %s", self.name, why)
            try:
                process.kill()
            except ProcessLookupError:
                pass  # it has just ended by itself

    def _last_complaint(self) -> str:
        return f" ({self._complaints[-1][:200]})" if self._complaints else ""

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _environment() -> dict[str, str]:
    """Return ours, with the places we import from, and nothing fetched from a hub."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def _apart() -> dict[str, Any]:
    """Return what keeps Ctrl-C from the process, and on Windows its priority low."""
    if sys.platform == "win32":
        apart = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": apart | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    return {"start_new_session": True}
