"""Percentiles of many short times, in bounded memory."""

import numpy as np

from streamer.types import Float32

CAPACITY = 16_384
"""Times that are kept: at 15 a second, the last 18 minutes."""


class Durations:
    """The latest times in seconds; one thread adds, any may read."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._values: Float32 = np.zeros(capacity, np.float32)
        self.count = 0

    def add(self, seconds: float) -> None:
        """Keep one time; the oldest is forgotten when there are too many."""
        self._values[self.count % len(self._values)] = seconds
        self.count += 1

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile in milliseconds, 0 before the first time."""
        kept = self._values[: min(self.count, len(self._values))]
        return float(np.percentile(kept, percent)) * 1e3 if len(kept) else 0.0

    def longer_than(self, seconds: float) -> int:
        """Return how many of the kept times are longer."""
        kept = self._values[: min(self.count, len(self._values))]
        return int((kept > seconds).sum())

    def summary_ms(self) -> dict[str, float]:
        """Return p50, p95 and p99 in milliseconds, rounded to microseconds."""
        return {f"p{p}": round(self.percentile_ms(p), 3) for p in (50, 95, 99)}
