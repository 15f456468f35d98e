"""The Unity and Unreal cores without a network: golden streams, what they say, what they cost."""

import json
import struct

import numpy as np
import pytest

from streamer.humanoid import BONES
from streamer.wire_requests import decode_audio
from tests.clients import probes
from tests.clients.probes import GOLDEN, GOLDEN_STREAMS, Report, execute, golden_json, parse
from tests.serving import schema_of

CORES = ("unity", "unreal")


def golden_binary() -> list[bytes]:
    """Return the binary frames of the golden stream."""
    data, frames, at = (GOLDEN / GOLDEN_STREAMS[1]).read_bytes(), [], 0
    while at < len(data):
        kind, size = struct.unpack_from("<BI", data, at)
        if kind == 2:
            frames.append(data[at + 5 : at + 5 + size])
        at += 5 + size
    return frames


@pytest.fixture(params=CORES)
def core(request) -> str:
    return request.param


@pytest.fixture(params=GOLDEN_STREAMS)
def decoded(core, request) -> tuple[str, Report]:
    return request.param, parse(probes.run(core, "golden", GOLDEN / request.param))


def test_golden_frames(decoded):
    name, report = decoded
    messages = [m for m in golden_json() if m["type"] == "frame"]
    raw = golden_binary()
    assert len(report.frames) == len(messages) == len(raw)
    for got, message, data in zip(report.frames, messages, raw, strict=True):
        meta = (got.seq, got.index, got.sample, got.state, got.reset)
        assert meta == tuple(message[k] for k in ("seq", "index", "sample", "state", "reset"))
        if name.endswith("jsonl"):
            want = {k: message[k] for k in got.arrays}
        else:
            floats = np.frombuffer(data, "<f4", offset=24)
            want = {"root": floats[:3], "rotations": floats[3 : 3 + 4 * len(BONES)]}
            at = 3 + 4 * len(BONES)
            for key in ("positions", "directions"):
                if key in message:
                    want[key] = floats[at : at + len(message[key])]
                    at += len(message[key])
        assert got.arrays.keys() == want.keys()
        for key, numbers in want.items():
            assert np.array_equal(got.arrays[key], np.array(numbers, np.float32)), key


def test_golden_hello_and_events(decoded):
    _, report = decoded
    hello, *rest = golden_json()
    words = report.lines[0].split(" ")
    assert words[:3] == ["hello", "golden", "15"]
    assert words[3].split(",") == hello["bones"]
    assert [int(p) for p in words[4].split(",")] == hello["parents"]
    assert words[5].split(",") == hello["joints"]
    assert words[6].split(",") == hello["directions"]
    assert float(words[7]) == hello["latency_ms"]["visible"]
    assert np.array_equal(np.array(words[9:], np.float32), np.array(hello["rest"], np.float32))
    schema = schema_of("server")
    events = [line.split(" ", 3) for line in report.lines if line.startswith("event ")]
    for (_, kind, sample, text), want in zip(
        events, [m for m in rest if m["type"] == "event"], strict=True
    ):
        assert (kind, int(sample)) == (want["event"], want["sample"])
        schema.validate(json.loads(text))
        assert json.loads(text) == want
    assert "word 16000 20800 True naïve" in report.lines
    assert "latency 309.75" in report.lines
    assert "warning lag frames are not acknowledged since 1.2 s" in report.lines
    assert "error too many messages; send audio in real time" in report.lines
    assert report.lines.count("other") == 4  # pong and upload


BROKEN = {
    "no JSON": '{"type":"frame",',
    "nothing": "{}",
    "bare": "7",
    "too deep": '{"a":' + "[" * 40 + "]" * 40 + ',"type":"event"}',
    "short rotations": None,
    "infinite": None,
    "unknown state": None,
    "text after it": None,
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_messages_are_refused(core, fault, tmp_path):
    lines = (GOLDEN / GOLDEN_STREAMS[0]).read_text("utf-8").splitlines()
    frame = json.loads(lines[1])
    match fault:
        case "short rotations":
            frame["rotations"].pop()
            bad = json.dumps(frame)
        case "infinite":
            bad = lines[1].replace('"root":[', '"root":[1e999,', 1)
        case "unknown state":
            bad = json.dumps({**frame, "state": "singing"})
        case "text after it":
            bad = lines[1] + "{}"
        case _:
            bad = BROKEN[fault]
    path = tmp_path / "broken.jsonl"
    path.write_text(f"{lines[0]}\n{bad}\n", "utf-8")
    program = [*probes.command(core), "golden", str(path)]
    with pytest.raises(AssertionError, match="refused "):
        execute(program)


@pytest.mark.parametrize("fault", ["magic", "short", "long", "state", "nan"])
def test_broken_binary_frames_are_refused(core, fault, tmp_path):
    hello = (GOLDEN / GOLDEN_STREAMS[0]).read_text("utf-8").splitlines()[0].encode()
    frame = bytearray(golden_binary()[0])
    match fault:
        case "magic":
            frame[0] = 0
        case "short":
            frame = frame[:-4]
        case "long":
            frame += bytes(4)
        case "state":
            frame[6] = 3
        case _:
            frame[36:40] = struct.pack("<f", float("nan"))
    path = tmp_path / "broken.golden"
    path.write_bytes(
        struct.pack("<BI", 1, len(hello)) + hello + struct.pack("<BI", 2, len(frame)) + frame
    )
    with pytest.raises(AssertionError, match="refused "):
        execute([*probes.command(core), "golden", str(path)])


def test_what_the_unity_core_says_keeps_to_the_schema():
    *texts, audio = probes.run("unity", "say").splitlines()
    schema = schema_of("client")
    said = [json.loads(text) for text in texts]
    for message in said:
        schema.validate(message)
    assert said[:2] == [{"type": "ack", "seq": 0}, {"type": "ack", "seq": 4294967295}]
    assert said[2] == {"type": "hello", "protocol": "gesture.v1", "options": {}}
    assert said[3]["token"] == 'a "token" \\ of\nsixteen'
    assert said[4:7] == [{"type": "interrupt"}, {"type": "end"}, {"type": "ping", "id": 7}]
    word = {"text": "naïve", "start": 16000, "end": 20800, "final": True}
    assert said[7] == {"type": "word", **word}
    heard = decode_audio(bytes.fromhex(audio), 0.0)
    assert heard.start == 2**33 + 5
    want = np.clip(np.round(np.array([0, 0.5, -1, 1, 2, -2, 0.1]) * 32768), -32768, 32767) / 32768
    assert np.array_equal(heard.samples, want.astype(np.float32))


# -- what it costs -------------------------------------------------------------------------------


def test_unity_core_makes_no_garbage():
    output = probes.run("unity", "garbage", GOLDEN / GOLDEN_STREAMS[1], "3000")
    control, made, collections, rounds, micros = output.split()
    assert int(control) >= 1_000_000  # the measure sees a million bytes
    assert int(made) == 0
    assert int(collections) == 0
    assert int(rounds) == 3000
    assert float(micros) < 20_000


def test_unreal_core_allocates_nothing():
    made, rounds, micros = probes.run(
        "unreal", "garbage", GOLDEN / GOLDEN_STREAMS[1], "3000"
    ).split()
    assert (made, rounds) == ("0", "3000")
    assert float(micros) < 20_000
