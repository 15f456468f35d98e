"""`python -m training evaluate`: models through the real command line, against the causal plan.

Speech that no model was trained on is played through `gesture render` (`--via
live`: `gesture live`, in real time, to the same frames), for each lookahead and
condition, and the recordings are measured beside the plan on the same speech
with the same gesture codes. In the same table stand what must fail: a forearm
driven by loudness, the mean pose, a looped clip, a network trained for 20 s.
Then words, sounds that are no voice, and ten minutes.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from streamer.backends.loading import find_artifact
from streamer.errors import InputError, UsageError
from streamer.skeleton import load_skeleton
from streamer.windowing import DEFAULT_SEED
from training import report
from training.answers import measure_answers
from training.clips import Library, load_library
from training.convert.body import body_directions
from training.convert.smplx import smplx_rotations
from training.endurance import Stirred, measure_endurance, measure_sounds
from training.likeness import Likeness, learn
from training.listening import Heard
from training.measures import voiced_frames
from training.planner import FPS
from training.played import (
    CONDITIONS,
    RATE,
    UNSEEN,
    Played,
    compose,
    conditioned,
    hear,
    loudness,
    motion_of,
    planned,
    speech_sets,
    voice_rms,
)
from training.relative import Speech, Sums, apart, compare, figures, sum_up
from training.report import Further, Row
from training.sequences import LOOKAHEADS
from training.toys import looped_clip, loudness_forearm, mean_pose

Float = npt.NDArray[np.float64]
Part = Literal["measures", "words", "sounds", "endurance"]
PARTS: tuple[Part, ...] = ("measures", "words", "sounds", "endurance")

_SHIPPED = "shipped"
_OTHER_SEEDS = (101, 102, 103, 104)


class Bench:
    """Speech with its plans: what every motion is held against."""

    def __init__(self, audio: npt.NDArray[np.float32], library: Library, seed: int) -> None:
        self.audio, self.library, self.seed = audio, library, seed
        self.frames = int(len(audio) / RATE * FPS)
        steps = self.frames + max(LOOKAHEADS)
        self.heard: Heard = hear(audio, steps)
        self.voiced = voiced_frames(audio, self.frames, FPS)
        self.speech = Speech.of(self.voiced, self.heard.accent[: self.frames])
        self._plan = planned(library, self.heard, steps, seed)
        others = [planned(library, self.heard, steps, s)[2:][: self.frames] for s in _OTHER_SEEDS]
        self.likeness: Likeness = learn([self.plan(2), *others], self.voiced)
        self._other_plan = planned(library, self.heard, steps, seed + 1000)
        self._sums: dict[int, Sums] = {}

    def plan(self, lookahead: int) -> Float:
        """Return the plan's poses [T, 45, 3] for a lookahead."""
        return self._plan[lookahead:][: self.frames]

    def other_plan(self, lookahead: int) -> Float:
        """Return a plan with other dice: how far apart two right answers are."""
        return self._other_plan[lookahead:][: self.frames]

    def measure(
        self,
        motion: str,
        poses: Float,
        lookahead: int,
        condition: str = CONDITIONS[0],
        *,
        must_fail: bool = False,
    ) -> Row:
        """Return the row of poses [T, 45, 3]; a recording may lack its last frame."""
        if len(poses) < self.frames - 1:
            raise InputError(f"{motion}: {len(poses)} frames, the speech has {self.frames}")
        if lookahead not in self._sums:
            self._sums[lookahead] = self._sum(self.plan(lookahead))
        whole = poses[: self.frames]
        if len(whole) < self.frames:
            whole = np.concatenate([whole, whole[-1:]])
        measures = compare(
            self._sum(whole), self._sums[lookahead], self.speech.count, self.likeness
        )
        return Row(
            motion=motion,
            lookahead=lookahead,
            condition=condition,
            measures=measures,
            must_fail=must_fail,
        )

    def describe(self, motion: str, poses: Float, voiced: npt.NDArray[np.bool_]) -> Row:
        """Return the row of motion to other speech, without what depends on accents."""
        speech = Speech.of(voiced, np.zeros_like(voiced))
        sums = sum_up(poses, speech, self.library.apexes, self.likeness)
        ones = np.ones(self.speech.count)
        plan = figures(self._sum(self.plan(2)), ones, self.likeness)
        return Row(
            motion=motion,
            lookahead=2,
            condition="its own speech",
            measures=apart(sums, plan, speech.count, self.likeness),
            judged=False,
        )

    def _sum(self, poses: Float) -> Sums:
        return sum_up(poses, self.speech, self.library.apexes, self.likeness)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to evaluate. models: artifacts by name or folder. hasty: one trained for 20 s."""

    models: tuple[str, ...]
    hasty: str | None
    lookaheads: tuple[int, ...]
    conditions: tuple[str, ...]
    parts: tuple[Part, ...]
    via: str
    seed: int
    minutes: float
    out: Path


def rows_of(bench: Bench, wanted: Wanted) -> Iterator[Row]:
    """Yield the table: models in every condition, the plan, and what must fail."""
    first: Float | None = None
    for model in wanted.models:
        for lookahead in wanted.lookaheads:
            for condition in wanted.conditions:
                poses = _recorded(bench, model, lookahead, condition, wanted)
                yield bench.measure(model, poses, lookahead, condition)
                first = poses if first is None else first
    assert first is not None
    lookahead = wanted.lookaheads[0]
    for ahead in wanted.lookaheads:
        yield bench.measure("plan", bench.plan(ahead), ahead)
    for ahead in wanted.lookaheads:
        yield bench.measure("plan, other dice", bench.other_plan(ahead), ahead)
    skeleton, voiced = load_skeleton("upper_body"), bench.voiced.tolist()
    forearm = loudness_forearm(
        skeleton, first[:FPS].mean(0), loudness(bench.audio, len(first), FPS), FPS
    )
    yield bench.measure("loudness forearm", forearm, lookahead, must_fail=True)
    yield bench.measure("mean pose", mean_pose(first), lookahead, must_fail=True)
    looped = looped_clip(first, voiced[: len(first)], FPS)
    yield bench.measure("looped clip", looped, lookahead, must_fail=True)
    if wanted.hasty is not None:
        poses = _recorded(bench, wanted.hasty, lookahead, CONDITIONS[0], wanted)
        yield bench.measure("20 s network", poses, lookahead, must_fail=True)


def truth_of(data: Path, bench: Bench) -> Iterator[Row]:
    """Yield the row of a real speaker, 40 s of BEAT2, where his recording is at hand.

    Its sound is all but silent as we have it, so what needs accents is left out; word
    times say when he speaks. The plan is that of the other speech. People gesture
    less evenly than it and never rest as it does: the bounds do not judge them.
    """
    take = data / "beat2_sample" / "2_scott_0_1_1_a.npz"
    if not take.is_file():
        return
    with np.load(take) as recorded:
        world = smplx_rotations(recorded["poses"])
        fps = float(recorded["mocap_frame_rate"])
    poses = body_directions(world, load_skeleton("upper_body"), fps).astype(np.float64)
    words = json.loads(take.with_suffix(".words.json").read_text("utf-8"))
    voiced = np.zeros(len(poses), np.bool_)
    for word in words:
        voiced[int(word["start"] * FPS) : int(word["end"] * FPS) + 1] = True
    yield bench.describe("BEAT2 speaker", poses, voiced)


def further_of(bench: Bench, model: str, wanted: Wanted) -> Further:
    """Return what one model does with words, sounds and time."""
    played = _played(model, 2, wanted)
    out = wanted.out / _slug(model)
    words = None
    if "words" in wanted.parts:
        words = measure_answers(bench.audio, bench.voiced, bench.heard, bench.library, played)
    sounds: list[Stirred] = []
    if "sounds" in wanted.parts:
        sounds = measure_sounds(out, played, seconds=30, level=voice_rms(bench.audio))
    endurance = None
    if "endurance" in wanted.parts:
        endurance = measure_endurance(bench.audio, out, played, minutes=wanted.minutes)
    return Further(model=model, words=words, sounds=sounds, endurance=endurance)


def _recorded(bench: Bench, model: str, lookahead: int, condition: str, wanted: Wanted) -> Float:
    played = _played(model, lookahead, wanted)
    name = f"a{lookahead}-{condition.replace(' ', '-')}"
    audio = conditioned(bench.audio, condition)
    return motion_of(audio, wanted.out / _slug(model), name, played)


def _played(model: str, lookahead: int, wanted: Wanted) -> Played:
    named = None if model == _SHIPPED else model
    return Played(via=wanted.via, model=named, lookahead=lookahead, seed=wanted.seed)


def _slug(model: str) -> str:
    return re.sub(r"[^\w.-]+", "_", model).strip("_")


def _say(row: Row) -> None:
    verdict = f"fails {', '.join(row.failed)}" if row.failed else "passes"
    print(f"{row.motion}, A={row.lookahead}, {row.condition}: {verdict}", file=sys.stderr)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `evaluate` to the training command line."""
    parser = commands.add_parser("evaluate", help="measure models against the causal plan")
    parser.add_argument(
        "--model", action="append", metavar="NAME|DIR", help="may be repeated; (the shipped one)"
    )
    parser.add_argument(
        "--hasty", metavar="DIR", help="an artifact that must fail: `python -m training hasty`"
    )
    parser.add_argument("--via", choices=("render", "live"), default="render")
    parser.add_argument("--lookahead", type=int, nargs="*", choices=LOOKAHEADS, default=(2, 0, 4))
    parser.add_argument("--condition", nargs="*", choices=CONDITIONS, default=CONDITIONS)
    parser.add_argument("--part", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the long stream")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the gesture codes")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--speech", nargs="*", help=f"sets to play; ({' '.join(UNSEEN)})")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and recordings")
    parser.add_argument("--json", action="store_true", help="the JSON on standard output too")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    began = time.perf_counter()
    clips = args.data / "smartbody_gestures"
    if not clips.is_dir():
        raise UsageError(f"{clips}: is not there, and the plan needs its clips; see --data")
    audio = compose(_paths(args.data, args.speech or UNSEEN))
    wanted = Wanted(
        models=tuple(args.model or [_SHIPPED]),
        hasty=args.hasty,
        lookaheads=tuple(args.lookahead),
        conditions=tuple(args.condition),
        parts=tuple(args.part),
        via=args.via,
        seed=args.seed,
        minutes=args.minutes,
        out=args.out,
    )
    if not wanted.lookaheads or not wanted.conditions:
        raise UsageError("evaluate: at least one lookahead and one condition")
    for model in (*wanted.models, *([wanted.hasty] if wanted.hasty else [])):
        if model != _SHIPPED:
            find_artifact(model)
    bench = Bench(audio, load_library(clips), args.seed)
    rows: list[Row] = []
    further: list[Further] = []

    def result() -> report.Result:
        return report.Result(
            speech_s=len(audio) / RATE,
            stretches=bench.speech.count,
            seconds=time.perf_counter() - began,
            rows=rows,
            further=further,
        )

    if "measures" in wanted.parts:
        for row in chain(rows_of(bench, wanted), truth_of(args.data, bench)):
            rows.append(row)
            _say(row)
            report.write(result(), args.out)  # what there is, should the rest be cut short
    further += [further_of(bench, model, wanted) for model in wanted.models]
    done = result()
    report.write(done, args.out)
    print(json.dumps(report.to_json(done)) if args.json else report.markdown(done))
    return 0 if done.honest else 1


def _paths(data: Path, names: Sequence[str]) -> list[Path]:
    sets = speech_sets(data)
    if unknown := sorted(set(names) - set(sets)):
        raise UsageError(f"no speech set {', '.join(unknown)}; at hand are {', '.join(sets)}")
    return [path for name in names for path in sets[name]]
