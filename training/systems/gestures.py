"""Real motion read as decisions: when the hands prepare, hold, stroke and retract, and with what.

The streaming networks decide these before they draw (`models/rhythm.py`). Our
rule-made corpus knows them; recordings do not, so they are read from the arms:
a gesture is a stretch away from rest, its first fast movement prepares, its
last retracts, those between are strokes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2

from models.rhythm import Move
from streamer.skeleton import Skeleton
from streamer.types import Float32

CODES = 24
"""Key poses in the table of gesture codes."""

_ARMS = (
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
)
_FPS = 15
_AWAY, _BACK = 0.5, 0.35  # distance of both arms' directions from rest, with hysteresis
_FAST = 1.2  # change of both arms' directions a second


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gestures:
    """move: int64 [T]; apexes: frame of each gesture's farthest pose; spans: [begin, end) of each.

    arms: [T, 12], directions of upper arms and forearms; speed: their mean change a second.
    """

    move: npt.NDArray[np.int64]
    apexes: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    arms: Float32
    speed: float


def read_gestures(skeleton: Skeleton, directions: Float32) -> Gestures:
    """Return the gestures of a clip's directions [T, D, 3]."""
    chosen = [skeleton.index(a, b) for a, b in _ARMS]
    arms = directions[:, chosen].reshape(len(directions), 12).astype(np.float32)
    height = arms[:, 1::3].sum(1) * skeleton.axes[1]
    low = height <= np.quantile(height, 0.1)
    away = np.linalg.norm(arms - arms[low].mean(0), axis=1)
    moved = np.linalg.norm(np.diff(arms, axis=0, prepend=arms[:1]), axis=1) * _FPS
    speed = np.convolve(moved, np.ones(3) / 3, "same")
    move = np.full(len(arms), int(Move.IDLE), np.int64)
    spans, apexes = list[tuple[int, int]](), list[int]()
    for begin, end in _stretches(away):
        move[begin:end] = _phases(speed[begin:end])
        spans.append((begin, end))
        apexes.append(begin + int(away[begin:end].argmax()))
    return Gestures(
        move=move,
        apexes=tuple(apexes),
        spans=tuple(spans),
        arms=arms,
        speed=float(moved.mean()),
    )


def code_table(gestures: Sequence[Gestures], seed: int) -> Float32:
    """Return the table [CODES, 12]: centres of all apex poses, the same for a seed."""
    poses = [g.arms[list(g.apexes)] for g in gestures if g.apexes]
    points = np.concatenate(poses) if poses else np.concatenate([g.arms for g in gestures])
    if len(points) < CODES:  # a store of a few gestures repeats them
        points = np.resize(points, (CODES, 12))
        return points.astype(np.float32)
    centres, _ = kmeans2(points.astype(np.float64), CODES, minit="++", rng=seed)
    return centres.astype(np.float32)


def codes_of(gestures: Gestures, table: Float32) -> npt.NDArray[np.int64]:
    """Return the row of the table in force [T]: the coming or present gesture's nearest."""
    out = np.zeros(len(gestures.move), np.int64)
    begin = 0
    for (_, end), apex in zip(gestures.spans, gestures.apexes, strict=True):
        row = int(np.linalg.norm(table - gestures.arms[apex], axis=1).argmin())
        out[begin:end] = row
        begin = end
    out[begin:] = out[begin - 1] if begin else 0
    return out


def _stretches(away: Float32) -> list[tuple[int, int]]:
    """Return [begin, end) where the arms are away from rest."""
    out, begin = list[tuple[int, int]](), -1
    for frame, distance in enumerate(away):
        if begin < 0 and distance > _AWAY:
            begin = frame
        elif begin >= 0 and distance < _BACK:
            out.append((begin, frame))
            begin = -1
    if begin >= 0:
        out.append((begin, len(away)))
    return out


def _phases(speed: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return the moves of one gesture [n]."""
    runs = _runs(speed > _FAST)
    out = np.full(len(speed), int(Move.HOLD), np.int64)
    for number, (begin, end) in enumerate(runs):
        if number and number < len(runs) - 1:
            out[begin:end] = int(Move.STROKE)
            out[begin] = int(Move.RELEASE)
    if len(runs) > 1:
        out[: runs[0][1]] = int(Move.PREPARE)
        out[runs[-1][0] :] = int(Move.RETRACT)
    else:  # up and down in one movement
        half = len(out) // 2
        out[:half] = int(Move.PREPARE)
        out[half:] = int(Move.RETRACT)
    return out


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
