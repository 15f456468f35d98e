"""Poses between poses: from the model's 15 a second to a receiver's 60.

Showing a pose between two needs both, so playing runs one frame behind: that is
the one frame of delay which the design counts as visible lag. Nothing is ever
extrapolated: after the last pose the last pose holds.
"""

from collections import deque

import numpy as np

from streamer.retarget import Pose
from streamer.rotation import aligned_all, slerp_all
from streamer.types import Float32

_KEPT = 8

# A stamp that jumps by more than this, either way, is another stream.
_LOST_S = 1.0


class PoseInterpolator:
    """Keeps the last few poses with their times and gives the pose at any time."""

    def __init__(self) -> None:
        self._poses: deque[tuple[float, Pose]] = deque(maxlen=_KEPT)

    def push(self, pose: Pose, time: float) -> bool:
        """Add a pose; time in seconds, ascending.

        A pose that is not finite, or not newer than the last, is left out (False).
        A time more than a second away from the last starts afresh.
        """
        if not (np.isfinite(pose.rotations).all() and np.isfinite(pose.root).all()):
            return False
        rotations = pose.rotations
        if self._poses:
            last_time, last = self._poses[-1]
            if abs(time - last_time) > _LOST_S:
                self._poses.clear()
            elif time <= last_time:
                return False
            rotations = aligned_all(rotations, last.rotations)
        self._poses.append((time, Pose(rotations=rotations, root=pose.root)))
        return True

    def sample(self, time: float) -> Pose | None:
        """Return the pose at a time, None before the first `push`.

        Between two poses each rotation takes its shortest way at even speed.
        Before the oldest and after the newest they hold.
        """
        if not self._poses:
            return None
        after_time, after = self._poses[-1]
        if time >= after_time:
            return after
        for before_time, before in reversed(self._poses):
            if time >= before_time:
                share = (time - before_time) / (after_time - before_time)
                return Pose(
                    rotations=slerp_all(before.rotations, after.rotations, share),
                    root=(before.root + share * (after.root - before.root)).astype(np.float32),
                )
            after_time, after = before_time, before
        return after


class FaceInterpolator:
    """Keeps the last few faces with their times and gives the face at any time."""

    def __init__(self) -> None:
        self._faces: deque[tuple[float, Float32]] = deque(maxlen=_KEPT)

    def push(self, face: Float32, time: float) -> None:
        """Add expressions [E]; time in seconds. What does not follow starts afresh."""
        if self._faces and not 0 < time - self._faces[-1][0] <= _LOST_S:
            self._faces.clear()
        if np.isfinite(face).all():
            self._faces.append((time, face))

    def sample(self, time: float) -> Float32 | None:
        """Return the expressions at a time, None before the first `push`; both ends hold."""
        if not self._faces:
            return None
        after_time, after = self._faces[-1]
        for before_time, before in reversed(self._faces):
            if time >= before_time:
                span = after_time - before_time
                share = min((time - before_time) / span, 1.0) if span > 0 else 1.0
                return (before + np.float32(share) * (after - before)).astype(np.float32)
            after_time, after = before_time, before
        return after


class PlayoutClock:
    """Turns wall time into the stamp to show now, a fixed delay behind the newest.

    Frames are stamped by the audio's clock and arrive a varying moment later.
    The earliest arrivals set the pace at once; a delay that grows is followed
    slowly, so that a single late frame does not shift all that come.
    delay_s: one frame, so that frames that arrive on time are always two.
    """

    _FOLLOW = 0.05

    def __init__(self, *, delay_s: float) -> None:
        self.delay_s = delay_s
        self._offset: float | None = None

    def arrived(self, stamp: float, now: float) -> None:
        """Note that the frame of a stamp has come; both in seconds."""
        offset = now - stamp
        if self._offset is None or abs(offset - self._offset) > _LOST_S:
            self._offset = offset
        elif offset < self._offset:
            self._offset = offset
        else:
            self._offset += self._FOLLOW * (offset - self._offset)

    def showing(self, now: float) -> float:
        """Return the stamp to show; before the first frame, the wall time itself."""
        return now - (self._offset or 0.0) - self.delay_s
