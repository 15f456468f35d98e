"""decode(encode(x)) is x; and no bytes of a stranger's make anything but one clear error."""

import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamer.errors import ProtocolError
from streamer.types import WordEvent
from streamer.wire import (
    INCLUDES,
    Layout,
    decode_event,
    decode_frame_bytes,
    decode_frame_json,
    decode_hello,
    frame_bytes,
    frame_json,
)
from streamer.wire_requests import (
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
    encode_request,
)
from tests.serving import HELLO, make_frame

LAYOUT = replace(Layout.of(HELLO), face=6)
INCLUDE = st.sets(st.sampled_from(sorted(INCLUDES))).map(frozenset)
U32 = st.integers(0, 2**32 - 1)
SAMPLE = st.integers(0, 2**53 - 1)


def arrays(rows: int, columns: int, limit: float):
    numbers = st.floats(-limit, limit, width=32)
    return hnp.arrays(np.float32, (rows, columns), elements=numbers)


FRAMES = st.builds(
    lambda index, sample, state, reset, root, rotations, positions, directions, face: replace(
        make_frame(0),
        index=index,
        sample=sample,
        state=state,
        reset=reset,
        root=root[0],
        rotations=rotations,
        positions=positions,
        directions=directions,
        face=face[0],
    ),
    U32,
    SAMPLE,
    st.sampled_from(["idle", "listening", "speaking"]),
    st.booleans(),
    arrays(1, 3, 4.0),
    arrays(LAYOUT.bones, 4, 1.0),
    arrays(LAYOUT.joints, 3, 4.0),
    arrays(LAYOUT.directions, 3, 1.0),
    arrays(1, LAYOUT.face, 1.0),
)


@pytest.mark.parametrize(
    ("encode", "decode", "tolerance"),
    # 5 decimals round by half of the last, float32 by 2.4e-7 at 4.
    [(frame_bytes, decode_frame_bytes, 0.0), (frame_json, decode_frame_json, 5.3e-6)],
)
@given(frame=FRAMES, seq=U32, include=INCLUDE)
def test_frames_come_back(encode, decode, tolerance, frame, seq, include):
    message = encode(frame, seq, include)
    back = decode(message, LAYOUT)
    assert (back.seq, back.index, back.sample) == (seq, frame.index, frame.sample)
    assert (back.state, back.reset) == (frame.state, frame.reset)
    for name in ("root", "rotations", *include):
        np.testing.assert_allclose(getattr(back, name), getattr(frame, name), 0, tolerance)
    for name in INCLUDES - include:
        assert getattr(back, name) is None
    # What came over the wire goes over it unchanged: a recording can be replayed.
    given_again = {n: getattr(back, n) for n in ("root", "rotations", *include)}
    assert encode(replace(frame, **given_again), seq, include) == message


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
SCALARS = st.one_of(
    NAMES, st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)
REQUESTS = st.one_of(
    st.builds(
        ClientHello,
        token=st.none() | NAMES,
        lookahead=st.none() | U32,
        seed=U32,
        style=st.none() | st.dictionaries(NAMES, st.floats(0, 1), max_size=4),
    ),
    st.builds(Subscribe, include=INCLUDE),
    st.builds(Ack, seq=U32),
    st.builds(
        lambda text, start, length, final, revision: WordEvent(
            text=text, start=start, end=start + length, final=final, revision=revision
        ),
        NAMES,
        st.integers(0, 2**50),
        st.integers(0, 2**20),
        st.booleans(),
        U32,
    ),
    st.just(Interrupt()),
    st.builds(Control, settings=st.dictionaries(NAMES, SCALARS, max_size=4)),
    st.builds(
        AvatarUpload,
        name=NAMES,
        size=SAMPLE,
        sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    ),
    st.builds(Ping, id=SAMPLE),
    st.just(End()),
)


@given(REQUESTS)
def test_requests_come_back(request):
    assert decode_request(encode_request(request)) == request


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
TYPES = st.sampled_from(
    ["hello", "subscribe", "ack", "word", "interrupt", "control", "avatar", "ping", "end", "frame"]
)
KEYS = st.sampled_from(
    ["seq", "text", "start", "end", "include", "settings", "options", "id", "size", "name",
     "sha256", "token", "protocol", "final", "revision", "event", "sample", "root", "rotations"]
)  # fmt: skip
ALMOST = st.builds(
    lambda kind, body: json.dumps({"type": kind, **body}),
    TYPES,
    st.dictionaries(KEYS, JSON, max_size=5),
)


@given(st.text() | ALMOST)
def test_no_text_does_more_than_raise_a_protocol_error(text):
    for decode in (
        decode_request,
        decode_event,
        decode_hello,
        lambda t: decode_frame_json(t, LAYOUT),
    ):
        with suppress(ProtocolError):
            decode(text)


@given(
    st.binary(max_size=1000)
    | st.binary(max_size=64).map(lambda b: b"GSTF\x01" + b)
    | st.binary(max_size=64).map(lambda b: b"GSTA\x01" + b)
)
def test_no_bytes_do_more_than_raise_a_protocol_error(data):
    for decode in (lambda d: decode_frame_bytes(d, LAYOUT), lambda d: decode_audio(d, 0.0)):
        with suppress(ProtocolError):
            decode(data)
