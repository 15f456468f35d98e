"""Fewer gestures: of the strokes that the model makes only some are performed.

A stroke begins where the arms have come to a stop and set off again. Which ones are
left out is counted and not drawn by lot: at a half it is every other one.
"""

from typing import Final

import numpy as np

from streamer.types import Bool, Float32

HINT: Final = 0.3
"""How much of a stroke that is left out is still seen."""

_EASE_S: Final = 0.35
_SHORTEST_S: Final = 0.9  # between two strokes: out and back are one
_RECENT_S: Final = 1.0
_SLOW: Final = 0.6  # of the arms' recent speed: they have stopped
_STILL: Final = 4.0  # degrees a second, below which nobody gestures at all


class StrokeGate:
    """Says how far the arms follow, frame by frame. arms: [B], which bones they are."""

    def __init__(self, arms: Bool) -> None:
        self._arms = arms
        self._last: Float32 | None = None
        self._recent = 0.0
        self._stopped = True
        self._since_s = _SHORTEST_S
        self._owed = 1.0  # the first stroke is performed
        self._goal = 1.0
        self._share = 1.0

    def __call__(self, rotations: Float32, dt: float, rate: float) -> float:
        """Return the share, HINT to 1, for the next pose [B, 4] of the model.

        rate: 0 to 1, how many strokes are performed.
        """
        speed = self._speed(rotations, dt)
        self._recent += (speed - self._recent) * dt / (dt + _RECENT_S)
        self._since_s += dt
        if speed < max(_SLOW * self._recent, _STILL):
            self._stopped = True
        elif self._stopped and self._since_s >= _SHORTEST_S:
            self._stopped, self._since_s = False, 0.0
            self._owed += rate
            self._goal = 1.0 if self._owed >= 1.0 else HINT
            if self._owed >= 1.0:
                self._owed -= 1.0
        goal = 1.0 if rate >= 1.0 else self._goal
        self._share += (goal - self._share) * min(dt / _EASE_S, 1.0)
        return self._share

    def _speed(self, rotations: Float32, dt: float) -> float:
        """Return how quickly the arms turn in the mean, degrees a second."""
        last, self._last = self._last, rotations
        if last is None or dt <= 0:
            return 0.0
        cosine = np.abs((rotations[self._arms] * last[self._arms]).sum(-1))
        angle = 2 * np.arccos(np.clip(cosine, 0, 1))
        return float(np.degrees(angle.max())) / dt
