"""Write the golden files of the protocol: `python clients/golden/make.py`.

gesture.v1.json.jsonl   what a server sends under the JSON subprotocol, a line each
gesture.v1.bin.golden   the same stream under the binary subprotocol: records of
                        a byte (1 text, 2 binary), a little-endian u32 length,
                        and the message
client.jsonl            every text message of a client
audio.bin               one audio message of a client

A client that reads both streams must find the same frames in them, up to the
rounding of the JSON form. The numbers are ratios of integers, so that every
machine writes the same bytes.
"""

import struct
from pathlib import Path

import numpy as np

from streamer.clock import FrameClock
from streamer.errors import ProtocolError
from streamer.humanoid import BONES, PARENTS, REST_OFFSETS
from streamer.skeleton import load_skeleton
from streamer.types import AudioChunk, Event, Hello, Latency, SkeletonFrame, WordEvent
from streamer.wire import (
    INCLUDES,
    NOTHING,
    CloseCode,
    event_json,
    frame_bytes,
    frame_json,
    hello_json,
    word_event,
)
from streamer.wire_requests import (
    Ack,
    AvatarUpload,
    Choose,
    ClientHello,
    Control,
    End,
    Interrupt,
    Ping,
    Subscribe,
    encode_audio,
    encode_request,
    error_json,
    pong_json,
    upload_json,
)

HERE = Path(__file__).parent
SKELETON = load_skeleton("upper_body")
DIGEST = "0123456789abcdef" * 4
WORD = WordEvent(text="naïve", start=16000, end=20800, final=True, revision=1)
AVATAR = {
    "name": "mine.vrm",
    "size": 1048576,
    "sha256": DIGEST,
    "url": f"/avatar/file?v={DIGEST[:16]}",
    "custom": True,
}
HELLO = Hello(
    session="golden",
    version="0.1.0",
    model="golden",
    backend="onnxruntime",
    fps=15.0,
    lookahead=2,
    bones=BONES,
    parents=PARENTS,
    rest=REST_OFFSETS,
    joints=SKELETON.joints,
    directions=SKELETON.vector_names,
    latency=Latency(algorithmic_ms=200.0, compute_ms=3.21, mic_to_wire_ms=9.5, visible_ms=309.5),
    avatar=AVATAR,
)


def ratios(rows, columns, seed):
    """Return numbers between -1 and 1 that look random."""
    n = np.arange(rows * columns, dtype=np.int64) + 1
    return (((n * 7919 * (seed + 1)) % 2003 - 1001) / 1001).astype(np.float32).reshape(rows, columns)


def frame(index, state, *, reset=False):
    """Return frame `index` of the golden stream."""
    rotations = ratios(len(BONES), 4, index).astype(np.float64)
    rotations /= np.sqrt((rotations * rotations).sum(1, keepdims=True))
    return SkeletonFrame(
        index=index,
        sample=FrameClock(fps=15).start(index),
        rotations=rotations.astype(np.float32),
        root=ratios(1, 3, index)[0] / np.float32(16),
        positions=ratios(len(SKELETON.joints), 3, index + 100),
        directions=ratios(SKELETON.vectors, 3, index + 200),
        state=state,
        reset=reset,
        captured_at=0.0,
        emitted_at=0.0,
    )


def events():
    """Return one event of each kind."""
    return [
        word_event(WORD),
        Event(kind="caption", sample=20800, data={"text": "a naïve “caption”", "final": False}),
        Event(kind="reset", sample=21000, data={"reason": "gap", "missing_samples": 32000}),
        Event(kind="stats", sample=21000, data={"frames": 20, "skipped": 0}),
        Event(
            kind="latency",
            sample=21000,
            data={
                "algorithmic_ms": 200.0,
                "compute_ms": 3.4,
                "mic_to_wire_ms": 9.75,
                "visible_ms": 309.75,
            },
        ),
        Event(kind="avatar", sample=21000, data=AVATAR),
        Event(
            kind="warning",
            sample=21000,
            data={"code": "lag", "message": "frames are not acknowledged since 1.2 s", "dropped": 7},
        ),
        Event(kind="settings", sample=21000, data={"style": "calm", "intensity": 0.5}),
        Event(
            kind="choices",
            sample=21000,
            data={
                "source": "mic Blue Yeti",
                "device": "Blue Yeti",
                "devices": [
                    {"id": "Blue Yeti", "name": "Blue Yeti", "default": True},
                    {"id": "Mikrofon “2”", "name": "Mikrofon “2”", "default": False},
                ],
                "model": "golden",
                "backend": "onnxruntime",
                "models": [{"id": "golden", "name": "golden"}],
            },
        ),
        Event(kind="end", sample=22400),
    ]


def stream(encode):
    """Return every message of a server in order; `encode` writes the frames."""
    return [
        hello_json(HELLO),
        encode(frame(0, "idle"), 0, NOTHING),
        encode(frame(1, "listening"), 1, NOTHING),
        *(event_json(event) for event in events()[:-1]),
        # seq 2 was replaced for this client; the reset that it carried was not
        encode(frame(3, "speaking", reset=True), 3, NOTHING),
        encode(frame(20, "speaking"), 20, frozenset({"positions"})),
        encode(frame(4294967, "speaking"), 4294967295, INCLUDES),
        pong_json(Ping(id=7), sample=22400, sent=5, dropped=1),
        upload_json("ready", 0, ""),
        upload_json("done", 1048576, ""),
        upload_json("refused", 0, "avatar 'a.txt' is no VRM: it is not a binary glTF 2 file"),
        event_json(events()[-1]),
        error_json(ProtocolError("too many messages; send audio in real time", code=CloseCode.FLOOD)),
    ]


def requests():
    """Return every message of a client."""
    return [
        ClientHello(),
        ClientHello(token="a-token-of-sixteen", lookahead=0, seed=7, style={"calm": 0.25, "lively": 0.75}),
        Subscribe(include=frozenset({"positions", "directions"})),
        Subscribe(include=NOTHING),
        Ack(seq=3),
        WORD,
        Interrupt(),
        Control(settings={"intensity": 0.5, "mirror": True, "style": "calm"}),
        Control(settings={"avatar": "default"}),
        Choose(),
        Choose(device="Blue Yeti"),
        Choose(model="golden", rescan=True),
        AvatarUpload(name="mine.vrm", size=1048576, sha256=DIGEST),
        Ping(id=7),
        End(),
    ]


def files():
    """Return the golden files' bytes by name."""
    records = b""
    for message in stream(frame_bytes):
        payload = message.encode() if isinstance(message, str) else message
        records += struct.pack("<BI", 1 if isinstance(message, str) else 2, len(payload)) + payload
    samples = ratios(1, 320, 3)[0]
    audio = AudioChunk(samples=samples, start=48000, captured_at=0.0)
    return {
        "gesture.v1.json.jsonl": "".join(f"{m}\n" for m in stream(frame_json)).encode(),
        "gesture.v1.bin.golden": records,
        "client.jsonl": "".join(f"{encode_request(r)}\n" for r in requests()).encode(),
        "audio.bin": encode_audio(audio),
    }


if __name__ == "__main__":
    for name, data in files().items():
        (HERE / name).write_bytes(data)
