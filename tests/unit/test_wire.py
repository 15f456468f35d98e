"""The wire against independent readers: struct offsets, the schema, the golden files."""

import importlib.util
import json
import struct
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from streamer.errors import ProtocolError
from streamer.face import with_face
from streamer.humanoid import BONES
from streamer.types import AudioChunk, Event, WordEvent
from streamer.wire import (
    INCLUDES,
    NOTHING,
    Layout,
    decode_event,
    decode_frame_bytes,
    decode_frame_json,
    decode_hello,
    event_json,
    frame_bytes,
    frame_json,
    hello_json,
    word_event,
)
from streamer.wire_requests import (
    MAX_AUDIO_BYTES,
    MAX_TEXT_BYTES,
    Ack,
    AvatarUpload,
    ClientHello,
    Control,
    End,
    Interrupt,
    Ping,
    Subscribe,
    decode_audio,
    decode_request,
    encode_audio,
    encode_request,
)
from tests.serving import DIRECTIONS, HELLO, JOINTS, make_frame, schema_of

CLIENTS = Path(__file__).parents[2] / "clients"
LAYOUT = Layout.of(HELLO)


@pytest.fixture(scope="module")
def golden() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_make", CLIENTS / "golden" / "make.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_binary_frame_has_the_documented_offsets():
    frame = replace(make_frame(5, reset=True), sample=2**40 + 3)
    data = frame_bytes(frame, 77, INCLUDES)
    assert data[:8] == b"GSTF" + bytes([1, 1 | 2 | 4, 2, 0])
    assert struct.unpack_from("<II", data, 8) == (77, 5)
    assert struct.unpack_from("<Q", data, 16) == (2**40 + 3,)
    assert struct.unpack_from("<3f", data, 24) == tuple(frame.root)
    b, j = 36 + 16 * len(BONES), 36 + 16 * len(BONES) + 12 * len(JOINTS)
    assert np.frombuffer(data[36:b], "<f4").tolist() == frame.rotations.ravel().tolist()
    assert np.frombuffer(data[b:j], "<f4").tolist() == frame.positions.ravel().tolist()
    assert np.frombuffer(data[j:], "<f4").tolist() == frame.directions.ravel().tolist()
    assert len(data) == j + 12 * len(DIRECTIONS)
    assert len(frame_bytes(frame, 0)) == b == 740


def test_a_face_goes_to_who_subscribes_and_is_announced():
    face = np.array([0.5, 0, 0.25, 0, 0, 1], np.float32)
    frame = replace(make_frame(5), face=face)
    data = frame_bytes(frame, 0, frozenset({"face"}))
    assert data[5] & 8
    assert data[740:] == struct.pack("<6f", 0.5, 0, 0.25, 0, 0, 1)
    assert json.loads(frame_json(frame, 0, frozenset({"face"})))["face"] == face.tolist()
    assert frame_bytes(frame, 0) == frame_bytes(make_frame(5), 0, frozenset({"face"}))
    hello = with_face(HELLO)
    told = json.loads(hello_json(hello))
    assert told["face"] == ["aa", "ih", "ou", "ee", "oh", "blink"]
    schema_of("server").validate(told)
    schema_of("server").validate(json.loads(frame_json(frame, 0, INCLUDES)))
    assert decode_hello(hello_json(hello)).face == hello.face
    assert "face" not in json.loads(hello_json(HELLO))
    np.testing.assert_array_equal(decode_frame_bytes(data, Layout.of(hello)).face, face)
    with pytest.raises(ProtocolError, match="flags and hello"):
        decode_frame_bytes(data, LAYOUT)  # of a stream that has none


