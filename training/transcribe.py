"""`python -m training transcribe`: what a recogniser hears in every clip of a store.

The words go beside the store as `heard.json`, and `data.text=asr` (recipe
`ha2g/asr_text`) trains with them in place of the transcripts.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

import numpy as np

from streamer.asr.hypothesis import Hypothesis
from streamer.asr.opening import Recognised, open_remote_words
from streamer.asr.process import BLOCK, RecogniserProcess
from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError, UsageError
from streamer.types import AudioChunk, Float32
from streamer.words import normalise
from training.loop.windows import HEARD
from training.progress import track
from training.store.reader import Store
from training.store.windows import to_float

Heard = list[tuple[str, float, float]]

_SILENCE = 2 * SAMPLE_RATE
"""Behind each clip, so that the recogniser ends its sentence."""


async def transcribe(store: Store, name: str) -> dict[str, Heard]:
    """Return word, start and end in seconds for every clip.

    Raises `UsageError` for a recogniser that cannot be had, `InputError` where
    it fails on the way.
    """
    said: list[Hypothesis] = []
    complaints: list[str] = []
    process = RecogniserProcess(
        _command(name), name=name, told=said.append, warn=complaints.append, clock=time.perf_counter
    )
    process.start()
    heard: dict[str, Heard] = {}
    try:
        await process.wait_until_ready()
        at = 0
        clips = store.all_clips
        for clip in track(clips, len(clips), f"transcribe with {name}"):
            said.clear()
            samples = np.concatenate(
                [to_float(store.read(clip).audio), np.zeros(_SILENCE, np.float32)]
            )
            samples = samples[: len(samples) // BLOCK * BLOCK]
            await _hear(process, samples, at)
            words = [w for h in said if h.final for w in h.words]
            heard[clip.name] = [
                (normalise(w.text), (w.start - at) / SAMPLE_RATE, (w.end - at) / SAMPLE_RATE)
                for w in words
                if normalise(w.text)
            ]
            at += len(samples)
            if complaints:
                raise InputError(f"{name}: {complaints[0]}")
    finally:
        await process.aclose()
    return heard


async def _hear(process: RecogniserProcess, samples: Float32, at: int) -> None:
    for start in range(0, len(samples), BLOCK):
        block = samples[start : start + BLOCK]
        chunk = AudioChunk(samples=block, start=at + start, captured_at=time.perf_counter())
        process.hear(chunk)
        await process.catch_up()


def _command(name: str) -> tuple[str, ...]:
    words = open_remote_words(name)
    if not isinstance(words, Recognised):
        raise UsageError(f"--asr {name}: is no recogniser; name pocketsphinx, sherpa:DIR, ...")
    return words.command


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `transcribe` to the training command line."""
    parser = commands.add_parser("transcribe", help="what a recogniser hears in a store's clips")
    parser.add_argument("store", type=Path)
    parser.add_argument("--asr", default="pocketsphinx", metavar="RECOGNISER")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    store = Store(args.store)
    heard = asyncio.run(transcribe(store, args.asr))
    path = store.folder / HEARD
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(heard, ensure_ascii=False) + "\n", "utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path}: not written ({error})") from error
    spoken = sum(len(clip.words) for clip in store.all_clips)
    print(f"{path}: {sum(map(len, heard.values()))} words, the transcripts have {spoken}")
    return 0
