"""A short streaming resampler for live audio.

`soxr` buffers 20 to 35 ms at 48 to 16 kHz, which is right for files and wrong
for a microphone. This one waits for 2.75 ms of audio and no more.
"""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from streamer.clock import SAMPLE_RATE
from streamer.types import Float32

_HALF_S = 0.00275
_ATTENUATION_DB = 75.0
# A Kaiser window of this length falls by that much within 850 Hz.
_TRANSITION_HZ = (_ATTENUATION_DB - 7.95) / (2.285 * 2 * np.pi * 2 * _HALF_S)


class FirResampler:
    """Resamples mono audio of one stream to 16 kHz by an exact ratio, chunk by chunk.

    A windowed sinc of 5.5 ms, centred on each output sample: output sample k is
    the input at time k / 16000 s, and leaves once the input reaches 2.75 ms past
    it (`delay_s`). Flat within 0.02 dB up to 850 Hz below the lower Nyquist
    frequency, 70 dB down from there on. Any chunking gives identical output.
    """

    def __init__(self, rate: int) -> None:
        ratio = Fraction(SAMPLE_RATE, rate)
        self._up, self._down = ratio.numerator, ratio.denominator
        self._half = int(_HALF_S * rate)
        self._bank = _design(self._up, rate, self._half)
        self._held = np.zeros(self._half, np.float64)
        self._first = -self._half  # input index of _held[0]
        self._next = 0  # output index that comes next
        self._rate = rate

    @property
    def delay_s(self) -> float:
        """How much audio past an output sample is awaited before it leaves, in seconds."""
        return self._half / self._rate

    @property
    def pending_s(self) -> float:
        """How far the output lags behind the end of the input by now, in seconds."""
        end = self._first + len(self._held)
        return float(Fraction(end, self._rate) - Fraction(self._next, SAMPLE_RATE))

    def push(self, samples: Float32) -> Float32:
        """Return the samples at 16 kHz that this input [n] completes."""
        parts = [
            self._push(samples[at : at + self._rate // 10])
            for at in range(0, len(samples), self._rate // 10)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _push(self, samples: Float32) -> Float32:
        """Do as `push` for at most 0.1 s, which bounds the memory of the products."""
        self._held = np.concatenate([self._held, samples])
        # Output k needs input up to floor(k * down / up) + half.
        reach = self._first + len(self._held) - self._half
        count = max(0, -(-reach * self._up // self._down) - self._next)
        if not count:
            return np.zeros(0, np.float32)
        rows = np.lib.stride_tricks.sliding_window_view(self._held, 2 * self._half + 1)
        centres, phases = np.divmod(
            np.arange(self._next, self._next + count) * self._down, self._up
        )
        starts = centres - self._half - self._first
        # One dot product per output in float64, whatever the chunk: rounding to
        # float32 then hides any difference in the order of summation.
        if self._up == 1:  # a view will do, and is many times faster at high rates
            rows = rows[starts[0] :: self._down][:count]
            out = np.einsum("ij,j->i", rows, self._bank[0])
        else:
            out = np.einsum("ij,ij->i", rows[starts], self._bank[phases])
        self._next += count
        keep = self._next * self._down // self._up - self._half - self._first
        self._held = self._held[keep:]
        self._first += keep
        return np.asarray(out, np.float32)


def _design(up: int, rate: int, half: int) -> npt.NDArray[np.float64]:
    """Return the taps [up, 2 * half + 1] of each phase; each row sums to 1.

    Row p holds the weights of the inputs around an output that lies p / up
    input samples after the centre tap.
    """
    cutoff = (min(rate, SAMPLE_RATE) - _TRANSITION_HZ) / rate  # of the input's Nyquist
    offsets = np.arange(-half, half + 1) - np.arange(up)[:, None] / up
    inside = np.clip(1 - np.square(offsets / (half + 1)), 0, None)
    beta = 0.1102 * (_ATTENUATION_DB - 8.7)
    taps = np.sinc(cutoff * offsets) * np.i0(beta * np.sqrt(inside))
    return taps / taps.sum(axis=1, keepdims=True)
