"""Smoothing of rotations, each with the delay that it costs. Off unless asked for.

`Damped` is a critically damped spring: a steady turn is followed exactly
`delay_s` late, and nothing overshoots. `OneEuro` (Casiez, Roussel and Vogel, CHI
2012) smooths what is slow and lets quick movement through: `delay_s` late at
rest, less and less as things turn faster.
"""

from typing import Final, Protocol

import numpy as np

from streamer.rotation import aligned_all, inverse_all, multiply_all, slerp_all
from streamer.types import Float32

_EAGER: Final = 1.5  # One Euro's beta: Hz of cutoff for each radian a second
_SPEED_S: Final = 1 / (2 * np.pi)  # time constant of its estimate of speed: 1 Hz


class RotationFilter(Protocol):
    """Smooths rotations [B, 4] of one stream, in order."""

    def __call__(self, rotations: Float32, dt: float) -> Float32:
        """Return the smoothed rotations, `dt` seconds after the ones before."""
        ...


class Damped:
    """A critically damped spring on every bone."""

    def __init__(self, delay_s: float) -> None:
        self._stiffness = 2 / delay_s
        self._shown: Float32 | None = None
        self._speed = np.zeros(0, np.float32)

    def __call__(self, rotations: Float32, dt: float) -> Float32:
        """Return the spring's rotations; the exact solution for a target that holds for dt."""
        if self._shown is None:
            self._shown, self._speed = rotations, np.zeros((*rotations.shape[:-1], 3), np.float32)
            return rotations
        y = self._stiffness
        away = _log(multiply_all(self._shown, inverse_all(rotations)))
        pull = self._speed + away * y
        fade = np.exp(-y * dt)
        self._speed = ((self._speed - pull * (y * dt)) * fade).astype(np.float32)
        left = ((away + pull * dt) * fade).astype(np.float32)
        self._shown = _unit(multiply_all(_exp(left), rotations))
        return self._shown


class OneEuro:
    """A low pass on every bone whose cutoff rises with the bone's speed."""

    def __init__(self, delay_s: float) -> None:
        self._slowest = 1 / (2 * np.pi * delay_s)
        self._shown: Float32 | None = None
        self._last = np.zeros(0, np.float32)
        self._speed = np.zeros(0, np.float32)

    def __call__(self, rotations: Float32, dt: float) -> Float32:
        """Return the smoothed rotations."""
        if self._shown is None:
            self._shown = self._last = rotations
            self._speed = np.zeros(rotations.shape[:-1], np.float32)
            return rotations
        turn = _log(multiply_all(rotations, inverse_all(self._last)))
        speed = np.linalg.norm(turn, axis=-1) / max(dt, 1e-6)
        self._speed = self._speed + (speed - self._speed) * (dt / (dt + _SPEED_S))
        constant = 1 / (2 * np.pi * (self._slowest + _EAGER * self._speed))
        share = (dt / (dt + constant))[..., None]
        away = _log(multiply_all(rotations, inverse_all(self._shown)))
        self._shown = _unit(multiply_all(_exp((away * share).astype(np.float32)), self._shown))
        self._last = rotations
        return self._shown


class Lately:
    """Where every bone has been lately: an exponential mean with a time constant."""

    def __init__(self, constant_s: float) -> None:
        self._constant = constant_s
        self._mean: Float32 | None = None

    def __call__(self, rotations: Float32, dt: float) -> Float32:
        """Return the mean, this pose included."""
        if self._mean is None:
            self._mean = rotations
        self._mean = slerp_all(self._mean, rotations, dt / (dt + self._constant))
        return self._mean


def _log(q: Float32) -> Float32:
    """Return rotation vectors [..., 3], the short way round."""
    q = np.where(q[..., 3:] < 0, -q, q)
    length = np.linalg.norm(q[..., :3], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, q[..., 3:])
    scale = np.where(length < 1e-6, 2.0, angle / np.maximum(length, 1e-6))
    return (q[..., :3] * scale).astype(np.float32)


def _exp(v: Float32) -> Float32:
    """Return the rotations of rotation vectors."""
    angle = np.linalg.norm(v, axis=-1, keepdims=True)
    scale = np.where(angle < 1e-6, 0.5, np.sin(angle / 2) / np.maximum(angle, 1e-6))
    return np.concatenate([v * scale, np.cos(angle / 2)], axis=-1).astype(np.float32)


def _unit(q: Float32) -> Float32:
    return (q / np.linalg.norm(q, axis=-1, keepdims=True)).astype(np.float32)


def scaled(base: Float32, rotations: Float32, amount: Float32) -> Float32:
    """Return base followed by `amount` [B] times the turn from it; beyond 1 goes further."""
    turn = _log(multiply_all(inverse_all(base), aligned_all(rotations, base)))
    out = _unit(multiply_all(base, _exp((turn * amount[:, None]).astype(np.float32))))
    return np.where(amount[:, None] == 1, rotations, out)  # all the way is untouched
