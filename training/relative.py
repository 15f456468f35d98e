"""What motion is like relative to the causal plan on the same speech, with intervals.

Each motion is first summed up stretch by stretch (a stretch is some seconds of
speech with the pause behind it). Every figure is a function of how often each
stretch counts, so the bootstrap draws stretches, the same ones for a motion and
its plan, and computes nothing twice (streaming.md, "Measures").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from training import pose
from training.likeness import Likeness
from training.measures import apexes, steady, wrist_speeds
from training.plan_measures import LAGS, recent
from training.planner import FPS

Float = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Verdict = Literal["passes", "unsure", "fails"]

SHORTEST_S: Final = 4.0
"""A stretch is at least so long; it ends where speech begins anew,"""
LONGEST_S: Final = 8.0
"""or after so long without a pause."""
DRAWS: Final = 400
"""Resamples of a bootstrap."""

Kind = Literal["ratio", "difference", "absolute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a measure must keep to: its value against the plan's, or by itself."""

    kind: Kind
    low: float
    high: float
    unit: str = ""


BOUNDS: Final[dict[str, Bound]] = {
    "speaking_speed": Bound(kind="ratio", low=0.8, high=1.2),
    "silent_speed": Bound(kind="absolute", low=0.0, high=0.05, unit="m/s"),
    "apex_spread": Bound(kind="ratio", low=0.8, high=np.inf),
    "effective_clips": Bound(kind="ratio", low=0.7, high=np.inf),
    "jerk": Bound(kind="ratio", low=0.7, high=1.3),
    "accent_correlation": Bound(kind="ratio", low=0.8, high=np.inf),
    "accent_lag": Bound(kind="difference", low=-1.0, high=1.0, unit="frames"),
    "diversity": Bound(kind="ratio", low=0.8, high=1.2),
    "fgd": Bound(kind="absolute", low=0.0, high=1 / 3, unit="of holding still"),
}
"""The rows of streaming.md's last table, and diversity; words have `answers.py`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Speech:
    """What a motion is held against. voiced, accent: bool [T]; stretch: int [T] of each frame."""

    voiced: Bool
    accent: Bool
    stretch: Ints

    @classmethod
    def of(cls, voiced: Bool, accent: Bool) -> "Speech":
        """Cut speech into stretches where it begins anew."""
        return cls(voiced=voiced, accent=accent, stretch=stretches(voiced))

    @property
    def count(self) -> int:
        """How many stretches there are."""
        return int(self.stretch[-1]) + 1


def stretches(voiced: Bool) -> Ints:
    """Return the number [T] of each frame's stretch: speech from an onset, and its pause."""
    onset = voiced & ~np.concatenate([[True], voiced[:-1]])
    out = np.zeros(len(voiced), np.int64)
    number = since = 0
    for i, begins in enumerate(onset):
        if since >= (SHORTEST_S if begins else LONGEST_S) * FPS:
            number, since = number + 1, 0
        out[i] = number
        since += 1
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sums:
    """A motion summed up by stretch [S].

    speaking, silent, jerk: [S, 2] sum and count. points: [N, 3] apexes of either
    hand, clips: [M] the nearest clip per apex, each with its stretch. moments:
    [lags, S, 6] of accents and speed. windows: [W, K] features with their stretch.
    """

    speaking: Float
    silent: Float
    jerk: Float
    points: Float
    point_stretch: Ints
    clips: Ints
    clip_stretch: Ints
    moments: Float
    windows: Float
    window_stretch: Ints


def sum_up(poses: Float, speech: Speech, table: Float, likeness: Likeness) -> Sums:
    """Sum up poses [T, 45, 3] at 15 fps; table: [M, 2, 3] wrist apexes of the clips."""
    points = pose.positions(poses)
    speeds = wrist_speeds(points, pose.WRISTS, FPS).mean(1)
    spoken, silent = steady(speech.voiced, FPS), steady(~speech.voiced, FPS)
    third = np.linalg.norm(np.diff(points[:, pose.WRISTS], n=3, axis=0), axis=-1).mean(1) * FPS**3
    third = np.concatenate([third[:1].repeat(3), third])
    found = apexes(points, pose.WRISTS, speech.voiced, FPS)
    frames = np.array(sorted({frame for frame, _, _ in found}), np.int64)
    at = np.array([frame for frame, _, _ in found], np.int64)
    windows, centres = likeness.windows(poses, speech.voiced)
    return Sums(
        speaking=_by_stretch(speeds, spoken, speech),
        silent=_by_stretch(speeds, silent, speech),
        jerk=_by_stretch(third, spoken, speech),
        points=np.array([point for _, _, point in found]).reshape(-1, 3),
        point_stretch=speech.stretch[at],
        clips=nearest_clip(points[frames][:, pose.WRISTS], table),
        clip_stretch=speech.stretch[frames],
        moments=_moments(speeds, speech),
        windows=windows,
        window_stretch=speech.stretch[centres],
    )


def nearest_clip(wrists: Float, table: Float) -> Ints:
    """Return the clip [N] whose farther wrist is nearest, of wrists [N, 2, 3]."""
    if not len(wrists):
        return np.zeros(0, np.int64)
    gap = np.linalg.norm(wrists[:, None] - table[None], axis=-1).max(-1)
    return gap.argmin(1)


