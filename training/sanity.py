"""Limits that the shipped motion keeps to and each toy breaks, on any speech, without a plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.skeleton import load_skeleton
from training.clips import Library
from training.measures import voiced_frames
from training.plan_measures import PlanFigures, measure_plan
from training.played import Played, compose, hear, loudness, motion_of, planned
from training.toys import looped_clip, loudness_forearm, mean_pose

LIMITS = {
    "ratio": (2.5, np.inf),
    "dimensions": (5, np.inf),
    "arm_correlation": (-1.0, 0.9),
    "distinct_apexes_per_minute": (10, np.inf),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One motion on one speech set; failed names the figures outside `LIMITS`."""

    speech: str
    motion: str
    figures: PlanFigures

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the figures that are out of bounds."""
        values = self.figures.to_json()
        return tuple(n for n, (low, high) in LIMITS.items() if not low <= values[n] < high)


def check_motion(
    name: str, paths: Sequence[Path], out: Path, library: Library | None, played: Played
) -> list[Row]:
    """Return the rows of one speech set: the model, the plan if clips are at hand, the toys."""
    audio = compose(paths)
    directions, fps = motion_of(audio, out, name, played), 15.0
    frames = len(directions)
    voiced = voiced_frames(audio, frames, fps)
    heard = hear(audio, frames + played.lookahead)
    skeleton = load_skeleton("upper_body")
    motions = {"model": directions}
    if library is not None:
        plan = planned(library, heard, frames + played.lookahead, played.seed)
        motions["plan"] = plan[played.lookahead :]
    motions |= {
        "toy: loudness forearm": loudness_forearm(
            skeleton, directions[: int(fps)].mean(0), loudness(audio, frames, fps), fps
        ),
        "toy: looped clip": looped_clip(directions, voiced.tolist(), fps),
        "toy: mean pose": mean_pose(directions),
    }
    table = library.apexes if library is not None else np.zeros((1, 2, 3))
    accent = heard.accent[:frames]
    return [
        Row(speech=name, motion=motion, figures=measure_plan(poses, voiced, accent, table))
        for motion, poses in motions.items()
    ]
