"""What the server counts; Prometheus text when the `serve` extra is there.

A `Metrics` is made once and passed by value to whoever counts; there is no
global registry, so two servers in one process do not mix.
"""

from typing import Final, Protocol

INSTALL_HINT: Final = "metrics need the serve extra: pip install 'gesture-streamer[serve]'"

_STEP_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.0667, 0.1, 0.2, 0.5)
"""Seconds; 0.0667 is the frame at 15 fps, beyond which a step is late."""
_WIRE_BUCKETS: Final = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.05, 0.0667, 0.1, 0.2, 0.5, 1.0)


class Metrics(Protocol):
    """Counts; the event loop and the inference thread may both call it."""

    def step(self, seconds: float) -> None:
        """One step of the network took this long."""
        ...

    def mic_to_wire(self, seconds: float) -> None:
        """A frame left this long after its last sample was captured."""
        ...

    def sessions(self, open_now: int) -> None:
        """So many sessions are open."""
        ...

    def clients(self, connected: int) -> None:
        """So many clients are connected."""
        ...

    def frames_sent(self, sink: str, count: int = 1) -> None:
        """Frames that left through a sink."""
        ...

    def frames_dropped(self, sink: str, count: int = 1) -> None:
        """Frames that a slow viewer did not get."""
        ...

    def reset(self) -> None:
        """A session was reset."""
        ...

    def deadline_miss(self) -> None:
        """A step came too late."""
        ...

    def render(self) -> bytes | None:
        """Return the Prometheus text, None where nothing is counted."""
        ...


class NoMetrics:
    """Counts nothing."""

    def step(self, seconds: float) -> None:
        """Do nothing."""

    def mic_to_wire(self, seconds: float) -> None:
        """Do nothing."""

    def sessions(self, open_now: int) -> None:
        """Do nothing."""

    def clients(self, connected: int) -> None:
        """Do nothing."""

    def frames_sent(self, sink: str, count: int = 1) -> None:
        """Do nothing."""

    def frames_dropped(self, sink: str, count: int = 1) -> None:
        """Do nothing."""

    def reset(self) -> None:
        """Do nothing."""

    def deadline_miss(self) -> None:
        """Do nothing."""

    def render(self) -> bytes | None:
        """Return None."""
        return None


class PrometheusMetrics:
    """Counts with prometheus-client, in a registry of its own.

    Raises `ImportError` without the `serve` extra.
    """

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = registry = CollectorRegistry()
        self._step = Histogram(
            "gesture_step_seconds",
            "Duration of one step of the network",
            buckets=_STEP_BUCKETS,
            registry=registry,
        )
        self._wire = Histogram(
            "gesture_mic_to_wire_seconds",
            "From the capture of the last sample a frame needs to its bytes on the socket",
            buckets=_WIRE_BUCKETS,
            registry=registry,
        )
        self._sessions = Gauge("gesture_sessions", "Open sessions", registry=registry)
        self._clients = Gauge("gesture_clients", "Connected clients", registry=registry)
        self._sent = Counter("gesture_frames_sent", "Frames delivered", ["sink"], registry=registry)
        self._dropped = Counter(
            "gesture_frames_dropped", "Frames a slow viewer missed", ["sink"], registry=registry
        )
        self._resets = Counter("gesture_resets", "Session resets", registry=registry)
        self._misses = Counter("gesture_deadline_misses", "Late steps", registry=registry)

    def step(self, seconds: float) -> None:
        """Observe the duration of a step."""
        self._step.observe(seconds)

    def mic_to_wire(self, seconds: float) -> None:
        """Observe the latency of a frame."""
        self._wire.observe(seconds)

    def sessions(self, open_now: int) -> None:
        """Set the number of open sessions."""
        self._sessions.set(open_now)

    def clients(self, connected: int) -> None:
        """Set the number of connected clients."""
        self._clients.set(connected)

    def frames_sent(self, sink: str, count: int = 1) -> None:
        """Count delivered frames."""
        self._sent.labels(sink).inc(count)

    def frames_dropped(self, sink: str, count: int = 1) -> None:
        """Count dropped frames."""
        self._dropped.labels(sink).inc(count)

    def reset(self) -> None:
        """Count a reset."""
        self._resets.inc()

    def deadline_miss(self) -> None:
        """Count a late step."""
        self._misses.inc()

    def render(self) -> bytes | None:
        """Return the Prometheus text exposition."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


def open_metrics() -> Metrics:
    """Return metrics that count where the `serve` extra is installed."""
    try:
        return PrometheusMetrics()
    except ImportError:
        return NoMetrics()
