"""Which windows are worth learning from: the papers' motion filters (ha2g.md 1.5).

The first that applies drops a window of 42 frames: fewer words than asked for;
poses close to the mean pose; a bent spine; hands that rest.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np

from streamer.skeleton import Skeleton
from streamer.types import Float32
from training.store.types import FPS, Word
from training.store.windows import CACHED, REASONS, window_begins, words_between

_POSE = 0.02
_SPINE_MAX, _SPINE_MEAN = 30.0, 20.0  # degrees
_MOTION = 0.0014  # square metres, summed over x, y, z
_POSES = Path(__file__).parents[1] / "data" / "mean_poses.json"


def judge(
    poses: Float32,
    words: tuple[Word, ...],
    skeleton: Skeleton,
    *,
    min_words: int,
    motion: bool,
) -> np.ndarray:
    """Return for each candidate window of a clip why it is dropped: uint8, 0 is kept.

    poses: joint positions [T, J, 3] in the skeleton's axes, metres. motion:
    whether the motion filters apply.
    """
    out: list[int] = []
    for begin in window_begins(len(poses)):
        spoken = words_between(words, begin / FPS, (begin + CACHED) / FPS)
        reason = "kept"
        if len(spoken) < min_words:
            reason = "few words"
        elif motion:
            reason = judge_motion(poses[begin : begin + CACHED], skeleton)
        out.append(REASONS.index(reason))
    return np.array(out, np.uint8)


def judge_motion(poses: Float32, skeleton: Skeleton) -> str:
    """Return the verdict of the motion filters on one window [42, J, 3]."""
    mean = mean_pose(skeleton.name)
    if mean is not None and np.abs(poses - mean).mean() < _POSE:
        return "pose"
    spine, neck = skeleton.bones[skeleton.index(_spine(skeleton), "neck")]
    upward = np.array([0.0, skeleton.axes[1], 0.0])
    back = poses[:, neck] - poses[:, spine]
    cosine = back @ upward / np.maximum(np.linalg.norm(back, axis=-1), 1e-9)
    angles = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    if angles.max() > _SPINE_MAX or angles.mean() > _SPINE_MEAN:
        return "spine angle"
    wrists = [skeleton.joints.index(f"{side}_wrist") for side in ("left", "right")]
    if (poses[:, wrists].var(axis=0).sum(-1) < _MOTION).all():
        return "motion"
    return "kept"


@cache
def mean_pose(skeleton: str) -> Float32 | None:
    """Return the published mean pose [J, 3] of a TED skeleton; others have none."""
    poses = json.loads(_POSES.read_text("utf-8"))
    return np.array(poses[skeleton], np.float32) if skeleton in poses else None


def _spine(skeleton: Skeleton) -> str:
    return "spine3" if "spine3" in skeleton.joints else "spine"