def test_json_frame_has_five_decimals_and_exact_time():
    frame = make_frame(1)
    message = json.loads(frame_json(frame, 9))
    assert message["t"] == 1067 / 16000
    assert set(message) == {
        "type", "seq", "index", "sample", "t", "state", "reset", "root", "rotations",
    }  # fmt: skip
    np.testing.assert_allclose(message["rotations"], frame.rotations.ravel(), atol=5.01e-6)
    assert all(len(str(abs(x))) <= 7 for x in message["rotations"] if abs(x) > 1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("encode", [frame_json, frame_bytes])
@pytest.mark.parametrize("where", ["root", "rotations", "positions", "directions"])
def test_nothing_that_is_not_finite_goes_out(bad, encode, where):
    frame = make_frame(0)
    array = getattr(frame, where).copy()
    array.flat[1] = bad
    with pytest.raises(ProtocolError, match="finite"):
        encode(replace(frame, **{where: array}), 0, INCLUDES)


def test_an_event_with_nan_does_not_go_out():
    with pytest.raises(ProtocolError, match="finite"):
        event_json(Event(kind="stats", sample=0, data={"x": float("nan")}))


def test_event_data_may_not_hide_the_events_own_keys():
    with pytest.raises(ValueError, match="sample"):
        event_json(Event(kind="stats", sample=0, data={"sample": 3}))


def test_hello_comes_back():
    back = decode_hello(hello_json(HELLO))
    assert replace(back, rest=HELLO.rest) == HELLO
    np.testing.assert_allclose(back.rest, HELLO.rest, atol=5e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"protocol": "gesture.v2"}, "gesture.v2"),
        ({"bones": 3}, "malformed"),
        ({"parents": [0]}, "parents"),
        ({"rest": [0.0]}, "malformed"),
        ({"latency_ms": {}}, "malformed"),
    ],
)
def test_a_wrong_hello_is_refused(change, reason):
    message = {**json.loads(hello_json(HELLO)), **change}
    with pytest.raises(ProtocolError, match=reason):
        decode_hello(json.dumps(message))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d[:-4], "bytes"),
        (lambda d: d + bytes(4), "bytes"),
        (lambda d: d[:20], "header"),
        (lambda d: b"XXXX" + d[4:], "XXXX"),
        (lambda d: d[:4] + b"\x02" + d[5:], "version 2"),
        (lambda d: d[:6] + b"\x03" + d[7:], "state 3"),
        (lambda d: d[:5] + b"\x02" + d[6:], "bytes"),
        (lambda d: d[:36] + struct.pack("<f", np.nan) + d[40:], "finite"),
    ],
)
def test_a_wrong_binary_frame_is_refused(change, reason):
    with pytest.raises(ProtocolError, match=reason):
        decode_frame_bytes(change(frame_bytes(make_frame(1), 1)), LAYOUT)


@pytest.mark.parametrize(
    "change",
    [
        {"rotations": [0.0]},
        {"rotations": "x"},
        {"root": [0, 0, 1e39]},
        {"seq": -1},
        {"index": 1.5},
        {"sample": True},
        {"state": "asleep"},
        {"positions": [[0.0, 0.0, 0.0]]},
        {"root": None},
        {"type": "hello"},
    ],
)
def test_a_wrong_json_frame_is_refused(change):
    message = {**json.loads(frame_json(make_frame(1), 1)), **change}
    with pytest.raises(ProtocolError):
        decode_frame_json(json.dumps(message), LAYOUT)


def test_events_come_back():
    word = WordEvent(text="naïve", start=5, end=9, final=False, revision=2)
    for event in (word_event(word), Event(kind="end", sample=7)):
        assert decode_event(event_json(event)) == event


@pytest.mark.parametrize(
    "text",
    ['{"type":"event","event":"x","sample":0}', '{"type":"event","event":"end","sample":-1}',
     '{"type":"event","event":"end"}', '{"type":"frame"}'],
)  # fmt: skip
def test_a_wrong_event_is_refused(text):
    with pytest.raises(ProtocolError):
        decode_event(text)


REQUESTS = [
    ClientHello(token="t" * 20, lookahead=2, seed=9, style={"calm": 0.5}),
    ClientHello(),
    Subscribe(include=INCLUDES),
    Subscribe(include=NOTHING),
    Ack(seq=2**32 - 1),
    WordEvent(text="don't", start=0, end=800),
    Interrupt(),
    Control(settings={"a": 1, "b": 0.5, "c": True, "d": "x"}),
    AvatarUpload(name="ä.vrm", size=12, sha256="0a" * 32),
    Ping(id=0),
    End(),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: type(r).__name__)
def test_requests_come_back_and_keep_to_the_schema(request_):
    text = encode_request(request_)
    assert decode_request(text) == request_
    schema_of("client").validate(json.loads(text))


def test_unknown_keys_of_a_request_are_ignored():
    assert decode_request('{"type":"ack","seq":3,"new":[1]}') == Ack(seq=3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("[]", "object"),
        ("3", "object"),
        ("{", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ('{"seq":1}', "type"),
        ('{"type":3}', "type"),
        ('{"type":"dance"}', "dance"),
        ('{"type":"ack"}', "seq"),
        ('{"type":"ack","seq":"1"}', "seq"),
        ('{"type":"ack","seq":true}', "seq"),
        ('{"type":"ack","seq":1.0}', "seq"),
        ('{"type":"ack","seq":-1}', "seq"),
        ('{"type":"ack","seq":4294967296}', "seq"),
        ('{"type":"ack","seq":NaN}', "NaN"),
        ('{"type":"control","settings":{"x":1e999}}', "too large"),
        ('{"type":"control","settings":{"x":-Infinity}}', "Infinity"),
        ('{"type":"control","settings":{"x":null}}', "x"),
        ('{"type":"control","settings":{"x":[1]}}', "x"),
        ('{"type":"control"}', "settings"),
        ('{"type":"subscribe","include":"positions"}', "list"),
        ('{"type":"subscribe","include":["faces"]}', "faces"),
        ('{"type":"subscribe","include":[["positions"]]}', "positions"),
        ('{"type":"word","text":"","start":0,"end":1}', "text"),
        ('{"type":"word","text":"a","start":2,"end":1}', "before its start"),
        ('{"type":"word","text":"a","start":0.5,"end":1}', "start"),
        ('{"type":"word","text":"a","start":0,"end":1,"final":1}', "final"),
        ('{"type":"word","text":"\\ud800","start":0,"end":1}', "surrogate"),
        ('{"type":"control","settings":{"\\uDFFF":1}}', "surrogate"),
        ('{"type":"hello"}', "protocol"),
        ('{"type":"hello","protocol":"gesture.v9"}', "gesture.v9"),
        ('{"type":"hello","protocol":"gesture.v1","token":5}', "token"),
        ('{"type":"hello","protocol":"gesture.v1","options":{"lookahed":1}}', "lookahed"),
        ('{"type":"hello","protocol":"gesture.v1","options":{"style":{"a":"b"}}}', "style"),
        ('{"type":"avatar","name":"a","size":1,"sha256":"zz"}', "sha256"),
        ('{"type":"avatar","name":"a","size":"1","sha256":"' + "0" * 64 + '"}', "size"),
        ('{"type":"ping","id":1' + "0" * 400 + "}", "id"),
        ('{"type":"ping","id":1' + "0" * 5000 + "}", "not JSON"),
    ],
)
def test_a_wrong_request_is_refused_with_the_reason(text, reason):
    with pytest.raises(ProtocolError, match=reason) as caught:
        decode_request(text)
    assert caught.value.code == 4400
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_request_that_is_too_large_has_its_own_code():
    with pytest.raises(ProtocolError) as caught:
        decode_request('{"type":"ping","id":1}' + " " * MAX_TEXT_BYTES)
    assert caught.value.code == 4413


