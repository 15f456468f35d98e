"""The gesture library: captured clips on a common idle pose, and their codes.

A clip is a gesture from the idle pose through a raised ("cocked") pose and a
stroke to its apex. Clips of all performers start from one relaxed idle pose,
so that they can follow one another in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamer.errors import InputError
from training import pose
from training.smartbody import (
    forward_kinematics,
    read_motion,
    read_names,
    read_skeleton,
    resample,
    to_directions,
)
from training.torso import depth, push_out

Float = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CLIP_FPS = 30
CODE_SIZE = 12

_SUPPORT = 0.5
_NEAREST = 0.1
_FASTEST = 1.7  # metres a second

_PERFORMERS = {"brad": "ChrBrad", "connor": "ChrConnor", "garza": "ChrGarza"}
_NOT_GESTURES = ("Stretch", "Scratch", "Squeeze", "WeightShift", "ToIdle", "Idle03.", "IdleCross")
_BROKEN = (
    "Idle01_NegativeLf01",
    "Idle01_Think01",
    "Idle01_ReceiveLf01",
    "Idle01_SafeRt01",
)

# Name part to class; the first that a clip's name contains.
_CLASSES = (
    ("NegateForwardMidBt", "big"),  # both arms sweep up and out
    ("Contemplate", "think"),
    ("Think", "think"),
    ("Negat", "no"),
    ("However", "contrast"),
    ("Shrug", "maybe"),
    ("Safe", "contrast"),
    ("Plea", "please"),
    ("Offer", "question"),
    ("Receive", "question"),
    ("Indicate", "here"),
    ("Deictic", "here"),
    ("Point", "here"),
    ("Empty", "big"),
    ("Frame", "big"),
    ("Example", "example"),
    ("BeatFlip", "maybe"),
    ("Beat", "beat"),
    ("Chop", "example"),
    ("Stop", "stop"),
    ("You", "you"),
    ("Me", "me"),
    ("No", "no"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """One gesture on the common idle pose.

    gesture: its class, for trigger words. hands: `left`, `right` or both.
    directions: [T, 45, 3] at 30 fps. Times in seconds from the first frame:
    start (the hands leave idle), cocked (the stroke begins), apex (it ends)
    and release (the hands begin to return or to do something else).
    """

    name: str
    gesture: str
    hands: tuple[str, ...]
    directions: Float
    start: float
    cocked: float
    apex: float
    release: float

    def at(self, times: Float) -> Float:
        """Return poses [n, 45, 3] at times [n]; outside, the ends hold."""
        return resample(self.directions, np.arange(len(self.directions)) / CLIP_FPS, times)

    def mirrored(self) -> "Clip":
        """Return the clip in a mirror."""
        other = {"left": "right", "right": "left"}
        return Clip(
            name=f"{self.name}~",
            gesture=self.gesture,
            hands=tuple(sorted(other[h] for h in self.hands)),
            directions=pose.mirror(self.directions),
            start=self.start,
            cocked=self.cocked,
            apex=self.apex,
            release=self.release,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Library:
    """The clips that the codes stand for, and the idle motion.

    codes: [M, 12] whitened, one per clip. idle: [45, 3]. sway: [K, G, 3]
    rotations of the idle pose along its main ways of moving, one standard
    deviation each. apexes: [M, 2, 3] wrists at the apex, metres from the pelvis.
    """

    clips: tuple[Clip, ...]
    codes: Float
    idle: Float
    sway: Float

    @property
    def apexes(self) -> Float:
        """Return the wrist positions [M, 2, 3] at the apexes, left then right."""
        return np.stack([_wrists(c.at(np.array([c.apex])))[0] for c in self.clips])

    def of_class(self, gesture: str) -> Ints:
        """Return the indices of the clips of a class."""
        return np.flatnonzero([c.gesture == gesture for c in self.clips])


def load_library(folder: Path, size: int = 120) -> Library:
    """Build the library from the folder `smartbody_gestures`.

    size: the most clips to keep; the best spread ones, every class served.
    """
    if not (folder / "idle_rachel").is_dir():
        raise InputError(f"{folder}: no idle_rachel; expected the folder smartbody_gestures")
    idle, sway = _read_idle(folder / "idle_rachel")
    clips: list[Clip] = []
    for performer, character in _PERFORMERS.items():
        skeleton = read_skeleton(folder / performer / f"{character}.sk")
        for path in sorted((folder / performer).glob("*.skm")):
            short = path.name.split("@")[1]
            if "_" not in short or any(s in short for s in _NOT_GESTURES + _BROKEN):
                continue
            motion = read_motion(path)
            if motion.marks is None:
                continue
            raw = to_directions(skeleton, forward_kinematics(skeleton, motion))
            times = np.arange(int(motion.times[-1] * CLIP_FPS) + 1) / CLIP_FPS
            raw = resample(raw, motion.times, times)
            name = f"{performer}/{short.removesuffix('.skm')}"
            clip = _make_clip(name, raw, motion.marks.emphasis, idle, support=len(clips) % 4 == 0)
            if clip is not None:
                clips += [clip, clip.mirrored()]
    features = _features(clips)
    kept = _spread(clips, features, size)
    clips = [clips[i] for i in kept]
    return Library(clips=tuple(clips), codes=_whiten(features[kept]), idle=idle, sway=sway)


def gesture_class(name: str) -> str:
    """Return the class of a clip by its name, `beat` where it says nothing else."""
    return next((gesture for part, gesture in _CLASSES if part in name), "beat")


def _read_idle(folder: Path) -> tuple[Float, Float]:
    """Return the idle pose, symmetric, and the main ways in which it sways."""
    skeleton = read_skeleton(folder / "ChrRachel.sk")
    names = read_names(folder / "joint_name_map.json")
    loops: list[Float] = []
    for path in sorted(folder.glob("*Idle0[12].skm")):
        motion = read_motion(path, names)
        loops.append(to_directions(skeleton, forward_kinematics(skeleton, motion)))
    mean = np.concatenate(loops).mean(0)
    idle = mean + pose.mirror(mean)
    idle /= np.linalg.norm(idle, axis=-1, keepdims=True)
    idle = _open_arms(idle)
    turns = np.concatenate(
        [pose.between(np.broadcast_to(loop.mean(0), loop.shape), loop) for loop in loops]
    )
    flat = turns.reshape(len(turns), -1)
    _, scales, axes = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    spread = scales[:4, None] / np.sqrt(len(flat))
    return idle, (axes[:4] * spread).reshape(-1, pose.G, 3)


def _open_arms(idle: Float) -> Float:
    """Turn the upper arms a little outward: avatars are wider than the captured people."""
    turn = np.zeros((pose.G, 3))
    turn[pose.ARMS["left"], 2] = np.deg2rad(6)
    turn[pose.ARMS["right"], 2] = -np.deg2rad(6)
    return pose.rotate(idle, turn)


def _make_clip(name: str, raw: Float, emphasis: float, idle: Float, support: bool) -> Clip | None:
    """Return the clip on the idle pose; None where it has no clear stroke.

    support: the other hand of a one-handed gesture comes half-way up, too.
    """
    wrists = _wrists(raw)
    extent = np.linalg.norm(wrists - wrists[0], axis=-1).max(0)
    hands = tuple(s for s, e in zip(("left", "right"), extent, strict=True) if e > 0.12)
    if not hands:
        return None
    columns = [("left", "right").index(h) for h in hands]
    path = wrists[:, columns].reshape(len(raw), -1)
    speed = np.linalg.norm(np.gradient(path, 1 / CLIP_FPS, axis=0), axis=-1)
    away = np.linalg.norm(path - path[0], axis=-1)
    apex = _find_apex(speed, away, round(emphasis * CLIP_FPS))
    start = int(np.argmax(away > 0.03))
    if apex - start < 8 or away[apex] < 0.1:
        return None
    cocked = _find_cocked(speed, path, away, start, apex)
    far = np.linalg.norm(path - path[apex], axis=-1)[apex:] > 0.07
    release = apex + min(int(np.argmax(far)) if far.any() else len(far) - 1, 12)
    rebased = _rebase(raw, idle, hands, start, cocked, release)
    if support and len(hands) == 1:
        other = "left" if hands[0] == "right" else "right"
        vectors = pose.groups_to_vectors(pose.ARMS[other])
        path = pose.mirror(rebased)[np.minimum(np.arange(len(rebased)), cocked)]
        half = pose.blend(np.broadcast_to(idle, path.shape), path, _SUPPORT)
        rebased[:, vectors] = half[:, vectors]
    if depth(rebased[apex]).max() > 0.06:
        return None
    calm, times = _slow_down(push_out(rebased))
    return Clip(
        name=name,
        gesture=gesture_class(name),
        hands=hands,
        directions=calm,
        start=float(times[start]),
        cocked=float(times[cocked]),
        apex=float(times[apex]),
        release=float(times[release]),
    )


def _slow_down(directions: Float) -> tuple[Float, Float]:
    """Return a clip [T', 45, 3] with wrists no faster than people's, and when [T] a frame is.

    Replacing the idle pose made some ways longer in the same time.
    """
    speed = np.linalg.norm(np.gradient(_wrists(directions), 1 / CLIP_FPS, axis=0), axis=-1)
    stretch = np.maximum(speed.max(1) / _FASTEST, 1.0)
    stretch = np.convolve(np.pad(stretch, 2, "edge"), [0.1, 0.2, 0.4, 0.2, 0.1], "valid")
    steps = np.maximum((stretch[1:] + stretch[:-1]) / 2, 1.0)
    times = np.concatenate([[0.0], np.cumsum(steps)]) / CLIP_FPS
    even = np.arange(int(times[-1] * CLIP_FPS) + 1) / CLIP_FPS
    return resample(directions, times, even), times


def _find_apex(speed: Float, away: Float, emphasis: int) -> int:
    """Return the frame near the mark in which the stroke has come to rest."""
    low, high = max(emphasis - 15, 3), min(emphasis + 8, len(speed) - 2)
    peak = low + int(np.argmax(speed[low:high]))
    for frame in range(peak + 1, min(peak + 20, len(speed) - 2)):
        slow = speed[frame] < 0.35 * speed[peak]
        if slow and (speed[frame] <= speed[frame + 1] or speed[frame] < 0.12 * speed[peak]):
            return frame
    return emphasis


def _find_cocked(speed: Float, path: Float, away: Float, start: int, apex: int) -> int:
    """Return the frame from which the stroke goes: a pause before it, or its half-way."""
    for frame in range(apex - 5, start + 3, -1):
        pause = speed[frame] < speed[frame - 1] and speed[frame] <= speed[frame + 1]
        gone = np.linalg.norm(path[frame] - path[apex])
        if pause and away[frame] > 0.12 and gone > 0.08 and apex - frame <= 20:
            return frame
    steps = np.linalg.norm(np.diff(path[start : apex + 1], axis=0), axis=-1)
    left = steps[::-1].cumsum()[::-1]
    reach = np.clip(0.5 * left[0], 0.08, 0.30)
    return start + int(np.clip(np.argmax(left < reach), 3, len(left) - 4))


def _rebase(
    raw: Float, idle: Float, hands: tuple[str, ...], start: int, cocked: int, release: int
) -> Float:
    """Return the clip with its idle pose replaced by the common one.

    Trunk and head keep how they move away from the clip's idle, damped; an arm
    that gestures leaves the common idle on its way up; the other rests.
    """
    frames = len(raw)
    moved = pose.between(np.broadcast_to(raw[0], raw.shape), raw)
    keep = np.zeros(pose.G)
    keep[pose.TRUNK] = 0.8
    keep[pose.HEAD] = 0.5
    out = pose.rotate(np.broadcast_to(idle, raw.shape), moved * keep[:, None])
    share = np.zeros((frames, pose.G))
    rise = np.clip((np.arange(frames) - start) / max(cocked - start, 1), 0, 1)
    fall = np.clip((np.arange(frames) - release - 6) / max(frames - release - 6, 1), 0, 1)
    engaged = _smooth(rise) * (1 - _smooth(fall))
    for side in hands:
        share[:, pose.ARMS[side]] = engaged[:, None]
    return pose.blend(out, raw, share * (np.isin(np.arange(pose.G), pose.TRUNK) == 0))


def _smooth(x: Float) -> Float:
    return x * x * (3 - 2 * x)


def _wrists(directions: Float) -> Float:
    return pose.positions(directions)[..., pose.WRISTS, :]


def _features(clips: Sequence[Clip]) -> Float:
    """Return what tells gestures apart, [M, F] in metres or comparable."""
    rows: list[Float] = []
    for clip in clips:
        around = clip.at(np.array([clip.cocked, clip.apex, clip.apex + 0.3]))
        points = pose.positions(around)
        arms = points[:, pose.WRISTS + pose.ELBOWS] - points[:, [pose.CHEST]]
        palms = around[1, [pose.NAMES.index("left_palm"), pose.NAMES.index("right_palm")]]
        curl = [
            around[1, pose.NAMES.index(f"{s}_wrist>{s}_middle1")]
            @ around[1, pose.NAMES.index(f"{s}_middle2>{s}_middle3")]
            for s in ("left", "right")
        ]
        used = [float("left" in clip.hands), float("right" in clip.hands)]
        rows.append(
            np.concatenate(
                [arms.ravel(), 0.2 * palms.ravel(), 0.1 * np.array(curl), 0.3 * np.array(used)]
            )
        )
    return np.stack(rows)


def _spread(clips: Sequence[Clip], features: Float, size: int) -> list[int]:
    """Return the clips to keep: farthest first, near-copies left out.

    Classes with few clips come first, so that every trigger keeps several.
    """
    counts = {c.gesture: sum(o.gesture == c.gesture for o in clips) for c in clips}
    kept: list[int] = []
    gap = np.full(len(clips), np.inf)
    rare = np.array([np.sqrt(20 / max(counts[c.gesture], 5)) for c in clips])
    while len(kept) < min(size, len(clips)):
        best = int(np.argmax(np.where(np.isinf(gap), 1e3, gap * rare)))
        if kept and gap[best] < _NEAREST:
            break
        kept.append(best)
        gap = np.minimum(gap, np.linalg.norm(features - features[best], axis=-1))
        gap[best] = -1.0
    return sorted(kept)


def _whiten(features: Float) -> Float:
    """Return features as codes [M, 12]: principal components with unit variance."""
    centred = features - features.mean(0)
    left, _, axes = np.linalg.svd(centred, full_matrices=False)
    # A component's sign is free; fix it so that every machine gets the same code.
    largest = np.abs(axes[:CODE_SIZE]).argmax(1)
    sign = np.sign(axes[np.arange(CODE_SIZE), largest])
    return left[:, :CODE_SIZE] * sign * np.sqrt(len(features))
