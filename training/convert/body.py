"""Joint rotations of a captured body to direction vectors of any of our layouts.

Bodies differ in proportions, and body models may not be shipped; so rotations
pose the engine's own humanoid, and the vectors are read off it.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from streamer.humanoid import BONES, PARENTS
from streamer.retarget_inverse import directions_from
from streamer.skeleton import Skeleton
from streamer.types import Float32
from training.smartbody import resample
from training.store.types import FPS

_CHUNK = 4096


def body_directions(world: Mapping[str, Rotation], skeleton: Skeleton, fps: float) -> Float32:
    """Return directions [T, D, 3] at 15 fps, in the skeleton's axes.

    world: the rotation of each bone against the T-pose, in VRM 1.0 axes, one
    per frame; bones that are not given go along with their parents, `hips` must
    be there. The take is turned so that on average the hips face forward.
    """
    hips = world["hips"]
    frames = len(hips)
    ahead = heading(hips)
    rotations = np.zeros((frames, len(BONES), 4), np.float32)
    placed: list[Rotation] = []
    for bone, parent in zip(BONES, PARENTS, strict=True):
        above = placed[parent] if parent >= 0 else None
        own = ahead.inv() * world[bone] if bone in world else above
        assert own is not None, "the hips are given"
        placed.append(own)
        local = own if above is None else above.inv() * own
        rotations[:, len(placed) - 1] = local.as_quat()
    # in pieces: every bone's vectors of an hour at once would not fit
    pieces = [
        directions_from(rotations[i : i + _CHUNK], skeleton) for i in range(0, frames, _CHUNK)
    ]
    return to_model_rate(np.concatenate(pieces), fps)


def heading(hips: Rotation) -> Rotation:
    """Return the turn about the vertical by which the hips face on average."""
    forward = hips.apply([0.0, 0.0, 1.0]).reshape(-1, 3)[:, [0, 2]]
    x, z = forward.mean(0)
    yaw = np.arctan2(x, z) if np.hypot(x, z) > 0.1 else 0.0
    return Rotation.from_rotvec([0.0, yaw, 0.0])


def to_model_rate(directions: npt.NDArray[np.floating], fps: float) -> Float32:
    """Return directions [T, D, 3] of a rate at 15 fps: on the arc between two frames."""
    if fps == FPS:
        return directions.astype(np.float32)
    times = np.arange(len(directions)) / fps
    at = np.arange(int(np.floor(len(directions) / fps * FPS + 1e-6))) / FPS
    return resample(directions.astype(np.float64), times, at).astype(np.float32)
