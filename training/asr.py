"""`python -m training asr`: how well, how soon and at what cost recognisers hear real speech.

Each recogniser runs in its own process, as in `gesture live`, fed block by
block; a block is sent when the one before has been answered. From the processor
time of every answer follows when it would have come live on an idle core: a
block's work begins when its last sample is captured and the block before is done.
"""

import argparse
import asyncio
import csv
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import psutil

from streamer.asr.hypothesis import Hypothesis, Spoken
from streamer.asr.opening import Recognised, open_words
from streamer.asr.policy import POLICIES, Policy, WordPolicy
from streamer.asr.process import BLOCK, RecogniserProcess
from streamer.audio.file import AudioFile, FileSource
from streamer.bench import machine
from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError, UsageError
from streamer.types import AudioChunk, Float32
from streamer.words import normalise
from training import asr_beside
from training.asr_beside import Beside, measure_beside
from training.progress import track

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_SILENCE = 2 * SAMPLE_RATE
_MS = 1000 / SAMPLE_RATE
_INTERVAL = re.compile(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "(.*?)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A recording with its text; `words` where their times are known too."""

    corpus: str
    path: Path
    text: tuple[str, ...]
    words: tuple[Spoken, ...] = ()


@dataclass(slots=True)
class Figures:
    """What was counted over the clips of one corpus."""

    reference: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    start_errors: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    told: int = 0
    revised: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    cpu: float = 0.0
    rss_mb: float = 0.0


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = subparsers.add_parser("asr", help=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--asr", action="append", default=[], metavar="RECOGNISER", help="(pocketsphinx)"
    )
    parser.add_argument("--data", type=Path, default=_DATA, metavar="DIR")
    parser.add_argument("--words", choices=POLICIES, default="stable_prefix")
    parser.add_argument("--clips", type=int, default=1000, help="at most so many of each corpus")
    parser.add_argument(
        "--beside",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="then run `gesture live` for so long, without and with each, and watch it",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--log", type=Path, metavar="FILE.jsonl", help="append the rows to this")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure and print a table or JSON; return the exit code."""
    clips = list(find_clips(options.data, options.clips))
    names = options.asr or ["pocketsphinx"]
    rows = [row for name in names for row in asyncio.run(measure(name, clips, options.words))]
    beside: list[Beside] = []
    if options.beside > 0:
        speech = np.concatenate([_read(clip.path) for clip in clips])
        beside = measure_beside(names, speech, options.beside)
    result = {
        "machine": machine(),
        "policy": options.words,
        "rows": rows,
        "beside": [row.to_json() for row in beside],
    }
    if options.log is not None:
        with options.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(result) + "\n")
    tables = table(rows) + (f"\n\n{asr_beside.table(beside)}" if beside else "")
    print(json.dumps(result) if options.json else tables)
    return 0


def find_clips(data: Path, most: int) -> Iterator[Clip]:
    """Yield the clips of JFK, LibriVox, LJSpeech and BEAT2 under `data`.

    Raises `InputError` where none is there.
    """
    found = [_jfk(data), _librivox(data), _ljspeech(data), _beat2(data)]
    if not any(found):
        raise InputError(f"{data}: none of the speech folders is there; name one with --data")
    for clips in found:
        yield from clips[:most]


def _jfk(data: Path) -> list[Clip]:
    folder = data / "speech_jfk"
    if not folder.is_dir():
        return []
    text = (folder / "jfk.txt").read_text("utf-8")
    return [Clip(corpus="JFK", path=folder / "jfk.flac", text=_words(text))]


def _librivox(data: Path) -> list[Clip]:
    """Times are PocketSphinx's own, for the right text where it heard it right."""
    clips = list[Clip]()
    for path in sorted((data / "speech_librivox").glob("*.wav")):
        times = json.loads(path.with_suffix(".json").read_text("utf-8"))["w"]
        words = tuple(
            _spoken(w["t"].split("(")[0], w["b"], w["b"] + w["d"])
            for w in times
            if "<" not in w["t"]
        )
        text = path.with_suffix(".txt").read_text("utf-8")
        clips.append(Clip(corpus="LibriVox", path=path, text=_words(text), words=words))
    return clips


def _ljspeech(data: Path) -> list[Clip]:
    folder = data / "speech_ljspeech"
    if not folder.is_dir():
        return []
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE))
    return [
        Clip(corpus="LJSpeech", path=folder / "wavs" / f"{row[0]}.wav", text=_words(row[-1]))
        for row in rows
    ]


def _beat2(data: Path) -> list[Clip]:
    clips = list[Clip]()
    for path in sorted((data / "beat2_sample" / "speech_only").glob("*.TextGrid")):
        tier = path.read_text("utf-8").split("item [2]")[0]
        words = tuple(
            _spoken(text, float(start), float(end))
            for start, end, text in _INTERVAL.findall(tier)
            if normalise(text)
        )
        text = tuple(normalise(word.text) for word in words)
        audio = path.with_suffix(".wav")
        clips.append(Clip(corpus="BEAT2", path=audio, text=text, words=words))
    return clips


