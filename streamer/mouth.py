"""Which vowel a mouth should show, from the voice: five visemes, 100 times a second.

A spectral classifier of our own: log-mel bands of 25 ms, freed of the speaker's
and the microphone's colour by their running mean, and a network of 2 500 weights.
`training/visemes.py` fits it and measures its confusions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamer.clock import SAMPLE_RATE
from streamer.types import AudioChunk, Float32

VOWELS: Final = ("aa", "ih", "ou", "ee", "oh")
"""VRM 1.0's names: as in father, machine, rule, bed, thought."""

CLASSES: Final = ("none", *VOWELS)
"""`none`: silence, closed lips, and consonants that show no vowel."""

WINDOW: Final = 400
HOP: Final = 160
BANDS: Final = 24
REACH: Final = 3
"""Hops to either side that the classifier sees too."""

_FFT: Final = 512
_LOW_HZ, _HIGH_HZ = 100.0, 7_000.0
_FLOOR: Final = 1e-8
_PRIOR: Final = 100.0  # hops of an average speaker that a new one starts with
_MEMORY: Final = 600.0  # voiced hops after which the colour is forgotten by a half
_QUIET_DB: Final = -55.0  # below it nobody speaks
_RANGE_DB: Final = 24.0  # from a closed to an open mouth
_FALL_DB: Final = 0.02  # by which the loudest that was heard fades, a hop: 2 dB a second
_KEPT_S: Final = 30.0  # a rendering hears far ahead of its frames


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VowelNet:
    """The classifier's numbers. colour: [BANDS] of an average speaker.

    first [3 * BANDS, H], second [H, 6] and their biases: two layers, tanh between.
    """

    colour: Float32
    first: Float32
    first_bias: Float32
    second: Float32
    second_bias: Float32

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "VowelNet":
        """Return the net of a mapping by these names."""
        return cls(**{name: np.array(data[name], np.float32) for name in cls.__slots__})

    def __call__(self, inputs: Float32) -> Float32:
        """Return the share of each class [N, 6] for inputs [N, 3 * BANDS]."""
        hidden = np.tanh(inputs @ self.first + self.first_bias)
        scores = hidden @ self.second + self.second_bias
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        return (shares / shares.sum(-1, keepdims=True)).astype(np.float32)


@cache
def vowel_net() -> VowelNet:
    """Return the net that comes with us."""
    text = (files("streamer") / "data" / "mouth.json").read_text("utf-8")
    return VowelNet.of(json.loads(text))


@cache
def _bank() -> Float32:
    """Return the mel triangles [_FFT / 2 + 1, BANDS]."""
    mel = np.linspace(_mel(_LOW_HZ), _mel(_HIGH_HZ), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hertz = np.arange(_FFT // 2 + 1) * SAMPLE_RATE / _FFT
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0).astype(np.float32)


@cache
def _taper() -> Float32:
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def _mel(hertz: float) -> float:
    return 2595 * float(np.log10(1 + hertz / 700))


def bands(samples: Float32) -> tuple[Float32, Float32]:
    """Return log bands [N, BANDS] and levels [N] in dB of full scale, a hop apart.

    samples: [(N - 1) * HOP + WINDOW]; hop n covers the WINDOW from n * HOP on.
    """
    count = (len(samples) - WINDOW) // HOP + 1
    views = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP][:count]
    level = 10 * np.log10((views * views).mean(-1) + 1e-12)
    sharpened = np.diff(views, axis=-1, prepend=views[:, :1]) + 0.03 * views
    power = np.abs(np.fft.rfft(sharpened * _taper(), _FFT)) ** 2
    return np.log(power.astype(np.float32) @ _bank() + _FLOOR), level.astype(np.float32)


def stacked(clear: Float32) -> Float32:
    """Return each hop [N, BANDS] between those REACH before and after it: [N - 2 REACH, ...]."""
    return np.concatenate([clear[: -2 * REACH], clear[REACH:-REACH], clear[2 * REACH :]], axis=-1)


