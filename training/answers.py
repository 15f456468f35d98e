"""Do words make the gestures that they mean: trigger rate over chance, beside the plan's.

Scripted words are pushed into a session over unseen speech, one every three
seconds, of every gesture class in turn. A word is answered if within 1.6 s a hand
reaches an apex that is nearest to a clip of the word's class. Chance is how often
the same moments would have answered words of the other classes.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from streamer.clock import SAMPLE_RATE
from streamer.config import ModelConfig
from streamer.engine import Engine
from streamer.playing import load_engine, session_options
from streamer.retarget import Pose
from streamer.skeleton import Skeleton
from streamer.types import AudioChunk, Float32, SkeletonFrame, WordEvent
from training import pose
from training.clips import Library
from training.listening import Heard
from training.measures import apexes
from training.planner import FPS
from training.played import Played, planned
from training.relative import bootstrap, nearest_clip
from training.sequences import CLOCK
from training.triggers import TRIGGERS

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

EVERY: Final = 3 * FPS
WITHIN: Final = 24
"""Frames after its arrival in which a word may be answered."""
LEAST: Final = 0.5
"""Of the plan's rate over chance, what a model must reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A word that arrives at a step."""

    step: int
    gesture: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """Which classes were shown after each prompt: bool [N, C], and which was asked for [N]."""

    shown: Bool
    asked: npt.NDArray[np.int64]

    def over_chance(self, weights: Float) -> float:
        """Return the rate of answers over that of the other classes, prompts weighted."""
        hit = self.shown[np.arange(len(self.asked)), self.asked]
        others = (self.shown.sum(1) - hit) / (self.shown.shape[1] - 1)
        chance = weights @ others
        return float(weights @ hit / chance) if chance else float("nan")

    def to_json(self, classes: Sequence[str]) -> dict[str, list[int]]:
        """Return by class: words that were answered, and words."""
        hit = self.shown[np.arange(len(self.asked)), self.asked]
        return {
            name: [int(hit[self.asked == i].sum()), int((self.asked == i).sum())]
            for i, name in enumerate(classes)
        }


def prompts(voiced: Bool, seed: int) -> list[Prompt]:
    """Return words of all classes in turn, each where someone is speaking."""
    rng = np.random.default_rng(seed)
    order: list[str] = []
    out: list[Prompt] = []
    for step in range(2 * FPS, len(voiced) - 2 * FPS, EVERY):
        spoken = voiced[step - FPS : step + FPS]
        if spoken.mean() < 0.8:
            continue
        order = order or list(rng.permutation(list(TRIGGERS)))
        gesture = str(order.pop())
        out.append(Prompt(step=step, gesture=gesture, text=str(rng.choice(TRIGGERS[gesture]))))
    return out


def play(audio: Float32, asked: Sequence[Prompt], played: Played) -> Float:
    """Return the directions [T, D, 3] of a session that is told the words as they arrive."""
    return asyncio.run(_play(audio, asked, played))


async def _play(audio: Float32, asked: Sequence[Prompt], played: Played) -> Float:
    config = ModelConfig(
        model=played.model or "ha2g-stream-small",
        backend="onnxruntime",
        lookahead=played.lookahead,
        seed=played.seed,
    )
    loaded = load_engine(config, clock=time.perf_counter)
    await loaded.engine.aclose()
    engine = Engine(loaded.backend.make, retarget=_Still)
    try:
        session = engine.open_session(session_options(config))
        for prompt in asked:
            at = CLOCK.start(prompt.step)
            start = max(at - SAMPLE_RATE // 2, 0)
            session.push_word(WordEvent(text=prompt.text, start=start, end=at), arrival=at)
        frames: list[SkeletonFrame] = []

        async def collect() -> None:
            frames.extend([frame async for frame in session])

        collecting = asyncio.create_task(collect())
        for start in range(0, len(audio), SAMPLE_RATE):
            piece = audio[start : start + SAMPLE_RATE]
            await session.feed_audio(AudioChunk(samples=piece, start=start, captured_at=0.0))
        await session.finish()
        await collecting
        return np.array([frame.directions for frame in frames], np.float64)
    finally:
        await engine.aclose()


class _Still:
    """A retargeting that turns nothing: directions are all that is measured."""

    def __init__(self, skeleton: Skeleton, fps: float) -> None:
        self._pose = Pose(rotations=np.zeros((0, 4), np.float32), root=np.zeros(3, np.float32))

    def __call__(self, directions: Float32) -> Pose:
        """Return the same pose."""
        return self._pose


def answers(
    poses: Float, asked: Sequence[Prompt], library: Library, voiced: Bool, lookahead: int
) -> Answers:
    """Return what poses [T, 45, 3] show after each prompt."""
    classes = list(TRIGGERS)
    of_clip = np.array([_number(classes, clip.gesture) for clip in library.clips])
    points = pose.positions(poses)
    frames = np.array(sorted({f for f, _, _ in apexes(points, pose.WRISTS, voiced, FPS)}), int)
    reached = of_clip[nearest_clip(points[frames][:, pose.WRISTS], library.apexes)]
    shown = np.zeros((len(asked), len(classes)), bool)
    for row, prompt in zip(shown, asked, strict=True):
        first = prompt.step - lookahead
        inside = reached[(frames >= first) & (frames <= first + WITHIN)]
        row[inside[inside >= 0]] = True
    return Answers(shown=shown, asked=np.array([classes.index(p.gesture) for p in asked]))


def _number(classes: list[str], gesture: str) -> int:
    return classes.index(gesture) if gesture in classes else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Rates over chance of a model and the plan; relative with 95 % of the bootstrap's draws."""

    model: float
    plan: float
    relative: float
    low: float
    high: float
    by_class: dict[str, list[int]]
    plan_by_class: dict[str, list[int]]


def measure_answers(
    audio: Float32, voiced: Bool, heard: Heard, library: Library, played: Played, *, rounds: int = 2
) -> Answered:
    """Prompt a model and the planner with the same words over the same speech."""
    found: list[tuple[Answers, Answers]] = []
    steps = len(voiced) + played.lookahead
    for seed in range(rounds):
        asked = prompts(voiced, seed)
        words: list[str | None] = [None] * steps
        for prompt in asked:
            words[prompt.step] = prompt.gesture
        plan = planned(library, heard, steps, played.seed, words)[played.lookahead :]
        model = play(audio, asked, played)[: len(voiced)]
        found.append(
            (
                answers(model, asked, library, voiced[: len(model)], played.lookahead),
                answers(plan, asked, library, voiced, played.lookahead),
            )
        )
    own, wanted = (_joined([pair[i] for pair in found]) for i in (0, 1))

    def relative(weights: Float) -> float:
        return own.over_chance(weights) / wanted.over_chance(weights)

    value, low, high = bootstrap(len(own.asked), relative)
    ones = np.ones(len(own.asked))
    classes = list(TRIGGERS)
    return Answered(
        model=own.over_chance(ones),
        plan=wanted.over_chance(ones),
        relative=value,
        low=low,
        high=high,
        by_class=own.to_json(classes),
        plan_by_class=wanted.to_json(classes),
    )


def _joined(parts: Sequence[Answers]) -> Answers:
    return Answers(
        shown=np.concatenate([p.shown for p in parts]),
        asked=np.concatenate([p.asked for p in parts]),
    )
