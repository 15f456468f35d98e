"""What a recogniser's process and its owner say to each other: pure encoding.

To the process: `_HEADER` (kind, bytes that follow, session sample), then
little-endian int16 audio. From it: one JSON object a line.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast

import numpy as np

from streamer.asr.gate import Pcm
from streamer.asr.hypothesis import Hypothesis, Spoken
from streamer.types import Float32

_HEADER: Final = struct.Struct("<cIQ")
_AUDIO, _FLUSH = b"A", b"F"

MAX_LINE: Final = 1 << 20
"""Bytes of one answer; no utterance of ours is that long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Samples from a session sample on."""

    start: int
    pcm: Pcm


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """The utterance under way is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The model is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The model cannot be loaded, and why."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Everything up to a session sample has been heard; with it what there was to say."""

    sample: int
    hypotheses: tuple[Hypothesis, ...] = ()
    flushed: bool = False


Answer = Ready | Failed | Heard


def audio_bytes(start: int, samples: Float32) -> bytes:
    """Return float samples [n] in -1..1 as a message."""
    pcm = np.clip(np.round(samples * 32768.0), -32768, 32767).astype("<i2").tobytes()
    return _HEADER.pack(_AUDIO, len(pcm), start) + pcm


def flush_bytes() -> bytes:
    """Return the message that ends an utterance."""
    return _HEADER.pack(_FLUSH, 0, 0)


def read_message(stream: BinaryIO) -> Audio | Flush | None:
    """Wait for the next message; None when the other side has gone."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    kind, length, start = _HEADER.unpack(header)
    if kind == _FLUSH:
        return Flush()
    data = stream.read(length)
    if len(data) < length:
        return None
    return Audio(start=start, pcm=np.frombuffer(data, "<i2").astype(np.int16))


def answer_line(answer: Answer) -> bytes:
    """Return an answer as a line."""
    match answer:
        case Ready():
            message: dict[str, Any] = {"ready": True}
        case Failed(message=why):
            message = {"failed": why}
        case Heard():
            message = {"heard": answer.sample, "flushed": answer.flushed}
            message["said"] = [[h.utterance, h.final, h.heard, h.words] for h in answer.hypotheses]
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def read_answer(line: bytes) -> Answer:
    """Read a line; raises `ValueError` for one that no worker of ours writes."""
    try:
        message = cast(dict[str, Any], json.loads(line))
        if "ready" in message:
            return Ready()
        if "failed" in message:
            return Failed(message=str(message["failed"]))
        said = tuple(
            Hypothesis(
                utterance=int(utterance),
                final=bool(final),
                heard=int(heard),
                words=tuple(Spoken(str(w[0]), int(w[1]), int(w[2])) for w in words),
            )
            for utterance, final, heard, words in message["said"]
        )
        return Heard(
            sample=int(message["heard"]), hypotheses=said, flushed=bool(message["flushed"])
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not an answer: {line[:80]!r}") from error
