"""Speech with word times: synthesised utterances, and recorded ones aligned to their text.

A synthesised utterance is a function of its number alone, so a corpus is
reproducible and its utterances can be cached.
"""

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from pocketsphinx import Decoder

from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError
from training.sentences import sentence
from training.voices import ESPEAK_VOICES, FLITE_VOICES, SpokenWord, Voice, speak

Float32 = npt.NDArray[np.float32]

LEVEL_DB = -23.0
"""RMS of an utterance's voiced part, dB of full scale."""

LJ_HELD_APART = tuple(f"LJ001-00{n}" for n in range(19, 25))
"""Clips that no corpus may hold: evaluation uses them."""

_CACHE_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Utterance:
    """Clean speech at 16 kHz, [n] at `LEVEL_DB`, its words, and who speaks."""

    samples: Float32
    words: tuple[SpokenWord, ...]
    source: str


class Synthesiser:
    """Synthesised utterances by number, kept in a cache folder.

    Several processes may share the folder: files appear whole.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache / f"speech-{_CACHE_FORMAT}"
        self._cache.mkdir(parents=True, exist_ok=True)

    def utterance(self, number: int) -> Utterance:
        """Return the utterance of a number, 0 or more."""
        path = self._cache / f"{number:06d}.npz"
        if path.is_file():
            with np.load(path) as data:
                words = json.loads(str(data["words"]))
                return Utterance(
                    samples=data["samples"].astype(np.float32) / 32768,
                    words=tuple(SpokenWord(text=t, start=s, end=e) for t, s, e in words),
                    source=str(data["source"]),
                )
        made = synthesise(number)
        quantised = np.round(made.samples * 32768).clip(-32768, 32767).astype(np.int16)
        temporary = path.with_suffix(f".{np.random.default_rng().integers(1 << 62)}.tmp")
        with temporary.open("wb") as file:
            np.savez(
                file,
                samples=quantised,
                words=json.dumps([(w.text, w.start, w.end) for w in made.words]),
                source=made.source,
            )
        temporary.replace(path)
        return Utterance(
            samples=quantised.astype(np.float32) / 32768, words=made.words, source=made.source
        )


def synthesise(number: int) -> Utterance:
    """Synthesise the utterance of a number: its own text, voice, rate and pitch."""
    generator = np.random.default_rng([0x5EEC, number])
    text = sentence(generator)
    flite = generator.random() < 0.6
    names = FLITE_VOICES if flite else ESPEAK_VOICES
    voice = Voice(
        engine="flite" if flite else "espeak",
        name=names[generator.integers(len(names))],
        rate=float(generator.uniform(0.85, 1.3)),
        pitch=float(generator.uniform(0.8, 1.25)),
    )
    samples, rate, words = speak(voice, text)
    # Playing it faster or slower changes the vocal tract's size, as another speaker would.
    tract = float(generator.uniform(0.9, 1.12))
    resampled = np.asarray(soxr.resample(samples, rate * tract, SAMPLE_RATE), np.float32)
    timed = tuple(SpokenWord(text=w.text, start=w.start / tract, end=w.end / tract) for w in words)
    source = f"{voice.engine}:{voice.name}"
    return _tidy(Utterance(samples=resampled, words=timed, source=source))


def load_ljspeech(folder: Path) -> tuple[Utterance, ...]:
    """Return the LJSpeech clips that may be trained on, aligned to their text.

    A clip with a word that the aligner's dictionary lacks is used without words.
    """
    table = folder / "metadata.csv"
    if not table.is_file():
        raise InputError(f"{folder}: no metadata.csv; expected the folder speech_ljspeech")
    out: list[Utterance] = []
    with table.open(encoding="utf-8") as file:
        for name, text, _ in csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE):
            if name in LJ_HELD_APART:
                continue
            samples, rate = soundfile.read(folder / "wavs" / f"{name}.wav", dtype="float32")
            samples = np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)
            words = align(samples, text)
            out.append(_tidy(Utterance(samples=samples, words=words, source="ljspeech")))
    return tuple(out)


def align(samples: Float32, text: str) -> tuple[SpokenWord, ...]:
    """Return when each word of a text is spoken in 16 kHz speech (pocketsphinx).

    Empty where the text holds a word without a pronunciation, or does not fit.
    """
    written = re.findall(r"[A-Za-z][A-Za-z']*", text)
    decoder: Any = Decoder(lm=None, loglevel="FATAL")
    known = [w for w in written if decoder.lookup_word(w.lower()) is not None]
    if len(known) < len(written) or not written:
        return ()
    decoder.set_align_text(" ".join(w.lower() for w in written))
    decoder.start_utt()
    decoder.process_raw((samples * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    found: list[tuple[str, float, float]] = [
        (re.sub(r"\(\d+\)$", "", s.word), s.start_frame / 100, (s.end_frame + 1) / 100)
        for s in decoder.seg() or ()
        if not s.word.startswith(("<", "(", "["))
    ]
    if [f[0] for f in found] != [w.lower() for w in written]:
        return ()
    return tuple(
        SpokenWord(text=w, start=start, end=end)
        for w, (_, start, end) in zip(written, found, strict=True)
    )


def _tidy(utterance: Utterance) -> Utterance:
    """Cut the silence at both ends, bring the voice to `LEVEL_DB`."""
    samples = utterance.samples - utterance.samples.mean()
    block = 160
    count = max(len(samples) // block, 1)
    power = (samples[: count * block].reshape(count, -1) ** 2).mean(1)
    loud = power > power.max() * 10**-4.0
    voiced = np.flatnonzero(loud)
    begin = max(int(voiced[0]) - 3, 0) * block
    end = min(int(voiced[-1]) + 4, count) * block
    gain = 10 ** (LEVEL_DB / 20) / np.sqrt(power[power > power.max() * 10**-2.5].mean())
    shift = begin / SAMPLE_RATE
    words = tuple(
        SpokenWord(text=w.text, start=max(w.start - shift, 0.0), end=max(w.end - shift, 0.0))
        for w in utterance.words
    )
    trimmed = (samples[begin:end] * gain).astype(np.float32)
    return Utterance(samples=trimmed, words=words, source=utterance.source)