class Mouth:
    """Hears one voice and tells how its mouth stands; any one thread may.

    The same samples give the same mouth, however they were cut.
    """

    def __init__(self, net: VowelNet | None = None) -> None:
        self._net = net or vowel_net()
        self._audio = np.zeros(0, np.float32)
        self._start = 0
        self._next = 0  # the next hop to be read
        self._colour = self._net.colour.copy()
        self._weight = _PRIOR
        self._peak = -30.0
        self._clear: list[Float32] = []
        self._opened: list[float] = []
        self._first = 0  # the hop of `_clear[0]`

    def hear(self, chunk: AudioChunk) -> None:
        """Take audio; what is missing before it is silence, what was there is ignored.

        More than a second back in time, or 30 s ahead, is another stream by the
        same voice.
        """
        end = self._start + len(self._audio)
        samples = chunk.samples[max(end - chunk.start, 0) :]
        gap = chunk.start - end
        if gap < -SAMPLE_RATE or gap > _KEPT_S * SAMPLE_RATE:
            samples = chunk.samples
            self._audio, self._start = np.zeros(0, np.float32), chunk.start
            self._next = self._first = -(-chunk.start // HOP)
            self._clear, self._opened = [], []
        elif gap > 0:
            samples = np.concatenate([np.zeros(gap, np.float32), samples])
        self._audio = np.concatenate([self._audio, samples])
        self._read()

    def at(self, start: int, end: int) -> npt.NDArray[np.float64]:
        """Return the five vowels, 0 to 1 each, of the samples from start to end.

        Of the loudest third of that time, because a short vowel must be seen.
        What was not heard yet, or is more than 30 s old, is a closed mouth.
        """
        middle = WINDOW // 2
        _, shares, opened = self.shares((start - middle) // HOP + 1, (end - middle) // HOP + 1)
        if not len(shares):
            return np.zeros(len(VOWELS))
        shown = shares[:, 1:] * opened[:, None]
        most = max(1, len(shown) // 3)
        return np.sort(shown.sum(-1))[-most:].mean() * _unit(shown.sum(0))

    def shares(self, low: int, high: int) -> tuple[int, Float32, Float32]:
        """Return shares of the classes [N, 6], and how open the mouth is [N], of known hops.

        low, high: which hops are wanted; first comes the first one of the N.
        """
        low, high = max(low, self._first + REACH), min(high, self._next - REACH)
        if low >= high:
            return low, np.zeros((0, len(CLASSES)), np.float32), np.zeros(0, np.float32)
        clear = np.array(self._clear[low - REACH - self._first : high + REACH - self._first])
        opened = np.array(self._opened[low - self._first : high - self._first], np.float32)
        return low, self._net(stacked(clear)), opened

    def _read(self) -> None:
        last = (self._start + len(self._audio) - WINDOW) // HOP + 1
        if last <= self._next:
            return
        found, levels = bands(self._audio[self._next * HOP - self._start :])
        for hop, level in zip(found, levels.tolist(), strict=True):
            self._peak = max(self._peak - _FALL_DB, level, _QUIET_DB + _RANGE_DB)
            if level > max(self._peak - _RANGE_DB, _QUIET_DB):
                self._weight = min(self._weight + 1, _MEMORY)
                self._colour = self._colour + (hop - self._colour) / np.float32(self._weight)
            self._clear.append(hop - self._colour)
            heard = level > _QUIET_DB
            self._opened.append(max(1 + (level - self._peak) / _RANGE_DB, 0.0) if heard else 0.0)
        self._next = last
        spare = len(self._clear) - round(_KEPT_S * SAMPLE_RATE / HOP)
        if spare > 0:
            del self._clear[:spare], self._opened[:spare]
            self._first += spare
        keep = self._next * HOP
        self._audio, self._start = self._audio[keep - self._start :], keep


def _unit(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = shares.sum()
    return shares / total if total > 1e-9 else shares