async def measure(name: str, clips: Sequence[Clip], policy: Policy) -> list[dict[str, Any]]:
    """Return a row for each corpus; raises `UsageError` for a recogniser that cannot be had."""
    source = FileSource(clips[0].path, realtime=False)
    words = open_words(name, source, recognise=True)
    await source.aclose()
    if not isinstance(words, Recognised):
        raise UsageError(f"--asr {name}: is no recogniser; name pocketsphinx, sherpa:DIR, ...")
    said = list[Hypothesis]()
    complaints = list[str]()
    process = RecogniserProcess(
        words.command,
        name=name,
        told=said.append,
        warn=complaints.append,
        clock=time.perf_counter,
    )
    process.start()
    began = time.perf_counter()
    try:
        await process.wait_until_ready()
        load_s = time.perf_counter() - began
        figures = dict[str, Figures]()
        at = 0
        for clip in track(clips, len(clips), name):
            own = figures.setdefault(clip.corpus, Figures())
            at = await _hear(process, clip, own, said, policy, at)
        if complaints:
            raise InputError(complaints[0])
    finally:
        await process.aclose()
    return [{"asr": name, "corpus": c, **_row(f), "load_s": round(load_s, 2)}
            for c, f in figures.items()]  # fmt: skip


async def _hear(
    process: RecogniserProcess,
    clip: Clip,
    figures: Figures,
    said: list[Hypothesis],
    policy: Policy,
    at: int,
) -> int:
    """Hear one clip from session sample `at` on, with silence behind it; return its end."""
    samples = _read(clip.path)
    seconds = len(samples) / SAMPLE_RATE
    samples = np.concatenate([samples, np.zeros(_SILENCE, np.float32)])
    choose, heard = WordPolicy(policy), list[Spoken]()
    child = psutil.Process(process.pid)
    done = 0.0  # seconds of the clip's own time
    for start in range(0, len(samples) - BLOCK + 1, BLOCK):
        said.clear()
        began, used = time.perf_counter(), _cpu_s(child)
        block = samples[start : start + BLOCK]
        process.hear(AudioChunk(samples=block, start=at + start, captured_at=began))
        await process.catch_up()
        took = _cpu_s(child) - used
        figures.cpu += took
        figures.busy += time.perf_counter() - began
        done = max(done, (start + BLOCK) / SAMPLE_RATE) + took
        for hypothesis in said:
            for word in choose(hypothesis):
                figures.told += 1
                figures.revised += word.revision > 0
                figures.delays.append(1000 * done - (word.end - at) * _MS)
            if hypothesis.final:
                heard += [Spoken(w.text, w.start - at, w.end - at) for w in hypothesis.words]
    figures.rss_mb = max(figures.rss_mb, child.memory_info().rss / 1e6)
    figures.seconds += seconds
    texts = [normalise(word.text) for word in heard]
    figures.reference.append(" ".join(clip.text))
    figures.heard.append(" ".join(texts))
    figures.start_errors += start_errors(clip.words, heard)
    return at + len(samples) - len(samples) % BLOCK


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def start_errors(reference: Sequence[Spoken], heard: Sequence[Spoken]) -> list[float]:
    """Return |start difference| in ms of the words that were heard right."""
    if not reference or not heard:
        return []
    texts = [" ".join(normalise(w.text) for w in words) for words in (reference, heard)]
    (chunks,) = jiwer.process_words(*texts).alignments
    errors = list[float]()
    for chunk in chunks:
        if chunk.type == "equal":
            first = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            second = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
            errors += [abs(a.start - b.start) * _MS for a, b in zip(first, second, strict=True)]
    return errors


def _row(figures: Figures) -> dict[str, Any]:
    return {
        "clips": len(figures.reference),
        "words": sum(len(text.split()) for text in figures.reference),
        "wer": round(jiwer.wer(figures.reference, figures.heard), 3),
        "start_error_ms": _percentiles(figures.start_errors),
        "delay_ms": _percentiles(figures.delays),
        "told": figures.told,
        "revised": figures.revised,
        "real_time_factor": round(figures.busy / figures.seconds, 3),
        "cpu_factor": round(figures.cpu / figures.seconds, 3),
        "rss_mb": round(figures.rss_mb, 1),
    }


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {f"p{p}": round(float(np.percentile(values, p)), 1) for p in (50, 90)}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as text."""
    head = ("recogniser", "corpus", "words", "WER", "start error ms", "delay ms", "revised",
            "RTF", "CPU", "MB")  # fmt: skip
    lines = [head]
    for row in rows:
        pairs = [
            f"{v['p50']:.0f} / {v['p90']:.0f}" if (v := row[key]) else "-"
            for key in ("start_error_ms", "delay_ms")
        ]
        revised = f"{row['revised']} of {row['told']}"
        lines.append(
            (row["asr"], row["corpus"], str(row["words"]), f"{row['wer']:.1%}", *pairs, revised,
             f"{row['real_time_factor']:.2f}", f"{row['cpu_factor']:.2f}", f"{row['rss_mb']:.0f}")
        )  # fmt: skip
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return f"{text}\n(p50 / p90; delay: from a word's end until it is told, on an idle core)"


def _read(path: Path) -> Float32:
    audio = AudioFile(path)
    try:
        return np.concatenate(list(audio.blocks()))
    finally:
        audio.close()


def _words(text: str) -> tuple[str, ...]:
    """Return the normalised words of a text; a dash divides words, an apostrophe does not."""
    parts = text.replace("-", " ").replace("\u2014", " ").split()
    return tuple(word for part in parts if (word := normalise(part)))


def _spoken(text: str, start: float, end: float) -> Spoken:
    return Spoken(text, round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
