"""What clients say, decoded strictly into frozen dataclasses, and the answers.

Unknown keys are ignored, so that newer clients work with older servers; an
unknown type or a wrong type of value is a `ProtocolError`. Audio comes as
binary messages: the 16-byte header of `_AUDIO`, then mono PCM16 at 16 kHz.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, assert_never, cast

import numpy as np

from streamer.errors import ProtocolError
from streamer.types import AudioChunk, WordEvent
from streamer.wire import INCLUDES, PROTOCOL, CloseCode, dumps, loads

MAX_TEXT_BYTES: Final = 64 * 1024
MAX_AUDIO_BYTES: Final = 64 * 1024
MAX_CHUNK_BYTES: Final = 256 * 1024
"""Of one binary message of an avatar upload; the largest message of all."""
MAX_AVATAR_BYTES: Final = 100 * 1024 * 1024

_MAX_SAMPLE: Final = 2**53 - 1  # the largest integer that every JSON reader keeps exactly
_MAX_SEQ: Final = 2**32 - 1
_MAX_WORD: Final = 256
_MAX_NAME: Final = 255
_MAX_SETTINGS: Final = 64
_AUDIO: Final = struct.Struct("<4sBBHQ")
_AUDIO_MAGIC: Final = b"GSTA"
_AUDIO_VERSION: Final = 1

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHello:
    """The first message of a session, and of any client where a token is needed.

    lookahead, seed and style (weights by name) are a session's options; None
    leaves the choice to the model.
    """

    token: str | None = None
    lookahead: int | None = None
    seed: int = 0
    style: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """What frames carry from now on, beyond rotations: a subset of `INCLUDES`."""

    include: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """Every frame up to and including `seq` has been taken."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """Stop the gesture at hand: the speaker was cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Settings to change, by name."""

    settings: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choose:
    """Another microphone or model; without any it asks what there is.

    device, model: an `id` of a `choices` event; device may be `default`, the
    system's choice. rescan: first look for microphones that were plugged in.
    """

    device: str | None = None
    model: str | None = None
    rescan: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AvatarUpload:
    """A VRM file of `size` bytes follows in binary messages."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Asks for a `pong` with the same id."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """No more audio or words will come; the session may finish."""


Request = (
    ClientHello
    | Subscribe
    | Ack
    | WordEvent
    | Interrupt
    | Control
    | Choose
    | AvatarUpload
    | Ping
    | End
)


def decode_request(text: str) -> Request:
    """Read a client's text message; raises `ProtocolError` with the reason."""
    if len(text) > MAX_TEXT_BYTES:
        raise ProtocolError(
            f"text message of {len(text)} characters, at most {MAX_TEXT_BYTES}",
            code=CloseCode.TOO_LARGE,
        )
    m = loads(text)
    match m["type"]:
        case "hello":
            return _hello(m)
        case "subscribe":
            return Subscribe(include=_include(m))
        case "ack":
            return Ack(seq=_integer(m, "seq", _MAX_SEQ))
        case "word":
            return _word(m)
        case "interrupt":
            return Interrupt()
        case "control":
            return Control(settings=_settings(m))
        case "choose":
            return Choose(
                device=_string(m, "device", _MAX_NAME) if "device" in m else None,
                model=_string(m, "model", _MAX_NAME) if "model" in m else None,
                rescan=_boolean(m, "rescan", False),
            )
        case "avatar":
            return AvatarUpload(
                name=_string(m, "name", _MAX_NAME),
                size=_integer(m, "size", _MAX_SAMPLE),
                sha256=_digest(m),
            )
        case "ping":
            return Ping(id=_integer(m, "id", _MAX_SAMPLE))
        case "end":
            return End()
        case other:
            raise ProtocolError(f"unknown message type {str(other)[:40]!r}")


def encode_request(request: Request) -> str:
    """Return the text message for a request, as a client sends it."""
    match request:
        case ClientHello():
            options: dict[str, Any] = {"seed": request.seed}
            if request.lookahead is not None:
                options["lookahead"] = request.lookahead
            if request.style is not None:
                options["style"] = dict(request.style)
            message: dict[str, Any] = {"type": "hello", "protocol": PROTOCOL, "options": options}
            if request.token is not None:
                message["token"] = request.token
        case Subscribe():
            message = {"type": "subscribe", "include": sorted(request.include)}
        case Ack():
            message = {"type": "ack", "seq": request.seq}
        case WordEvent():
            message = {
                "type": "word",
                "text": request.text,
                "start": request.start,
                "end": request.end,
                "final": request.final,
                "revision": request.revision,
            }
        case Interrupt():
            message = {"type": "interrupt"}
        case Control():
            message = {"type": "control", "settings": dict(request.settings)}
        case Choose():
            message = {"type": "choose"}
            for key in ("device", "model"):
                if (value := getattr(request, key)) is not None:
                    message[key] = value
            if request.rescan:
                message["rescan"] = True
        case AvatarUpload():
            message = {
                "type": "avatar",
                "name": request.name,
                "size": request.size,
                "sha256": request.sha256,
            }
        case Ping():
            message = {"type": "ping", "id": request.id}
        case End():
            message = {"type": "end"}
        case _:
            assert_never(request)
    return dumps(message)


def pong_json(ping: Ping, *, sample: int, sent: int, dropped: int) -> str:
    """Answer a ping: the stream's last sample, and this client's own counts of frames."""
    return dumps(
        {"type": "pong", "id": ping.id, "sample": sample, "sent": sent, "dropped": dropped}
    )


def error_json(error: ProtocolError) -> str:
    """Say why this client is about to be closed."""
    return dumps({"type": "error", "code": error.code, "message": str(error)})


