"""What only time and odd sounds show: drift, stuck and impossible poses, hands that hear typing."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from training import noise, pose
from training.measures import steady, voiced_frames, wrist_speeds
from training.plan_measures import longest, recent
from training.planner import FPS
from training.played import RATE, Played, motion_of
from training.torso import depth

Float = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

SOUNDS: Final = ("typing", "music", "game")
SOUND_DB: Final = -6.0
"""How loud sounds are, against the voice."""
FLOOR_DB: Final = -70.0
"""The microphone's own noise, dB of full scale: in silence, and under every sound."""
MOST_STIRRED: Final = 1.3
"""Wrist speed beside a sound, over that of silence."""
MOST_DRIFT_M: Final = 0.05
LEAST_MINUTES: Final = 5.0
"""A shorter stream is not judged by its drift."""
MOST_STILL_S: Final = 4.0
MOST_DEPTH_M: Final = 0.005
"""How deep a hand may seem to be inside the torso capsule."""

MEAN: Final = pose.LAYOUT.mean[None].astype(np.float64)

_SETTLE_S = 3.0

LIMITS_DEGREES: Final = {"elbow": 155.0, "wrist": 95.0, "neck": 75.0, "lean": 45.0, "finger": 120.0}
"""Bends beyond which no human joint goes: forearm from upper arm, hand from forearm,
head from chest, spine from upright, phalanx from the bone before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stirred:
    """Wrist speed in m/s while a sound plays, and over that of silence."""

    sound: str
    speed: float
    ratio: float

    @property
    def passes(self) -> bool:
        """Whether the hands took it for no voice."""
        return self.ratio <= MOST_STIRRED


def measure_sounds(out: Path, played: Played, *, seconds: float, level: float) -> list[Stirred]:
    """Play silence and each sound for so long; level: RMS of the voice they are measured by."""
    count = round(seconds * RATE)
    floor = 10 ** (FLOOR_DB / 20) * np.random.default_rng(3).standard_normal(count)
    speeds = {"silence": _speed(floor, out, "silence", played)}
    for name in SOUNDS:
        sound = noise.SOUNDS[name](np.random.default_rng(4), count)
        heard = floor + level * 10 ** (SOUND_DB / 20) * sound
        speeds[name] = _speed(heard, out, name, played)
    quiet = max(speeds["silence"], 1e-4)
    return [Stirred(sound=n, speed=s, ratio=s / quiet) for n, s in speeds.items()]


def _speed(audio: Float, out: Path, name: str, played: Played) -> float:
    poses = motion_of(audio.clip(-1, 1).astype(np.float32), out, f"sound-{name}", played)
    speeds = wrist_speeds(pose.positions(poses), pose.WRISTS, FPS)
    return float(speeds[round(_SETTLE_S * FPS) :].mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Endurance:
    """A long stream.

    drift_m: how far the mean place of a wrist in speech moved from the first third
    to the last. still_s: the longest time in speech without a wrist above 5 cm/s.
    inside: share of frames with a hand deeper than `MOST_DEPTH_M` in the torso, and
    deepest_m. bends: the greatest of each joint, degrees.
    """

    minutes: float
    drift_m: float
    still_s: float
    inside: float
    deepest_m: float
    bends: dict[str, float]

    @property
    def failed(self) -> tuple[str, ...]:
        """What is out of bounds."""
        wrong = {
            # where hands happen to be in a few minutes says nothing of where they go
            "drift": self.drift_m > MOST_DRIFT_M and self.minutes >= LEAST_MINUTES,
            "still": self.still_s > MOST_STILL_S,
            "inside": self.inside > 0,
        } | {name: self.bends[name] > most for name, most in LIMITS_DEGREES.items()}
        return tuple(name for name, bad in wrong.items() if bad)


def measure_endurance(speech: Float32, out: Path, played: Played, *, minutes: float) -> Endurance:
    """Play speech, again and again, for so long."""
    audio = np.resize(speech, round(minutes * 60 * RATE))
    poses = motion_of(audio, out, "endurance", played)
    return endured(poses, voiced_frames(audio, len(poses), FPS))


def endured(poses: Float, voiced: Bool) -> Endurance:
    """Measure poses [T, 45, 3] at 15 fps; voiced bool [T]."""
    points = pose.positions(poses)
    wrists = points[:, pose.WRISTS] - points[:, [pose.CHEST]]
    spoken = steady(voiced, FPS)
    third = len(poses) // 3
    means = [wrists[s][spoken[s]].mean(0) for s in (slice(0, third), slice(-third, None))]
    speeds = wrist_speeds(points, pose.WRISTS, FPS)
    talk = steady(recent(voiced, FPS // 2), FPS)
    inside = depth(poses).max(1)
    return Endurance(
        minutes=len(poses) / FPS / 60,
        drift_m=float(np.linalg.norm(means[1] - means[0], axis=-1).max()),
        still_s=longest(talk & (speeds.max(1) < 0.05)) / FPS,
        inside=float((inside > MOST_DEPTH_M).mean()),
        deepest_m=float(inside.max()),
        bends=bends(poses),
    )


def bends(poses: Float) -> dict[str, float]:
    """Return the greatest bend of each joint of `LIMITS_DEGREES` in poses [T, 45, 3]."""
    out = {"elbow": 0.0, "wrist": 0.0, "finger": 0.0}
    for side in ("left", "right"):
        upper = _named(poses, f"{side}_shoulder>{side}_elbow")
        fore = _named(poses, f"{side}_elbow>{side}_wrist")
        hand = _named(poses, f"{side}_wrist>{side}_middle1")
        out["elbow"] = max(out["elbow"], _most(upper, fore))
        out["wrist"] = max(out["wrist"], _most(fore, hand))
        for finger in ("index", "middle", "ring", "pinky", "thumb"):
            chain = [f"{side}_wrist>{side}_{finger}1"]
            chain += [f"{side}_{finger}{i}>{side}_{finger}{i + 1}" for i in (1, 2)]
            bones = [_named(poses, name) for name in chain if name in pose.NAMES]
            for before, after in pairwise(bones):
                out["finger"] = max(out["finger"], _most(before, after))
    up = np.array([0.0, 1.0, 0.0])
    spine = _named(poses, "pelvis>spine3")
    across = _named(poses, "nose>left_eye") - _named(poses, "nose>right_eye")
    shoulders = _named(poses, "neck>left_shoulder") - _named(poses, "neck>right_shoulder")
    nose = _named(poses, "neck>nose")
    # how far the nose has gone round the end of the spine, against the mean pose
    usual = _angles(_named(MEAN, "neck>nose"), _named(MEAN, "spine3>neck"))
    nodded = np.abs(_angles(nose, _named(poses, "spine3>neck")) - usual).max()
    return out | {"lean": _most(spine, up), "neck": max(_most(across, shoulders), float(nodded))}


def _named(poses: Float, name: str) -> Float:
    return poses[:, pose.NAMES.index(name)]


def _unit(vectors: Float) -> Float:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _most(a: Float, b: Float) -> float:
    """Return the greatest angle between vectors [T, 3], degrees."""
    return float(_angles(a, b).max())


def _angles(a: Float, b: Float) -> Float:
    cosine = (_unit(a) * _unit(b)).sum(-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
