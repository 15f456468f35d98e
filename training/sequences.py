"""One minute of the corpus: speech, what the network hears of it, words, and the plans."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streamer.clock import SAMPLE_RATE, FrameClock
from training import noise
from training.clips import Library
from training.drawing import draw
from training.listening import Heard, listen
from training.planner import STYLES, Planner
from training.sentences import any_word
from training.speech import LEVEL_DB, Synthesiser, Utterance
from training.triggers import trigger_class

Float32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Kind = Literal["speech", "mixed", "nonspeech"]

CLOCK = FrameClock(fps=Fraction(15))
FRAMES = 900
LOOKAHEADS = (0, 2, 4)

_LJ_SHARE = 0.12
_NOISELESS = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A word when it reaches the network: frame of arrival, frame in which it is spoken."""

    frame: int
    spoken: int
    text: str
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sources:
    """What sequences are made of; `utterances` bounds the synthesised ones."""

    library: Library
    recorded: tuple[Utterance, ...]
    synthesiser: Synthesiser
    utterances: int


def make_sequence(sources: Sources, seed: int, number: int) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of sequence `number` of the corpus of a seed (see corpus.py)."""
    generator = np.random.default_rng([seed, number])
    kind: Kind = ("speech", "mixed", "nonspeech")[
        int(np.searchsorted([0.74, 0.93], generator.random()))
    ]
    style = int(generator.choice(3, p=[0.25, 0.5, 0.25]))
    clean, spoken = _compose(sources, generator, kind)
    heard_audio = _through_microphone(sources, generator, clean, kind)
    arrivals = deliver(generator, spoken)
    steps = FRAMES + max(LOOKAHEADS)
    heard = listen(clean, CLOCK, steps)
    codes = draw_codes(generator, len(sources.library.clips), steps)
    words: list[str | None] = [None] * steps
    for arrival in arrivals:
        words[arrival.frame] = trigger_class(arrival.text)
    timeline = Planner(sources.library, STYLES[style]).run(heard, codes, words)
    poses = draw(sources.library, timeline, heard, codes, STYLES[style])
    return {
        "audio": (heard_audio * 32767).clip(-32768, 32767).astype(np.int16),
        "directions": np.stack([poses[a : a + FRAMES] for a in LOOKAHEADS]).astype(np.float16),
        "code": codes[:FRAMES].astype(np.int16),
        "phase": timeline.phase[:FRAMES].astype(np.int8),
        "released": timeline.released[:FRAMES],
        "word_frame": np.array([a.frame for a in arrivals], np.int32),
        "word_start": np.array([a.spoken for a in arrivals], np.int32),
        "word": np.array([a.text for a in arrivals], np.str_),
        "word_final": np.array([a.final for a in arrivals], np.bool_),
        "style": np.array(style, np.int8),
        "voiced": heard.voiced[:FRAMES],
        "accent": heard.accent[:FRAMES],
        "kind": np.array(kind),
        "seed": np.array([seed, number], np.int64),
    }


def plan(
    library: Library, heard: Heard, codes: Ints, words: list[str | None], style: int
) -> npt.NDArray[np.float64]:
    """Return the poses [S, 45, 3] that the planner makes of what is heard in S steps."""
    timeline = Planner(library, STYLES[style]).run(heard, codes, words)
    return draw(library, timeline, heard, codes, STYLES[style])


def draw_codes(generator: np.random.Generator, table: int, steps: int) -> Ints:
    """Return gesture codes [S], redrawn every 15 to 30 steps, never twice the same in turn."""
    codes = np.empty(steps, np.int64)
    step, code = 0, int(generator.integers(table))
    while step < steps:
        length = int(generator.integers(15, 31))
        codes[step : step + length] = code
        step += length
        code = int((code + 1 + generator.integers(table - 1)) % table)
    return codes


def deliver(generator: np.random.Generator, spoken: list[tuple[int, str]]) -> tuple[Arrival, ...]:
    """Return when words (frame, text) reach the network: exact, ahead, late, wrong, never.

    The mixture of hop.md 12; how a session's recogniser delays words is drawn
    once for the sequence, with jitter for each word.
    """
    if generator.random() < 0.15:
        return ()
    mode = generator.choice(3, p=[0.2, 0.3, 0.5])
    usual = (0.0, -generator.uniform(0.2, 0.8), generator.uniform(0.4, 1.3))[mode]
    taken: set[int] = set()
    out: list[Arrival] = []

    def enter(frame: int, start: int, text: str, final: bool) -> None:
        frame = max(frame, 0)
        while frame in taken:  # one word enters per frame
            frame += 1
        if frame < FRAMES:
            taken.add(frame)
            out.append(Arrival(frame=frame, spoken=start, text=text, final=final))

    for start, text in spoken:
        if generator.random() < 0.1:
            continue
        jitter = 0.0 if mode == 0 else generator.uniform(-0.2, 0.2)
        frame = start + round((usual + jitter) * 15)
        if generator.random() < 0.05:
            enter(frame, start, any_word(generator), final=False)
            frame += int(generator.integers(4, 12))
        enter(frame, start, text, final=True)
    return tuple(sorted(out, key=lambda a: a.frame))


def _compose(
    sources: Sources, generator: np.random.Generator, kind: Kind
) -> tuple[Float32, list[tuple[int, str]]]:
    """Return clean speech of a minute and its words by frame."""
    count = CLOCK.start(FRAMES)
    clean = np.zeros(count, np.float32)
    words: list[tuple[int, str]] = []
    place = int(generator.uniform(0.3, 3.0) * SAMPLE_RATE)
    while kind != "nonspeech":
        utterance = _draw_utterance(sources, generator)
        if place + len(utterance.samples) > count:
            break
        level = 10 ** (generator.uniform(-3, 3) / 20)
        clean[place : place + len(utterance.samples)] = level * utterance.samples
        words += [
            (CLOCK.frame_of(place + int(w.start * SAMPLE_RATE)), w.text) for w in utterance.words
        ]
        pause = generator.uniform(5, 8) if generator.random() < 0.1 else _pause(generator)
        if kind == "mixed" and generator.random() < 0.35:
            pause += generator.uniform(5, 12)
        place += len(utterance.samples) + int(pause * SAMPLE_RATE)
    return clean, words


def _pause(generator: np.random.Generator) -> float:
    """Return seconds between utterances: mostly short, 0.3 to 4."""
    return float(0.3 + 3.7 * generator.beta(1.0, 2.6))


def _draw_utterance(sources: Sources, generator: np.random.Generator) -> Utterance:
    if generator.random() < _LJ_SHARE:
        return sources.recorded[generator.integers(len(sources.recorded))]
    return sources.synthesiser.utterance(int(generator.integers(sources.utterances)))


def _through_microphone(
    sources: Sources, generator: np.random.Generator, clean: Float32, kind: Kind
) -> npt.NDArray[np.float64]:
    """Return what the network hears: coloured, with noise or sounds, at some level."""
    count = len(clean)
    voice_rms = 10 ** (LEVEL_DB / 20)
    out = noise.colour(generator, clean.astype(np.float64)) if clean.any() else clean.astype(float)
    if kind != "speech":  # sounds that are loud enough to be taken for a voice
        level = voice_rms * 10 ** (generator.uniform(-22, 0) / 20)
        out = out + level * _sound(sources, generator, count) * (1 - _talk_mask(clean))
    if kind == "nonspeech" or generator.random() > _NOISELESS:
        ratio = generator.uniform(5, 40)
        out = out + voice_rms * 10 ** (-ratio / 20) * _sound(sources, generator, count)
    floor = 10 ** (generator.uniform(-85, -65) / 20)
    out = out + floor * generator.standard_normal(count)
    return out * 10 ** (generator.uniform(-15, 15) / 20)


def _talk_mask(clean: Float32) -> npt.NDArray[np.float64]:
    """Return a smooth mask [n], 1 around speech, so that loud sounds fill the pauses."""
    block = SAMPLE_RATE // 10
    blocks = -(-len(clean) // block)
    padded = np.zeros(blocks * block)
    padded[: len(clean)] = np.abs(clean) > 1e-3
    talk = padded.reshape(blocks, block).any(1).astype(float)
    wide = np.convolve(talk, np.ones(9), "same") > 0
    soft = np.convolve(wide, np.ones(5) / 5, "same")
    return np.interp(np.arange(len(clean)), np.arange(blocks) * block, soft)


def _sound(sources: Sources, generator: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Return some sound [count] that is not the speaker, at an RMS of about 1."""
    names = [*noise.SOUNDS, "babble"]
    name = names[generator.integers(len(names))]
    if name != "babble":
        return noise.SOUNDS[name](generator, count)
    voices = [
        sources.synthesiser.utterance(int(generator.integers(sources.utterances))).samples
        for _ in range(int(generator.integers(12, 30)))
    ]
    return noise.babble(generator, voices, count)
