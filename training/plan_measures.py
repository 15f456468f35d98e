"""What a plan is like: measured on the poses, as the network's motion will be.

Speeds are of the wrists in metres a second on the layout's bone lengths.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training import pose
from training.planner import FPS
from training.torso import depth

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

_SETTLED_FRAMES = 2 * FPS
_TALK_FRAMES = FPS // 2
_APEX_METRES = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMeasures:
    """Measures of one stretch of motion.

    speech_speed: mean of both wrists within speech; silence_speed: after 2 s
    of silence (NaN without any); dimensions: principal ones for 95 % of the
    joints' positions; hands_alike: correlation of the wrists' speeds in speech;
    apexes: per minute of speech, each 12 cm from the one before;
    distinct_apexes: all different by 12 cm, in a minute; accent_correlation at
    accent_lag frames (positive: the hands follow); effective_clips: exp of the
    entropy of the nearest clip per apex; jump: the greatest step of a wrist,
    metres a frame; inside: share of frames with a hand inside the torso.
    """

    speech_speed: float
    silence_speed: float
    dimensions: int
    hands_alike: float
    apexes: float
    distinct_apexes: float
    accent_correlation: float
    accent_lag: int
    effective_clips: float
    jump: float
    inside: float
    stuck_seconds: float


def measure(poses: Float, voiced: Bool, accent: Bool, table: Float) -> PlanMeasures:
    """Measure poses [T, 45, 3] of a stretch; table: [M, 2, 3] wrist apexes of the clips."""
    points = pose.positions(poses)
    wrists = points[:, pose.WRISTS]
    steps = np.linalg.norm(np.diff(wrists, axis=0, prepend=wrists[:1]), axis=-1)
    speed = steps * FPS
    both = speed.mean(1)
    talk, silence = talking(voiced), settled_silence(voiced)
    found = apexes(wrists, speed)
    found = found[talk[found]]
    minutes = max(float(talk.sum()) / FPS / 60, 1e-9)
    spots = wrists[found].reshape(len(found), -1)
    lag, correlation = _lagged(accent, both, talk)
    return PlanMeasures(
        speech_speed=float(both[talk].mean()) if talk.any() else float("nan"),
        silence_speed=float(both[silence].mean()) if silence.any() else float("nan"),
        dimensions=_dimensions(points[talk]) if talk.any() else 0,
        hands_alike=float(np.corrcoef(speed[talk].T)[0, 1]) if talk.any() else float("nan"),
        apexes=_moved(spots) / minutes,
        distinct_apexes=_distinct(spots) / max(len(poses) / FPS / 60, 1e-9),
        accent_correlation=correlation,
        accent_lag=lag,
        effective_clips=_effective(spots, table),
        jump=float(steps.max()),
        inside=float((depth(poses).max(1) > 1e-3).mean()),
        stuck_seconds=_longest(talk & (both < 0.05)) / FPS,
    )


def talking(voiced: Bool) -> Bool:
    """Return the frames [T] within speech: voice now or in the half second before."""
    recent = np.convolve(voiced, np.ones(_TALK_FRAMES + 1))[: len(voiced)]
    return recent > 0


def settled_silence(voiced: Bool) -> Bool:
    """Return the frames [T] that 2 s without voice precede."""
    recent = np.convolve(voiced, np.ones(_SETTLED_FRAMES + 1))[: len(voiced)]
    out = recent == 0
    out[:_SETTLED_FRAMES] = False
    return out


def apexes(wrists: Float, speed: Float) -> npt.NDArray[np.int64]:
    """Return the frames in which a stroke ends: the faster wrist has just come to rest.

    wrists: [T, 2, 3]; speed: [T, 2] metres a second.
    """
    lead = speed.max(1)
    out: list[int] = []
    peak = 0.0
    for n in range(1, len(lead) - 1):
        peak = max(peak, lead[n])
        low = lead[n] <= lead[n - 1] and lead[n] < lead[n + 1]
        if low and peak > 0.4 and lead[n] < 0.5 * peak:
            out.append(n)
            peak = 0.0
    return np.array(out, np.int64)


def _moved(spots: Float) -> int:
    """Return how many spots [N, 6] lie 12 cm from the last one counted."""
    count, last = 0, None
    for spot in spots.reshape(-1, 2, 3):
        if last is None or np.linalg.norm(spot - last, axis=1).max() > _APEX_METRES:
            count, last = count + 1, spot
    return count


def _distinct(spots: Float) -> int:
    """Return how many spots [N, 6] differ from each other by 12 cm."""
    kept: list[Float] = []
    for spot in spots.reshape(-1, 2, 3):
        if all(np.linalg.norm(spot - k, axis=1).max() > _APEX_METRES for k in kept):
            kept.append(spot)
    return len(kept)


def _effective(spots: Float, table: Float) -> float:
    if not len(spots):
        return 0.0
    gap = np.linalg.norm(spots.reshape(-1, 1, 2, 3) - table[None], axis=-1).max(-1)
    share = np.bincount(gap.argmin(1), minlength=len(table)) / len(spots)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def _dimensions(points: Float) -> int:
    flat = points.reshape(len(points), -1)
    power = np.linalg.svd(flat - flat.mean(0), compute_uv=False) ** 2
    return int(np.searchsorted(np.cumsum(power) / power.sum(), 0.95)) + 1


def _lagged(accent: Bool, speed: Float, talk: Bool) -> tuple[int, float]:
    """Return the lag in frames with the greatest accent-speed correlation, and that."""
    best, where = -1.0, 0
    blurred = np.convolve(accent, [0.5, 1.0, 0.5], "same")
    for lag in range(-8, 11):
        a = blurred[max(-lag, 0) : len(accent) - max(lag, 0)]
        moved = speed[max(lag, 0) : len(speed) - max(-lag, 0)]
        inside = talk[max(-lag, 0) : len(accent) - max(lag, 0)]
        if inside.sum() > FPS and a[inside].std() > 0:
            value = float(np.corrcoef(a[inside], moved[inside])[0, 1])
            if value > best:
                best, where = value, lag
    return where, best


def _longest(flags: Bool) -> int:
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest
