"""What motion is measured by, so that a toy cannot pass (spec/streaming.md, Measures).

All take positions [T, J, 3] in metres in VRM axes at `fps`; `wrists` are the
indices of the left and right wrist.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

DISTINCT_M = 0.12
"""Two apexes nearer than this count as the same gesture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Figures of one recording; speeds in m/s, jerk in m/s^3, spread in metres."""

    speaking_speed: float
    silent_speed: float
    ratio: float
    dimensions: int
    arm_correlation: float
    distinct_apexes_per_minute: float
    apex_spread: float
    jerk: float

    def to_json(self) -> dict[str, float]:
        """Return the figures, rounded."""
        return {k: round(float(v), 4) for k, v in asdict(self).items()}


def measure(positions: Array, wrists: Sequence[int], voiced: Mask, fps: float) -> Motion:
    """Measure a recording; voiced bool [T] marks frames in which someone speaks."""
    speeds = wrist_speeds(positions, wrists, fps)
    spoken, silent = steady(voiced, fps), steady(~voiced, fps)
    mean = speeds.mean(1)
    speaking = float(mean[spoken].mean()) if spoken.any() else float("nan")
    quiet = float(mean[silent].mean()) if silent.any() else float("nan")
    points = np.array([point for _, _, point in apexes(positions, wrists, voiced, fps)])
    minutes = max(1e-9, float(voiced.sum()) / fps / 60)
    third = np.diff(positions[:, list(wrists)], n=3, axis=0) * fps**3
    active = spoken[3:]
    return Motion(
        speaking_speed=speaking,
        silent_speed=quiet,
        ratio=speaking / max(quiet, 1e-9),
        dimensions=principal_dimensions(positions),
        arm_correlation=arm_correlation(speeds),
        distinct_apexes_per_minute=distinct(points) / minutes,
        apex_spread=float(np.sqrt(points.var(0).sum())) if len(points) > 1 else 0.0,
        jerk=float(np.linalg.norm(third, axis=-1)[active].mean()) if active.any() else 0.0,
    )


def wrist_speeds(positions: Array, wrists: Sequence[int], fps: float) -> Array:
    """Return the speed [T, 2] of each wrist; the first row repeats the second."""
    moved = np.linalg.norm(np.diff(positions[:, list(wrists)], axis=0), axis=-1) * fps
    return np.concatenate([moved[:1], moved]) if len(moved) else np.zeros((len(positions), 2))


def steady(mask: Mask, fps: float, margin_s: float = 1.0) -> Mask:
    """Return the mask without the first `margin_s` of each run.

    Hands need a moment to rise at an onset and to fall in a pause; a figure for
    silence must not count the retraction, nor one for speech the rest pose.
    """
    out = mask.copy()
    run = 0
    for i, on in enumerate(mask):
        run = run + 1 if on else 0
        out[i] = run > margin_s * fps
    return out


def principal_dimensions(positions: Array, share: float = 0.95) -> int:
    """Return how many principal components hold `share` of the variance of [T, J, 3]."""
    flat = positions.reshape(len(positions), -1)
    values = np.linalg.svd(flat - flat.mean(0), compute_uv=False) ** 2
    if values.sum() <= 1e-12:
        return 0
    return int(np.searchsorted(np.cumsum(values) / values.sum(), share) + 1)


def arm_correlation(speeds: Array) -> float:
    """Return the correlation of the two wrists' speeds [T, 2]; 1 where one is constant."""
    if speeds.std(0).min() < 1e-6:
        return 1.0
    return float(np.corrcoef(speeds[:, 0], speeds[:, 1])[0, 1])


def apexes(
    positions: Array, wrists: Sequence[int], voiced: Mask, fps: float
) -> list[tuple[int, int, Array]]:
    """Return (frame, hand, wrist position) of every gesture apex in speech.

    An apex is where a wrist comes to a stop after a stroke: a local minimum of
    its speed that follows a peak above 0.3 m/s and at least twice as fast.
    """
    speeds = wrist_speeds(positions, wrists, fps)
    found: list[tuple[int, int, Array]] = []
    for hand, joint in enumerate(wrists):
        speed, peak = speeds[:, hand], 0.0
        for i in range(1, len(speed) - 1):
            peak = max(peak, speed[i])
            lowest = speed[i] <= speed[i - 1] and speed[i] < speed[i + 1]
            if lowest and peak > 0.3 and peak > 2 * speed[i]:
                if voiced[max(0, i - int(fps)) : i + 1].any():
                    found.append((i, hand, positions[i, joint]))
                peak = 0.0
    return found


def distinct(points: Array, apart: float = DISTINCT_M) -> int:
    """Return how many of the points [N, 3] stay when no two may be nearer than `apart`."""
    kept: list[Array] = []
    for point in points:
        if all(np.linalg.norm(point - other) >= apart for other in kept):
            kept.append(point)
    return len(kept)


def voiced_frames(audio: Array, frames: int, fps: float, sample_rate: int = 16_000) -> Mask:
    """Return which frames hold speech in clean audio [n]: loud against its own loudest.

    A frame is voiced within 30 dB of the 95th percentile of frame energy; gaps
    of up to 0.3 s inside speech are closed. For evaluation only.
    """
    hop = sample_rate / fps
    energy = np.array(
        [np.mean(audio[int(i * hop) : int((i + 1) * hop)] ** 2) for i in range(frames)]
    )
    level = 10 * np.log10(energy + 1e-10)
    on = level > max(np.percentile(level, 95) - 30.0, -65.0)
    gap, last = int(0.3 * fps), -1
    for i in np.flatnonzero(on):
        if 0 < i - last <= gap + 1 and last >= 0:
            on[last:i] = True
        last = i
    return on
