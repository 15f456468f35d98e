"""Arms: directions of upper arm, forearm and hand to three local rotations.

All vectors and rotations here are relative to the shoulder (clavicle), in VRM
1.0 axes. At rest both arms lie along X with palms down; twists are about +X for
both sides, so that mirror images have equal twists.
"""

from dataclasses import dataclass
from math import atan2, hypot, pi, radians

from streamer.rotation import (
    IDENTITY,
    Quaternion,
    Vector,
    about_x,
    between,
    cross,
    dot,
    frame,
    inverse,
    limited,
    multiply,
    twist_about_x,
    undo,
    unrotate,
    wrapped,
)

# The elbow's plane tells the roll of the upper arm from 5 degrees of bend on,
# and alone from 20.
_STRAIGHT, _BENT = radians(5), radians(20)

# An arm at rest rolls further outwards than inwards; angles wrap opposite to this.
_NATURAL_ROLL = radians(-30)

# Share of the way to the measured roll that is taken in one frame at 15 fps,
# straight and bent: a straight arm's plane is noise.
_FOLLOW_STRAIGHT, _FOLLOW_BENT = 0.3, 0.85
_FRAME = 1 / 15

# The most a roll moves in a frame at 15 fps; only noise on a straight arm and a
# wrap from one limit to the other ask for more.
_MAX_ROLL_STEP = radians(60)

# Forearm roll (pronation): anatomical limit, and where it is taken to have come
# round the other way.
_MAX_FOREARM = radians(95)
_REWRAP = radians(240)
_FOREARM_PART = 0.5

_MAX_WRIST = radians(80)


@dataclass(slots=True)
class ArmState:
    """What an arm remembers: upper arm roll, measured and shown forearm roll."""

    roll: float = 0.0
    measured: float = 0.0
    shown: float = 0.0
    started: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Local rotations of upper arm, forearm and hand.

    hand_frame: the hand's rotation relative to the shoulder.
    """

    upper: Quaternion
    lower: Quaternion
    hand: Quaternion
    hand_frame: Quaternion


class ArmSolver:
    """Solves one arm. sign: +1 left, -1 right. fps: of the poses, for smoothing."""

    def __init__(self, sign: float, fps: float) -> None:
        self._rest: Vector = (sign, 0.0, 0.0)
        self._hinge: Vector = (0.0, -sign, 0.0)
        frames = 1 / (fps * _FRAME)
        self._follow = tuple(1 - (1 - a) ** frames for a in (_FOLLOW_STRAIGHT, _FOLLOW_BENT))
        self._step = _MAX_ROLL_STEP * frames

    def __call__(
        self,
        upper: Vector,
        lower: Vector,
        hand: Quaternion | None,
        state: ArmState,
        pronation: float = 0.0,
    ) -> Arm:
        """Return the arm and update its state.

        upper, lower: unit vectors. hand: the wanted rotation of the hand; None
        lays it along the forearm, rolled by `pronation` radians.
        """
        swing = between(self._rest, upper)
        bent, plane_roll = self._elbow_plane(swing, upper, lower)
        target = self._roll(swing, lower, hand, bent, plane_roll)
        if state.started:
            follow = self._follow[0] + (self._follow[1] - self._follow[0]) * bent
            change = self._stepped(follow * wrapped(target - state.roll))
            state.roll = wrapped(state.roll + change, _NATURAL_ROLL)
        else:
            state.roll = target
        arm = multiply(swing, about_x(state.roll))
        elbow = between(self._rest, unrotate(arm, lower))
        forearm = multiply(arm, elbow)
        if hand is None:
            roll, wrist = self._limited_roll(pronation, state), IDENTITY
        else:
            local = undo(forearm, hand)
            measured = twist_about_x(local)
            wrist = limited(multiply(local, about_x(-measured)), _MAX_WRIST)
            roll = self._limited_roll(measured, state)
        state.started = True
        lower_roll = about_x(_FOREARM_PART * roll)
        hand_local = multiply(wrist, about_x(roll))
        return Arm(
            upper=arm,
            lower=multiply(elbow, lower_roll),
            hand=undo(lower_roll, hand_local),
            hand_frame=multiply(forearm, hand_local),
        )

    def _elbow_plane(self, swing: Quaternion, upper: Vector, lower: Vector) -> tuple[float, float]:
        """Return how bent the elbow is, 0 to 1, and the roll that its plane asks for."""
        normal = cross(upper, lower)
        sine = hypot(*normal)
        bend = atan2(sine, dot(upper, lower))
        x = min(max((bend - _STRAIGHT) / (_BENT - _STRAIGHT), 0.0), 1.0)
        if x == 0.0:
            return 0.0, 0.0
        _, y, z = unrotate(swing, normal)
        sign = self._hinge[1]
        return x * x * (3 - 2 * x), wrapped(atan2(sign * z, sign * y), _NATURAL_ROLL)

    def _roll(
        self, swing: Quaternion, lower: Vector, hand: Quaternion | None, bent: float, plane: float
    ) -> float:
        """Return the upper arm's roll; a straight arm shares the hand's with the forearm."""
        if bent == 1.0:
            return plane
        straight = 0.0
        if hand is not None:
            elbow = between(self._rest, unrotate(swing, lower))
            whole = twist_about_x(undo(multiply(swing, elbow), hand))
            straight = 0.5 * wrapped(whole, _NATURAL_ROLL)
        return bent * plane + (1 - bent) * straight

    def _limited_roll(self, measured: float, state: ArmState) -> float:
        """Return the forearm's roll within its limits, never jumping between them."""
        if not state.started:
            state.measured = measured
            state.shown = min(max(measured, -_MAX_FOREARM), _MAX_FOREARM)
            return state.shown
        state.measured += wrapped(measured - state.measured)
        if abs(state.measured) > _REWRAP:
            state.measured -= 2 * pi if state.measured > 0 else -2 * pi
        target = min(max(state.measured, -_MAX_FOREARM), _MAX_FOREARM)
        state.shown += self._stepped(target - state.shown)
        return state.shown

    def _stepped(self, change: float) -> float:
        return min(max(change, -self._step), self._step)


class HandFrame:
    """Turns fingers' direction and palm normal into a hand's rotation.

    fingers, palm: the same two vectors in the T-pose.
    """

    def __init__(self, fingers: Vector, palm: Vector) -> None:
        self._rest = inverse(frame(fingers, palm))

    def __call__(self, fingers: Vector, palm: Vector) -> Quaternion:
        """Return the rotation that takes the T-pose's hand here; exact for `fingers`."""
        return multiply(frame(fingers, palm), self._rest)


def palm_from_knuckles(middle: Vector, index: Vector, pinky: Vector, sign: float) -> Vector:
    """Return the outward normal of a palm from its wrist-to-knuckle vectors.

    sign: +1 left, -1 right. The palm faces along cross(fingers, across) on the left.
    """
    across = (index[0] - pinky[0], index[1] - pinky[1], index[2] - pinky[2])
    x, y, z = cross(middle, across)
    return (sign * x, sign * y, sign * z)


def natural_pronation(forearm: Vector) -> float:
    """Return the roll in radians of a hand of which nothing is known.

    forearm: unit vector in the world. A level forearm shows its palm half down;
    a hanging or raised one turns it inwards.
    """
    level = 1 - forearm[1] ** 2
    return radians(10 + 25 * level)
