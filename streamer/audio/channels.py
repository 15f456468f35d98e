"""Many channels to one voice."""

import numpy as np

from streamer.types import Float32

_MEMORY_S = 0.3
_LOUDER = 4.0  # 6 dB


class StrongestChannel:
    """Mixes a device's or a file's channels to mono by following the strongest one.

    A mean would divide a voice on input 1 of an 8-channel interface by 8, comb
    an array of microphones and cancel a headset that is wired out of phase; one
    channel at full level does none of that. Another channel takes over when it
    has been 6 dB stronger, with a memory of 0.3 s and a cross-fade over one
    block; two people on two channels are therefore both heard.

    Give it blocks of about 10 ms: the decision is made once a block.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._power = np.zeros(0, np.float32)
        self._channel = 0

    def mix(self, block: Float32) -> Float32:
        """Return a block [n, channels] as [n]."""
        frames, channels = block.shape
        if channels == 1 or not frames:
            return np.ascontiguousarray(block[:, 0])
        power = np.asarray(np.mean(np.square(block), axis=0), np.float32)
        if len(self._power) != channels:
            self._power = power
            self._channel = int(np.argmax(power))
        keep = np.float32(np.exp(-frames / (self._rate * _MEMORY_S)))
        self._power = np.asarray(keep * self._power + (1 - keep) * power, np.float32)
        before = block[:, self._channel]
        strongest = int(np.argmax(self._power))
        if self._power[strongest] <= _LOUDER * self._power[self._channel]:
            return np.ascontiguousarray(before)
        self._channel = strongest
        fade = np.linspace(0, 1, frames).astype(np.float32)
        return np.asarray((1 - fade) * before + fade * block[:, strongest], np.float32)
