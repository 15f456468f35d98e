"""The values that cross module boundaries.

Arrays are float32 and read-only by convention; `S` is the slot axis, `J` the
joints and `D` the direction vectors of the skeleton, `B` the humanoid bones of
`streamer.humanoid.BONES`. Positions are metres and rotations are xyzw
quaternions, both in VRM 1.0 axes: right-handed, Y up, the character faces +Z
and its left is +X.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
Tensors = Mapping[str, npt.NDArray[Any]]

VoiceState = Literal["speaking", "listening", "idle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioChunk:
    """Mono audio at 16 kHz.

    samples: float32 [n] in [-1, 1]. start: index of the first sample since the
    session began. captured_at: `perf_counter` seconds at which the last sample
    was captured, for latency only. filled: samples of it that are counted
    silence in place of audio that never came.
    """

    samples: Float32
    start: int
    captured_at: float
    filled: int = 0

    @property
    def end(self) -> int:
        """One past the last sample."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordEvent:
    """A recognised or known word; start and end are session samples.

    A word enters the network in the first frame that is not yet computed when
    it arrives, never earlier (hop.md 12). `final` is False for a word that the
    recogniser may still revise; `revision` counts revisions of this word.
    """

    text: str
    start: int
    end: int
    final: bool = True
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The inputs of one step of one session, before batching.

    step: index of the step; with K frames a step it hears frames step * K to
    step * K + K - 1 and computes those `lookahead` before them.
    tensors: each named input of the manifest without the slot axis.
    start: the session's state is fresh in this step.
    captured_at: wall time at which the last sample it needs was captured.
    words: the words that enter in this step, at most one a frame.
    """

    step: int
    tensors: Tensors
    start: bool
    captured_at: float
    words: tuple[WordEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInputs:
    """One batched step: every tensor is [S, ...]; `start`, `ready` bool [S]."""

    tensors: Tensors
    start: Bool
    ready: Bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GestureState:
    """The saved state of one session: named host tensors without slot axis."""

    tensors: Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class SkeletonFrame:
    """One pose that leaves the engine.

    index: pose frame number since the session began; sample: the first audio
    sample it belongs to. rotations: [B, 4] normalised local rotations;
    root: [3] offset of the hips from rest; positions: [J, 3] joint positions
    with the pelvis at the rest height; directions: [D, 3] unit vectors.
    reset: the stream was reset before this frame. captured_at and emitted_at:
    wall times of the last sample it needed and of its leaving the session.
    face: [6], the `streamer.face.EXPRESSIONS` from 0 to 1; None where nobody
    makes a face for this voice.
    """

    index: int
    sample: int
    rotations: Float32
    root: Float32
    positions: Float32
    directions: Float32
    state: VoiceState
    reset: bool
    captured_at: float
    emitted_at: float
    face: Float32 | None = None


EventKind = Literal[
    "word",
    "caption",
    "reset",
    "stats",
    "latency",
    "avatar",
    "warning",
    "settings",
    "choices",
    "end",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that is not a pose: a word, a caption, a reset, statistics.

    sample: the session sample it belongs to. data: JSON-ready values.
    """

    kind: EventKind
    sample: int
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The measured latencies of DESIGN 3 in milliseconds."""

    algorithmic_ms: float
    compute_ms: float
    mic_to_wire_ms: float
    visible_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The header of a stream: all names and rests, sent once before frames.

    rest: [B, 3] offsets of each bone from its parent, metres. face: names of the
    expressions that frames carry, none where they carry none.
    """

    session: str
    version: str
    model: str
    backend: str
    fps: float
    lookahead: int
    bones: tuple[str, ...]
    parents: tuple[int, ...]
    rest: Float32
    joints: tuple[str, ...]
    directions: tuple[str, ...]
    latency: Latency
    avatar: Mapping[str, Any]
    face: tuple[str, ...] = ()
