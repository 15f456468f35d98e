"""What a plan is like, beyond `measures.py`: variety of clips, accents, plausibility."""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from training import pose
from training.measures import Motion, apexes, measure, steady, wrist_speeds
from training.planner import FPS
from training.torso import depth

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

LAGS = range(-8, 11)
"""Frames by which motion may follow the voice (negative: run ahead of it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFigures:
    """Figures of one stretch of motion.

    motion: of `measures.py`. accent_correlation at accent_lag_frames (positive:
    the hands follow the voice). effective_clips: exp of the entropy of the
    nearest clip per apex. greatest_step: of a wrist, metres in a frame. inside:
    share of frames with a hand inside the torso. longest_still_s: the longest
    time in speech without a wrist above 5 cm/s.
    """

    motion: Motion
    accent_correlation: float
    accent_lag_frames: int
    effective_clips: float
    greatest_step: float
    inside: float
    longest_still_s: float

    def to_json(self) -> dict[str, float]:
        """Return all figures in one flat object, rounded."""
        own = {k: v for k, v in asdict(self).items() if k != "motion"}
        return self.motion.to_json() | {k: round(float(v), 4) for k, v in own.items()}


def measure_plan(poses: Float, voiced: Bool, accent: Bool, table: Float) -> PlanFigures:
    """Measure poses [T, 45, 3] at 15 fps; table: [M, 2, 3] wrist apexes of the clips."""
    points = pose.positions(poses)
    speeds = wrist_speeds(points, pose.WRISTS, FPS)
    mean = speeds.mean(1)
    talk = recent(voiced, FPS // 2)
    frames = sorted({frame for frame, _, _ in apexes(points, pose.WRISTS, voiced, FPS)})
    lag, correlation = accent_correlation(accent, mean, talk)
    return PlanFigures(
        motion=measure(points, pose.WRISTS, voiced, FPS),
        accent_correlation=correlation,
        accent_lag_frames=lag,
        effective_clips=effective_clips(points[frames][:, pose.WRISTS], table),
        greatest_step=float(speeds.max()) / FPS,
        inside=float((depth(poses).max(1) > 1e-3).mean()),
        longest_still_s=longest(steady(talk, FPS) & (speeds.max(1) < 0.05)) / FPS,
    )


def recent(flags: Bool, frames: int) -> Bool:
    """Return where [T] a flag is set now or within the `frames` frames before."""
    return np.convolve(flags, np.ones(frames + 1))[: len(flags)] > 0


def effective_clips(wrists: Float, table: Float) -> float:
    """Return how many clips the apexes are spread over: exp of the entropy.

    wrists: [N, 2, 3] at the apexes; table: [M, 2, 3] of the clips; each apex
    counts for the clip whose farther wrist is nearest.
    """
    if not len(wrists):
        return 0.0
    gap = np.linalg.norm(wrists[:, None] - table[None], axis=-1).max(-1)
    share = np.bincount(gap.argmin(1), minlength=len(table)) / len(wrists)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def accent_correlation(accent: Bool, speed: Float, talk: Bool) -> tuple[int, float]:
    """Return (lag, r): the lag in frames at which speed follows accents best, within talk.

    accent, talk: [T]; speed: [T]. Lags from -8 to 10 frames are tried.
    """
    best, where = -1.0, 0
    blurred = np.convolve(accent, [0.5, 1.0, 0.5], "same")
    for lag in LAGS:
        earlier = slice(max(-lag, 0), len(accent) - max(lag, 0))
        inside = talk[earlier]
        heard = blurred[earlier][inside]
        moved = speed[max(lag, 0) : len(speed) - max(-lag, 0)][inside]
        if len(heard) > FPS and heard.std() > 0 and moved.std() > 0:
            value = float(np.corrcoef(heard, moved)[0, 1])
            if value > best:
                best, where = value, lag
    return where, best


def longest(flags: Bool) -> int:
    """Return the length of the longest run of set flags."""
    most = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        most = max(most, run)
    return most