def test_audio_comes_back():
    pcm = np.array([0, 1, -1, 12345, 32767, -32768], np.int16)
    chunk = AudioChunk(samples=pcm.astype(np.float32) / 32768, start=2**40, captured_at=0.0)
    data = encode_audio(chunk)
    assert data[:16] == b"GSTA\x01\0\0\0" + struct.pack("<Q", 2**40)
    assert np.frombuffer(data[16:], "<i2").tolist() == pcm.tolist()
    back = decode_audio(data, 3.5)
    assert (back.start, back.captured_at) == (2**40, 3.5)
    assert back.samples.tolist() == chunk.samples.tolist()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 4400),
        (b"GSTA", 4400),
        (b"GSTB\x01\0\0\0" + bytes(8), 4400),
        (b"GSTA\x02\0\0\0" + bytes(8), 4400),
        (b"GSTA\x01\0\0\0" + bytes(8) + b"x", 4400),
        (b"GSTA\x01\0\0\0" + b"\xff" * 8, 4400),
        (b"GSTA\x01\0\0\0" + bytes(8) + bytes(MAX_AUDIO_BYTES), 4413),
    ],
)
def test_wrong_audio_is_refused(data, code):
    with pytest.raises(ProtocolError) as caught:
        decode_audio(data, 0.0)
    assert caught.value.code == code


def test_golden_files_are_what_the_code_writes(golden):
    for name, data in golden.files().items():
        assert (CLIENTS / "golden" / name).read_bytes() == data, f"{name}: run golden/make.py"


def test_golden_streams_keep_to_the_schema_and_hold_the_same_frames():
    text = (CLIENTS / "golden" / "gesture.v1.json.jsonl").read_text("utf-8").splitlines()
    records = (CLIENTS / "golden" / "gesture.v1.bin.golden").read_bytes()
    layout = Layout.of(decode_hello(text[0]))
    check = schema_of("server")
    kinds = set()
    at = 0
    for line in text:
        check.validate(json.loads(line))
        kind, length = struct.unpack_from("<BI", records, at)
        payload = records[at + 5 : at + 5 + length]
        at += 5 + length
        kinds.add(json.loads(line)["type"])
        if kind == 1:
            assert payload.decode() == line
            continue
        a, b = decode_frame_json(line, layout), decode_frame_bytes(payload, layout)
        assert (a.seq, a.index, a.sample) == (b.seq, b.index, b.sample)
        assert (a.state, a.reset) == (b.state, b.reset)
        for x, y in ((a.rotations, b.rotations), (a.positions, b.positions)):
            assert (x is None) == (y is None)
            if x is not None:
                np.testing.assert_allclose(x, y, atol=5.1e-6)
    assert at == len(records)
    assert kinds == {"hello", "frame", "event", "pong", "upload", "error"}


def test_golden_requests_keep_to_the_schema_and_are_understood():
    check = schema_of("client")
    for line in (CLIENTS / "golden" / "client.jsonl").read_text("utf-8").splitlines():
        check.validate(json.loads(line))
        assert encode_request(decode_request(line)) == line


@pytest.mark.parametrize(
    "message",
    [
        {"type": "frame"},
        {"type": "event", "event": "nod", "sample": 0},
        {"type": "event", "event": "word", "sample": 0},
        {"type": "error", "code": 1, "message": "x"},
        {"type": "ack", "seq": 1},
    ],
)
def test_the_schema_can_fail(message):
    assert not schema_of("server").is_valid(message)
