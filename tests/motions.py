"""Made-up motion of the `upper_body` layout: smooth, seeded, with strokes where asked."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from training import pose

Float = npt.NDArray[np.float64]

REST: Float = pose.LAYOUT.mean / np.linalg.norm(pose.LAYOUT.mean, axis=-1, keepdims=True)


def wandering(frames: int, seed: int, *, size: float = 1.2) -> Float:
    """Return poses [T, 45, 3] that wander about the rest pose, both arms on their own."""
    rng = np.random.default_rng(seed)
    turns = gaussian_filter1d(rng.standard_normal((frames, pose.G, 3)), 4, axis=0) * size
    keep = np.zeros(pose.G)
    keep[pose.ARMS["left"] + pose.ARMS["right"]] = 1.0
    rest = np.tile(REST, (frames, 1, 1))
    return pose.rotate(rest, turns * keep[:, None])


def raised(side: str, degrees: float) -> Float:
    """Return the rest pose [45, 3] with one arm swung forward about the shoulder."""
    turn = np.zeros((pose.G, 3))
    turn[pose.ARMS[side], 0] = -np.radians(degrees)
    return pose.rotate(REST, turn)


def speech(frames: int, seed: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return voiced and accent, bool [T]: runs of 3 to 7 s with pauses of 2 to 4 s."""
    rng = np.random.default_rng(seed)
    voiced = np.zeros(frames, bool)
    at = 10
    while at < frames:
        length = int(rng.integers(45, 105))
        voiced[at : at + length] = True
        at += length + int(rng.integers(30, 60))
    return voiced, voiced & (rng.random(frames) < 0.1)
