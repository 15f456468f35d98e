"""The face that goes with the voice: a talking mouth and blinking, for who has no tracker."""

from dataclasses import replace
from typing import Final

import numpy as np

from streamer.clock import SAMPLE_RATE
from streamer.mouth import VOWELS, Mouth
from streamer.types import AudioChunk, Float32, Hello, SkeletonFrame

EXPRESSIONS: Final = (*VOWELS, "blink")
"""The order of `SkeletonFrame.face`: VRM 1.0's names, 0 to 1 each."""

_SHUT_S: Final = 0.06
_OPEN_S: Final = 0.14
_MOUTH_FALLS: Final = 0.4  # of what a mouth has left from one frame to the next


class Blink:
    """Lids that close every few seconds, sometimes twice; the same seed, the same lids."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng([0xB11C, seed])
        self._at = float(self._random.uniform(1, 3))

    def __call__(self, seconds: float) -> float:
        """Return how far they are shut, 0 to 1; time does not go back by more than a blink."""
        while seconds > self._at + _OPEN_S:
            again = self._random.random() < 0.15
            self._at += 0.3 if again else float(2 + 4 * self._random.random() ** 1.5)
            if self._at < seconds - 10:  # a long silence lies between
                self._at = seconds
        before, after = (self._at - seconds) / _SHUT_S, (seconds - self._at) / _OPEN_S
        return float(min(max(1 - max(before, after), 0.0), 1.0))


class Face:
    """Gives the frames of one voice their face; the event loop's alone.

    seed: of the blinks.
    """

    def __init__(self, *, seed: int = 0, fps: float = 15.0) -> None:
        self._mouth = Mouth()
        self._blink = Blink(seed)
        self._span = round(SAMPLE_RATE / fps)
        self._shown = np.zeros(len(VOWELS))

    def hear(self, chunk: AudioChunk) -> None:
        """Take audio as it goes into the session."""
        self._mouth.hear(chunk)

    def apply(self, frame: SkeletonFrame) -> SkeletonFrame:
        """Return the frame with its face: `EXPRESSIONS` of its own samples.

        A mouth opens at once and closes over a few frames, as mouths do.
        """
        vowels = self._mouth.at(frame.sample, frame.sample + self._span)
        self._shown = np.maximum(vowels, np.minimum(self._shown, 1) * _MOUTH_FALLS)
        # Two vowels at full strength open no mouth further than one.
        shown = self._shown / max(1.0, float(self._shown.sum()))
        shown = np.where(shown < 0.02, 0, shown)
        return replace(frame, face=_frozen([*shown, self._blink(frame.sample / SAMPLE_RATE)]))


def with_face(hello: Hello) -> Hello:
    """Return the header of a stream whose frames have faces."""
    return replace(hello, face=EXPRESSIONS)


def scaled(frame: SkeletonFrame, mouth: float) -> SkeletonFrame:
    """Return a frame whose mouth opens only so far, 0 to 1; lids are left alone."""
    if frame.face is None or mouth == 1.0:
        return frame
    return replace(frame, face=_frozen([*(frame.face[:-1] * mouth), frame.face[-1]]))


def _frozen(values: list[float]) -> Float32:
    face = np.array(values, np.float32)
    face.flags.writeable = False
    return face
