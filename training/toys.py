"""Motions that must fail every evaluation: what a good figure alone would let through."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamer.skeleton import Skeleton

Array = npt.NDArray[np.floating]


def loudness_forearm(skeleton: Skeleton, pose: Array, loudness: Array, fps: float) -> Array:
    """Return both forearms swung by a sine scaled with loudness: [T, D, 3].

    pose: directions [D, 3] to start from; loudness [T] in 0..1.
    """
    phase = 2 * np.pi * 1.5 * np.arange(len(loudness)) / fps
    angles = 0.9 * loudness * (1 + np.sin(phase))
    directions = np.repeat(pose[None], len(loudness), 0)
    moved = [
        i
        for i, (_, child) in enumerate(skeleton.bones)
        if any(n in skeleton.joints[child] for n in _BELOW_ELBOW)
    ]
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    y, z = directions[:, moved, 1].copy(), directions[:, moved, 2].copy()
    directions[:, moved, 1] = y * cos + z * sin
    directions[:, moved, 2] = z * cos - y * sin
    return directions


def looped_clip(
    directions: Array, voiced: Sequence[bool], fps: float, seconds: float = 2.0
) -> Array:
    """Return the first stretch of speech of a recording, played again and again in speech."""
    first = int(np.argmax(np.asarray(voiced)))
    clip = directions[first : first + int(seconds * fps)]
    out = np.repeat(clip[:1], len(directions), 0)
    step = 0
    for i, on in enumerate(voiced):
        step = step + 1 if on else 0
        out[i] = clip[step % len(clip)]
    return out


def mean_pose(directions: Array) -> Array:
    """Return the mean pose, held."""
    mean = directions.mean(0, keepdims=True)
    return np.repeat(mean / np.linalg.norm(mean, axis=-1, keepdims=True), len(directions), 0)


_BELOW_ELBOW = ("wrist", "index", "middle", "pinky", "ring", "thumb")