def figures(sums: Sums, weights: Float, likeness: Likeness) -> dict[str, float]:
    """Return every measure's value where stretch i counts `weights[i]` times."""
    lag, correlation = _correlation(np.einsum("lsk,s->lk", sums.moments, weights))
    clip_weights = weights[sums.clip_stretch]
    window_weights = weights[sums.window_stretch]
    return {
        "speaking_speed": _mean(sums.speaking, weights),
        "silent_speed": _mean(sums.silent, weights),
        "apex_spread": _spread(sums.points, weights[sums.point_stretch]),
        "effective_clips": _perplexity(sums.clips, clip_weights),
        "jerk": _mean(sums.jerk, weights),
        "accent_correlation": correlation,
        "accent_lag": lag,
        "diversity": likeness.diversity(sums.windows, window_weights),
        "fgd": likeness.distance(sums.windows, window_weights),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measure of one motion: its value, what it is relative to the plan's, and an interval.

    low, high: 95 % of the bootstrap's draws of `relative`.
    """

    value: float
    relative: float
    low: float
    high: float
    verdict: Verdict


def compare(
    sums: Sums, plan: Sums, stretch_count: int, likeness: Likeness, *, seed: int = 0
) -> dict[str, Measured]:
    """Return every measure of a motion beside the plan of the same speech."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(
        stretch_count, np.full(stretch_count, 1 / stretch_count), DRAWS
    ).astype(float)
    whole = np.ones(stretch_count)
    value, wanted = (figures(s, whole, likeness) for s in (sums, plan))
    drawn = [(figures(sums, w, likeness), figures(plan, w, likeness)) for w in weights]
    out: dict[str, Measured] = {}
    for name, bound in BOUNDS.items():
        relative = _relative(bound.kind, value[name], wanted[name])
        draws = np.array([_relative(bound.kind, a[name], b[name]) for a, b in drawn])
        low, high = _interval(draws)
        out[name] = Measured(
            value=value[name],
            relative=relative,
            low=low,
            high=high,
            verdict=verdict(relative, low, high, bound),
        )
    return out


def apart(
    sums: Sums, plan: dict[str, float], stretch_count: int, likeness: Likeness
) -> dict[str, Measured]:
    """Return the measures of a motion whose plan is of other speech, without accents'."""
    out: dict[str, Measured] = {}
    for name, bound in BOUNDS.items():
        if name.startswith("accent"):
            continue

        def relative(weights: Float, name: str = name, bound: Bound = bound) -> float:
            value = figures(sums, weights, likeness)[name]
            return _relative(bound.kind, value, plan[name])

        value, low, high = bootstrap(stretch_count, relative)
        own = figures(sums, np.ones(stretch_count), likeness)[name]
        judged = verdict(value, low, high, bound)
        out[name] = Measured(value=own, relative=value, low=low, high=high, verdict=judged)
    return out


def verdict(value: float, low: float, high: float, bound: Bound) -> Verdict:
    """Judge a value with its interval: `unsure` where only a part of that is within bounds."""
    if not bound.low <= value <= bound.high:
        return "fails"
    return "passes" if bound.low <= low and high <= bound.high else "unsure"


def bootstrap(count: int, figure: Callable[[Float], float], *, seed: int = 0) -> tuple[float, ...]:
    """Return (value, low, high) of a figure of how often each of `count` things counts."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(count, np.full(count, 1 / count), DRAWS).astype(float)
    return figure(np.ones(count)), *_interval(np.array([figure(w) for w in weights]))


def _interval(draws: Float) -> tuple[float, float]:
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def _relative(kind: Kind, value: float, plan: float) -> float:
    match kind:
        case "ratio":
            return value / plan if plan else float("nan")
        case "difference":
            return value - plan
        case "absolute":
            return value


def _by_stretch(values: Float, chosen: Bool, speech: Speech) -> Float:
    """Return [S, 2]: the sum over the chosen frames of each stretch, and their number."""
    where = speech.stretch[chosen]
    sums = np.bincount(where, values[chosen], speech.count)
    return np.stack([sums, np.bincount(where, minlength=speech.count)], 1)


def _mean(sums: Float, weights: Float) -> float:
    total, count = weights @ sums
    return float(total / count) if count else float("nan")


def _spread(points: Float, weights: Float) -> float:
    """Return the standard deviation of points in space."""
    if weights.sum() < 2:
        return 0.0
    mean = weights @ points / weights.sum()
    return float(np.sqrt(weights @ ((points - mean) ** 2).sum(1) / weights.sum()))


def _perplexity(labels: Ints, weights: Float) -> float:
    """Return exp of the entropy of labels."""
    if not weights.sum():
        return 0.0
    share = np.bincount(labels, weights)
    share = share[share > 0] / weights.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _moments(speeds: Float, speech: Speech) -> Float:
    """Return [lags, S, 6]: n, x, y, xx, yy, xy of accents x and the speed y a lag later."""
    blurred = np.convolve(speech.accent, [0.5, 1.0, 0.5], "same")
    talk = recent(speech.voiced, FPS // 2)
    frames = np.arange(len(speeds))
    out: list[Float] = []
    for lag in LAGS:
        chosen = talk & (frames + lag >= 0) & (frames + lag < len(speeds))
        x, y = blurred[chosen], speeds[frames[chosen] + lag]
        where = speech.stretch[chosen]
        terms = (np.ones_like(x), x, y, x * x, y * y, x * y)
        out.append(np.stack([np.bincount(where, t, speech.count) for t in terms], 1))
    return np.stack(out)


def _correlation(moments: Float) -> tuple[float, float]:
    """Return (lag in frames, r) at which speed follows accents best, of sums [lags, 6]."""
    n, x, y, xx, yy, xy = moments.T
    with np.errstate(invalid="ignore", divide="ignore"):
        across = xy - x * y / n
        r = across / np.sqrt((xx - x * x / n) * (yy - y * y / n))
    r = np.where(np.isfinite(r), r, -1.0)
    best = int(r.argmax())
    return float(LAGS[best]), float(max(r[best], 0.0))
