"""Fingers: phalanges as hinges within human limits.

Vectors are relative to the hand, in VRM 1.0 axes: at rest the four fingers lie
along X, palms face down and the thumb points 45 degrees forward.
"""

from math import asin, atan2, copysign, hypot, pi, radians

from streamer.rotation import (
    Quaternion,
    Vector,
    about,
    between,
    limited,
    multiply,
    rotate,
    unit,
    unrotate,
    wrapped,
)

FLEXION = (radians(-20), radians(90))
SPREAD = radians(20)
MIDDLE_FLEXION = (0.0, radians(110))
DISTAL_PART = 2 / 3
THUMB_CONE = radians(55)
_THUMB_CENTRE = (0.8, -0.28, 0.53)  # left; where thumbs of real hands are on average
THUMB_FLEXION = (0.0, radians(60))

# Flexion in degrees of relaxed fingers (index, middle, little, ring): first, second phalanx.
_RELAXED = ((16.0, 22.0), (22.0, 28.0), (30.0, 34.0), (26.0, 32.0))
_EASY = radians(20)
_RELAXED_THUMB = (10.0, 12.0, 10.0)

Finger = tuple[Quaternion, Quaternion, Quaternion]


class FingerSolver:
    """Solves the digits of one hand. sign: +1 left, -1 right.

    thumb: the thumb's metacarpal direction in the T-pose.
    """

    def __init__(self, sign: float, thumb: Vector) -> None:
        self._sign = sign
        self._flex: Vector = (0.0, 0.0, -sign)
        self._spread: Vector = (0.0, -sign, 0.0)
        self._thumb = unit(thumb)
        x, y, z = _THUMB_CENTRE
        self._thumb_centre = unit((sign * x, y, z))
        # The thumb folds across the palm; the tilt is the one of three motion-captured hands.
        self._thumb_flex = unit((0.2, 0.96 * sign, -0.2 * sign))

    def finger(self, first: Vector, second: Vector) -> Finger:
        """Return the local rotations of one finger from its two known phalanges."""
        flexion, spread = self._angles(first)
        spread = _clamped(spread, (-SPREAD, SPREAD))
        knuckle = multiply(
            about(self._flex, _folded(flexion, FLEXION)), about(self._spread, spread)
        )
        bend, _ = self._angles(unrotate(knuckle, second))
        bend = _folded(bend, MIDDLE_FLEXION)
        return (knuckle, about(self._flex, bend), about(self._flex, DISTAL_PART * bend))

    def thumb(self, first: Vector, second: Vector) -> Finger:
        """Return the local rotations of the thumb from its two known phalanges."""
        free = between(self._thumb, first)
        bend = _folded(self._thumb_bend(unrotate(free, second)), THUMB_FLEXION)
        inside = rotate(limited(between(self._thumb_centre, first), THUMB_CONE), self._thumb_centre)
        return (
            between(self._thumb, inside),
            about(self._thumb_flex, bend),
            about(self._thumb_flex, DISTAL_PART * bend),
        )

    def relaxed(self, openness: float) -> tuple[Finger, Finger, Finger, Finger, Finger]:
        """Return index, middle, little, ring and thumb at ease; openness 0 to 1."""
        scale = radians(1.25 - 0.6 * openness)
        index, middle, little, ring = (
            self._curled(scale * first, scale * second) for first, second in _RELAXED
        )
        a, b, c = (about(self._thumb_flex, scale * angle) for angle in _RELAXED_THUMB)
        return index, middle, little, ring, (a, b, c)

    def _curled(self, first: float, second: float) -> Finger:
        return (
            about(self._flex, first),
            about(self._flex, second),
            about(self._flex, DISTAL_PART * second),
        )

    def _angles(self, v: Vector) -> tuple[float, float]:
        """Return flexion and spread of a direction; spread is positive to the front.

        A finger that points sideways has no flexion: towards there it relaxes.
        """
        along, down = self._sign * v[0], -v[1]
        sure = _clamped((hypot(along, down) - 0.2) / 0.4, (0.0, 1.0))
        flexion = sure * atan2(down, along) if sure > 0 else 0.0
        return flexion + (1 - sure) * _EASY, asin(_clamped(v[2], (-1.0, 1.0)))

    def _thumb_bend(self, v: Vector) -> float:
        """Return by how much a direction is bent about the thumb's hinge."""
        axis, rest = self._thumb_flex, self._thumb
        along = v[0] * rest[0] + v[1] * rest[1] + v[2] * rest[2]
        side = (
            axis[0] * (rest[1] * v[2] - rest[2] * v[1])
            + axis[1] * (rest[2] * v[0] - rest[0] * v[2])
            + axis[2] * (rest[0] * v[1] - rest[1] * v[0])
        )
        return atan2(side, along)


def _folded(angle: float, limits: tuple[float, float]) -> float:
    """Return an angle within limits, without a jump anywhere round the circle.

    Beyond a limit that limit holds; opposite to the range, where no finger can
    be and only noise gets, one limit passes over into the other.
    """
    low, high = limits
    middle, half = (low + high) / 2, (high - low) / 2
    away = wrapped(angle - middle)
    beyond = max(abs(away) - (pi - half), 0.0)
    return middle + copysign(min(abs(away), half) - beyond, away)


def _clamped(x: float, limits: tuple[float, float]) -> float:
    return min(max(x, limits[0]), limits[1])
