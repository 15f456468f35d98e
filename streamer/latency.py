"""How late a session's frames are, measured (the words are DESIGN 3's)."""

from dataclasses import asdict

from streamer.durations import Durations
from streamer.metrics import Metrics
from streamer.spec import ModelSpec
from streamer.types import Event, Latency

_WIRE_GUESS_S = 0.015
"""Of the visible lag, until the first frame has been measured."""
_DISPLAY_S = 2 / 60
"""From a frame's arrival to light: one refresh until it is drawn, one until it is shown."""
_EVENT_S = 2.0


class LatencyMeter:
    """Measures one session; the event loop's alone.

    steps: how long the steps take, of all sessions together. wire_times: from
    the capture of a frame's last sample until the frame left the session.
    misses: frames for which that took longer than a step's frames last.
    """

    def __init__(
        self, spec: ModelSpec, *, lookahead: int, steps: Durations, metrics: Metrics
    ) -> None:
        self._metrics = metrics
        self.follow(spec, lookahead=lookahead, steps=steps)
        self.wire_times = Durations()
        self.misses = 0

    def follow(self, spec: ModelSpec, *, lookahead: int, steps: Durations) -> None:
        """Go on with another model; what was counted stays."""
        self._frame_s = 1 / float(spec.fps)
        self._frames = lookahead + spec.frames_per_step
        self._deadline_s = spec.frames_per_step * self._frame_s
        self._steps = steps
        self._every = round(_EVENT_S * float(spec.fps))

    def note(self, seconds: float, sample: int) -> Event | None:
        """Take the delay of the frame at `sample`; return a `latency` event now and then."""
        self.wire_times.add(seconds)
        if seconds > self._deadline_s:
            self.misses += 1
            self._metrics.deadline_miss()
        if self.wire_times.count % self._every:
            return None
        data = {name: round(value, 2) for name, value in asdict(self.latency()).items()}
        return Event(kind="latency", sample=sample, data=data)

    def latency(self) -> Latency:
        """Return medians; the display's share is assumed, the rest measured."""
        measured = self.wire_times.percentile_ms(50)
        wire_ms = measured if self.wire_times.count else _WIRE_GUESS_S * 1e3
        return Latency(
            algorithmic_ms=self._frames * self._frame_s * 1e3,
            compute_ms=self._steps.percentile_ms(50),
            mic_to_wire_ms=measured,
            visible_ms=((self._frames + 1) * self._frame_s + _DISPLAY_S) * 1e3 + wire_ms,
        )
