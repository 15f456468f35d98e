"""The stream on the wire: hello, frames and events, as JSON text and as bytes.

Pure functions; `clients/PROTOCOL.md` is their description for other languages,
`clients/protocol.schema.json` the check that tests hold both to. What clients
say is in `streamer.wire_requests`.

A binary frame is little-endian: the 36-byte header of `_HEADER`, then float32
rotations [B, 4], and positions [J, 3], directions [D, 3] and the face [E] where
its flags say so. Hello and events are JSON text under both subprotocols.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, cast, get_args

import numpy as np

from streamer.clock import SAMPLE_RATE
from streamer.errors import ProtocolError
from streamer.types import (
    Event,
    EventKind,
    Float32,
    Hello,
    Latency,
    SkeletonFrame,
    VoiceState,
    WordEvent,
)

PROTOCOL: Final = "gesture.v1"
JSON_SUBPROTOCOL: Final = "gesture.v1.json"
BINARY_SUBPROTOCOL: Final = "gesture.v1.bin"
SUBPROTOCOLS: Final = (JSON_SUBPROTOCOL, BINARY_SUBPROTOCOL)

MAX_IN_FLIGHT: Final = 4
"""Frames that a client may leave unacknowledged before newer ones replace them."""

INCLUDES: Final = frozenset({"positions", "directions", "face"})
"""What a frame may carry beyond its rotations."""

NOTHING: Final[frozenset[str]] = frozenset()

DECIMALS: Final = 5
"""Of every number of a JSON frame: 0.01 mm, and 0.001 degrees of a rotation."""


class CloseCode(IntEnum):
    """Why the server closes a client; 1000 and 1001 are ends in good order."""

    BAD_MESSAGE = 4400
    UNAUTHORISED = 4401
    SILENT = 4408
    TOO_SLOW = 4410
    TOO_LARGE = 4413
    FLOOD = 4429
    FAILED = 4500
    FULL = 4503


_MAGIC: Final = b"GSTF"
_BINARY_VERSION: Final = 1
_HEADER: Final = struct.Struct("<4sBBBBIIQ3f")
_RESET, _POSITIONS, _DIRECTIONS, _FACE = 1, 2, 4, 8
_STATES: Final[tuple[VoiceState, ...]] = ("idle", "listening", "speaking")
_EVENTS: Final[tuple[str, ...]] = get_args(EventKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How many bones, joints, direction vectors and expressions a frame has at most."""

    bones: int
    joints: int
    directions: int
    face: int = 0

    @classmethod
    def of(cls, hello: Hello) -> "Layout":
        """Return the layout that a hello announces."""
        return cls(
            bones=len(hello.bones),
            joints=len(hello.joints),
            directions=len(hello.directions),
            face=len(hello.face),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WireFrame:
    """A frame as a client sees it: no wall times, a sequence number instead.

    rotations [B, 4], root [3], positions [J, 3], directions [D, 3] and face [E];
    the last three are None unless they were subscribed to, the face also where
    the stream has none.
    """

    seq: int
    index: int
    sample: int
    state: VoiceState
    reset: bool
    root: Float32
    rotations: Float32
    positions: Float32 | None = None
    directions: Float32 | None = None
    face: Float32 | None = None


def dumps(message: Mapping[str, Any]) -> str:
    """Return a message as compact JSON; raises `ProtocolError` on NaN or infinity."""
    try:
        return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ProtocolError(
            f"{message.get('type')} message holds a number that is not finite; it was not sent"
        ) from error


def loads(text: str) -> dict[str, Any]:
    """Read one message: a JSON object with a string `type` and finite numbers.

    Raises `ProtocolError` for anything else.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if "\\ud" in text.lower():  # half a surrogate pair could never be sent on
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"message is not JSON: {str(error)[:80]}") from error
    if not isinstance(value, dict):
        raise ProtocolError("message is not a JSON object")
    message = cast(dict[str, Any], value)
    if not isinstance(message.get("type"), str):
        raise ProtocolError("message has no string 'type'")
    return message


def hello_json(hello: Hello) -> str:
    """Return the header of a stream: every name and rest offset, once."""
    latency = hello.latency
    face = {"face": hello.face} if hello.face else {}
    return dumps(
        {
            "type": "hello",
            "protocol": PROTOCOL,
            "version": hello.version,
            "session": hello.session,
            "model": hello.model,
            "backend": hello.backend,
            "fps": hello.fps,
            "sample_rate": SAMPLE_RATE,
            "lookahead": hello.lookahead,
            "coordinates": "vrm1",
            "units": "m",
            "rotation": "normalized_local_xyzw",
            "bones": hello.bones,
            "parents": hello.parents,
            "rest": _rounded(hello.rest),
            "joints": hello.joints,
            "directions": hello.directions,
            "latency_ms": {
                "algorithmic": round(latency.algorithmic_ms, 2),
                "compute": round(latency.compute_ms, 2),
                "mic_to_wire": round(latency.mic_to_wire_ms, 2),
                "visible": round(latency.visible_ms, 2),
            },
            "avatar": dict(hello.avatar),
            "ack": {"max_in_flight": MAX_IN_FLIGHT},
            **face,
        }
    )


def frame_json(frame: SkeletonFrame, seq: int, include: frozenset[str] = NOTHING) -> str:
    """Return a frame as JSON text; `include` is a subset of `INCLUDES`.

    Raises `ProtocolError` when the pose is not finite.
    """
    message: dict[str, Any] = {
        "type": "frame",
        "seq": seq,
        "index": frame.index,
        "sample": frame.sample,
        "t": frame.sample / SAMPLE_RATE,
        "state": frame.state,
        "reset": frame.reset,
        "root": _rounded(frame.root),
        "rotations": _rounded(frame.rotations),
    }
    if "positions" in include:
        message["positions"] = _rounded(frame.positions)
    if "directions" in include:
        message["directions"] = _rounded(frame.directions)
    if "face" in include and frame.face is not None:
        message["face"] = _rounded(frame.face)
    return dumps(message)


def frame_bytes(frame: SkeletonFrame, seq: int, include: frozenset[str] = NOTHING) -> bytes:
    """Return a frame as bytes; `include` is a subset of `INCLUDES`.

    Raises `ProtocolError` when the pose is not finite.
    """
    flags = _RESET if frame.reset else 0
    arrays = [frame.rotations]
    if "positions" in include:
        flags |= _POSITIONS
        arrays.append(frame.positions)
    if "directions" in include:
        flags |= _DIRECTIONS
        arrays.append(frame.directions)
    if "face" in include and frame.face is not None:
        flags |= _FACE
        arrays.append(frame.face)
    if not all(np.isfinite(a).all() for a in (frame.root, *arrays)):
        raise ProtocolError(f"frame {frame.index} is not finite; it was not sent")
    x, y, z = (float(v) for v in frame.root)
    state = _STATES.index(frame.state)
    header = _HEADER.pack(
        _MAGIC, _BINARY_VERSION, flags, state, 0, seq, frame.index, frame.sample, x, y, z
    )
    return b"".join([header, *(np.ascontiguousarray(a, "<f4").tobytes() for a in arrays)])


def event_json(event: Event) -> str:
    """Return an event as JSON text, its data beside its own three keys."""
    own = {"type": "event", "event": event.kind, "sample": event.sample}
    if clash := own.keys() & event.data.keys():
        raise ValueError(f"event {event.kind}: data may not hold {sorted(clash)}")
    return dumps({**own, **event.data})


def word_event(word: WordEvent) -> Event:
    """Return the `word` event that tells viewers of a word."""
    return Event(
        kind="word",
        sample=word.start,
        data={
            "text": word.text,
            "start": word.start,
            "end": word.end,
            "final": word.final,
            "revision": word.revision,
        },
    )


def decode_hello(text: str) -> Hello:
    """Read a hello; raises `ProtocolError` if it is none or of another protocol."""
    message = loads(text)
    if message["type"] != "hello" or message.get("protocol") != PROTOCOL:
        got = message.get("protocol", message["type"])
        raise ProtocolError(f"expected a {PROTOCOL} hello, got {got!r}; update the older side")
    try:
        bones = tuple(str(b) for b in message["bones"])
        latency = message["latency_ms"]
        hello = Hello(
            session=str(message["session"]),
            version=str(message["version"]),
            model=str(message["model"]),
            backend=str(message["backend"]),
            fps=float(message["fps"]),
            lookahead=int(message["lookahead"]),
            bones=bones,
            parents=tuple(int(p) for p in message["parents"]),
            rest=_array(message["rest"], len(bones), 3),
            joints=tuple(str(j) for j in message["joints"]),
            directions=tuple(str(d) for d in message["directions"]),
            latency=Latency(
                algorithmic_ms=float(latency["algorithmic"]),
                compute_ms=float(latency["compute"]),
                mic_to_wire_ms=float(latency["mic_to_wire"]),
                visible_ms=float(latency["visible"]),
            ),
            avatar=cast(dict[str, Any], dict(message["avatar"])),
            face=tuple(str(e) for e in message.get("face", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"hello: missing or malformed field ({error!r})") from error
    if len(hello.parents) != len(bones):
        raise ProtocolError(f"hello: {len(bones)} bones but {len(hello.parents)} parents")
    return hello


def decode_frame_json(text: str, layout: Layout) -> WireFrame:
    """Read a JSON frame; raises `ProtocolError` where it does not fit the layout."""
    message = loads(text)
    try:
        if message["type"] != "frame":
            raise ValueError(message["type"])
        frame = WireFrame(
            seq=_count(message["seq"]),
            index=_count(message["index"]),
            sample=_count(message["sample"]),
            state=_STATES[_STATES.index(message["state"])],
            reset=message["reset"] is True,
            root=_array(message["root"], 1, 3)[0],
            rotations=_array(message["rotations"], layout.bones, 4),
            positions=_optional(message, "positions", layout.joints),
            directions=_optional(message, "directions", layout.directions),
            face=_array(message["face"], 1, layout.face)[0] if "face" in message else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"frame: missing or malformed field ({error!r})") from error
    return frame


def decode_frame_bytes(data: bytes, layout: Layout) -> WireFrame:
    """Read a binary frame; raises `ProtocolError` where it does not fit the layout."""
    if len(data) < _HEADER.size:
        raise ProtocolError(f"binary frame of {len(data)} bytes, header has {_HEADER.size}")
    fields: tuple[Any, ...] = _HEADER.unpack_from(data)
    magic, version, flags, _, _, seq, index, sample, *root = fields
    state: int = fields[3]
    if (magic, version) != (_MAGIC, _BINARY_VERSION):
        raise ProtocolError(f"binary frame starts with {magic!r} version {version}")
    if state >= len(_STATES):
        raise ProtocolError(f"binary frame has voice state {state}, expected 0 to 2")
    shapes: dict[str, tuple[int, int]] = {"rotations": (layout.bones, 4)}
    if flags & _POSITIONS:
        shapes["positions"] = (layout.joints, 3)
    if flags & _DIRECTIONS:
        shapes["directions"] = (layout.directions, 3)
    if flags & _FACE:
        shapes["face"] = (layout.face, 1)
    want = _HEADER.size + 4 * sum(rows * columns for rows, columns in shapes.values())
    if len(data) != want:
        raise ProtocolError(f"binary frame of {len(data)} bytes, its flags and hello say {want}")
    values = np.frombuffer(data, "<f4", offset=_HEADER.size).astype(np.float32)
    if not (np.isfinite(values).all() and all(math.isfinite(r) for r in root)):
        raise ProtocolError(f"binary frame {index} is not finite")
    arrays: dict[str, Float32] = {}
    start = 0
    for name, shape in shapes.items():
        end = start + shape[0] * shape[1]
        arrays[name] = values[start:end].reshape(shape)
        start = end
    return WireFrame(
        seq=seq,
        index=index,
        sample=sample,
        state=_STATES[state],
        reset=bool(flags & _RESET),
        root=np.array(root, np.float32),
        rotations=arrays["rotations"],
        positions=arrays.get("positions"),
        directions=arrays.get("directions"),
        face=arrays["face"][:, 0] if "face" in arrays else None,
    )


def decode_event(text: str) -> Event:
    """Read an event; raises `ProtocolError` for an unknown kind or a bad sample."""
    message = loads(text)
    kind, sample = message.pop("event", None), message.pop("sample", None)
    if message.pop("type") != "event" or kind not in _EVENTS:
        raise ProtocolError(f"unknown event {kind!r}; expected one of {', '.join(_EVENTS)}")
    try:
        return Event(kind=cast(EventKind, kind), sample=_count(sample), data=message)
    except ValueError as error:
        raise ProtocolError(f"event {kind}: 'sample' {error}") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def _rounded(array: Float32) -> list[float]:
    # Rounded as float64, so that json writes 0.12345 and not the nearest float32
    # in full; + 0.0 turns the -0.0 that rounding leaves into 0.0.
    rounded = np.round(array.astype(np.float64), DECIMALS) + 0.0
    return rounded.ravel().tolist()


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _array(values: Any, rows: int, columns: int) -> Float32:
    array = np.asarray(values)
    if array.shape != (rows * columns,) or array.dtype.kind not in "if":
        raise ValueError(f"expected {rows * columns} numbers, got {array.dtype} {array.shape}")
    with np.errstate(over="ignore"):
        single = array.astype(np.float32).reshape(rows, columns)
    if not np.isfinite(single).all():
        raise ValueError("a number is too large for float32")
    return single


def _optional(message: Mapping[str, Any], key: str, rows: int) -> Float32 | None:
    return _array(message[key], rows, 3) if key in message else None
