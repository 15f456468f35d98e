"""Cuts a stream into utterances, so that a recogniser rests while nobody speaks: pure."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.clock import SAMPLE_RATE

Pcm = npt.NDArray[np.int16]

FRAME = SAMPLE_RATE // 50
BEFORE = round(0.3 * SAMPLE_RATE) // FRAME
"""Frames before the voice that an utterance begins with: soft onsets."""
PAUSE = round(0.5 * SAMPLE_RATE) // FRAME
"""Quiet frames that end an utterance."""
LONGEST = 20 * SAMPLE_RATE // FRAME
"""Frames after which an utterance ends at the first quiet one, or soon anyway."""

_WITHIN, _VOICED = 6, 4
_LIMIT = LONGEST + 3 * SAMPLE_RATE // FRAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of an utterance: int16 samples from a session sample on.

    first: an utterance begins with it; last: it ends the utterance and may be empty.
    """

    start: int
    pcm: Pcm
    first: bool = False
    last: bool = False


class VoiceGate:
    """Lets voice through, in utterances, with 0.3 s before and 0.5 s behind it.

    is_voice: tells whether 20 ms of little-endian int16 are voice.
    """

    def __init__(self, is_voice: Callable[[bytes], bool]) -> None:
        self._is_voice = is_voice
        self._next = 0
        self._rest: Pcm = np.zeros(0, np.int16)
        self._frames = deque[Pcm](maxlen=BEFORE)
        self._votes = deque[bool](maxlen=_WITHIN)
        self._open = False
        self._length = self._quiet = 0

    def push(self, start: int, pcm: Pcm) -> Iterator[Piece]:
        """Yield what of the audio is voice; a gap before `start` ends an utterance."""
        if start != self._next:
            yield from self.flush()
            self._next = start
        at = self._next - len(self._rest)
        joined = np.concatenate([self._rest, pcm])
        self._next = start + len(pcm)
        whole = len(joined) - len(joined) % FRAME
        self._rest = joined[whole:]
        for i in range(0, whole, FRAME):
            yield from self._frame(at + i, joined[i : i + FRAME])

    def flush(self) -> Iterator[Piece]:
        """End the utterance under way, if there is one, and forget what came before."""
        if self._open:
            yield Piece(start=self._next - len(self._rest), pcm=self._rest, last=True)
        self._rest = np.zeros(0, np.int16)
        self._close()
        self._frames.clear()

    def _frame(self, start: int, pcm: Pcm) -> Iterator[Piece]:
        voiced = self._is_voice(pcm.astype("<i2").tobytes())
        if not self._open:
            yield from self._wait(start, pcm, voiced)
            return
        self._length += 1
        self._quiet = 0 if voiced else self._quiet + 1
        tired = self._length >= LONGEST and (self._quiet > 0 or self._length >= _LIMIT)
        ends = self._quiet >= PAUSE or tired
        yield Piece(start=start, pcm=pcm, last=ends)
        if ends:
            self._close()

    def _wait(self, start: int, pcm: Pcm, voiced: bool) -> Iterator[Piece]:
        self._votes.append(voiced)
        if sum(self._votes) < _VOICED:
            self._frames.append(pcm)
            return
        before = [*self._frames, pcm]
        self._open, self._length = True, len(before)
        self._frames.clear()
        earlier = FRAME * (len(before) - 1)
        yield Piece(start=start - earlier, pcm=np.concatenate(before), first=True)

    def _close(self) -> None:
        self._open = False
        self._length = self._quiet = 0
        self._votes.clear()


def webrtc_gate() -> VoiceGate:
    """Return a gate that asks WebRTC's voice activity detector."""
    import webrtcvad

    detector: Any = webrtcvad.Vad(2)

    def is_voice(frame: bytes) -> bool:
        return bool(detector.is_speech(frame, SAMPLE_RATE))

    return VoiceGate(is_voice)