def upload_json(state: Literal["ready", "done", "refused"], received: int, message: str) -> str:
    """Answer an avatar upload: `ready` for its bytes, `done`, or `refused` and why."""
    return dumps({"type": "upload", "state": state, "received": received, "message": message})


def encode_audio(chunk: AudioChunk) -> bytes:
    """Return audio as a client sends it: header, then PCM16."""
    pcm = np.clip(np.round(chunk.samples * 32768.0), -32768, 32767).astype("<i2")
    return _AUDIO.pack(_AUDIO_MAGIC, _AUDIO_VERSION, 0, 0, chunk.start) + pcm.tobytes()


def decode_audio(data: bytes, received_at: float) -> AudioChunk:
    """Read a binary audio message; raises `ProtocolError` with the reason.

    received_at: our wall time, which stands for the capture time.
    """
    if len(data) > MAX_AUDIO_BYTES:
        raise ProtocolError(
            f"audio of {len(data)} bytes, at most {MAX_AUDIO_BYTES}", code=CloseCode.TOO_LARGE
        )
    if len(data) < _AUDIO.size:
        raise ProtocolError(f"audio of {len(data)} bytes, its header alone has {_AUDIO.size}")
    magic, version, _, _, start = _AUDIO.unpack_from(data)
    if (magic, version) != (_AUDIO_MAGIC, _AUDIO_VERSION):
        raise ProtocolError(f"audio starts with {magic!r} version {version}, expected GSTA 1")
    if start > _MAX_SAMPLE:
        raise ProtocolError(f"audio starts at sample {start}, at most {_MAX_SAMPLE}")
    if (len(data) - _AUDIO.size) % 2:
        raise ProtocolError("audio has half a sample; expected mono PCM16")
    pcm = np.frombuffer(data, "<i2", offset=_AUDIO.size)
    samples = pcm.astype(np.float32) / np.float32(32768)
    return AudioChunk(samples=samples, start=start, captured_at=received_at)


def _string(message: Mapping[str, Any], key: str, longest: int) -> str:
    value = message.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise ProtocolError(
            f"{message['type']}: {key!r} must be a text of 1 to {longest} characters"
        )
    return value


def _integer(message: Mapping[str, Any], key: str, largest: int) -> int:
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        raise ProtocolError(f"{message['type']}: {key!r} must be an integer from 0 to {largest}")
    return value


def _boolean(message: Mapping[str, Any], key: str, default: bool) -> bool:
    value = message.get(key, default)
    if not isinstance(value, bool):
        raise ProtocolError(f"{message['type']}: {key!r} must be true or false")
    return value


def _word(message: Mapping[str, Any]) -> WordEvent:
    word = WordEvent(
        text=_string(message, "text", _MAX_WORD),
        start=_integer(message, "start", _MAX_SAMPLE),
        end=_integer(message, "end", _MAX_SAMPLE),
        final=_boolean(message, "final", True),
        revision=_integer(message, "revision", _MAX_SEQ) if "revision" in message else 0,
    )
    if word.end < word.start:
        raise ProtocolError(f"word: ends at sample {word.end}, before its start {word.start}")
    return word


def _include(message: Mapping[str, Any]) -> frozenset[str]:
    value = message.get("include")
    if not isinstance(value, list):
        raise ProtocolError("subscribe: 'include' must be a list")
    unknown = [str(v)[:40] for v in cast(list[Any], value) if v not in sorted(INCLUDES)]
    if unknown:
        raise ProtocolError(
            f"subscribe: cannot include {unknown[0]!r}, only {', '.join(sorted(INCLUDES))}"
        )
    return frozenset(cast(list[str], value))


def _hello(message: Mapping[str, Any]) -> ClientHello:
    if (protocol := message.get("protocol")) != PROTOCOL:
        raise ProtocolError(f"hello: protocol {str(protocol)[:40]!r}, this server has {PROTOCOL}")
    options = _object(message, "options") if "options" in message else {}
    # Unlike keys of a message: a misspelt option must not pass for the default.
    if unknown := sorted(options.keys() - {"lookahead", "seed", "style"}):
        raise ProtocolError(
            f"hello: unknown option {unknown[0][:40]!r}; there are lookahead, seed, style"
        )
    given = {"type": "hello options", **options}
    style = _object(given, "style") if "style" in options else None
    if style is not None and not all(_is_number(weight) for weight in style.values()):
        raise ProtocolError("hello options: 'style' must give numbers by style name")
    return ClientHello(
        token=_string(message, "token", _MAX_NAME) if "token" in message else None,
        lookahead=_integer(given, "lookahead", _MAX_SEQ) if "lookahead" in options else None,
        seed=_integer(given, "seed", _MAX_SEQ) if "seed" in options else 0,
        style=style and {name: float(weight) for name, weight in style.items()},
    )


def _object(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = message.get(key)
    if not isinstance(value, dict):
        raise ProtocolError(f"{message['type']}: {key!r} must be an object")
    items = cast(dict[str, Any], value)
    if len(items) > _MAX_SETTINGS:
        raise ProtocolError(f"{message['type']}: {key!r} has {len(items)} keys")
    return items


def _settings(message: Mapping[str, Any]) -> dict[str, Scalar]:
    items = _object(message, "settings")
    for name, item in items.items():
        if not isinstance(item, str | int | float):
            raise ProtocolError(f"control: {name[:40]!r} must be a text, a number or a boolean")
    return items


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _digest(message: Mapping[str, Any]) -> str:
    value = _string(message, "sha256", 64).lower()
    if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise ProtocolError("avatar: 'sha256' must be 64 hexadecimal digits")
    return value
