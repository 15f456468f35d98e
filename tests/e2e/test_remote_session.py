"""A client's own session over the real socket, against the same session in process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from streamer.engine import Engine
from streamer.errors import BackendError
from streamer.server import ServerConfig
from streamer.session import SessionOptions
from streamer.types import AudioChunk, SkeletonFrame, WordEvent
from streamer.wire import BINARY_SUBPROTOCOL, Layout, WireFrame, decode_frame_bytes, decode_hello
from streamer.wire_requests import encode_audio
from tests.fakes import NumpyBackend, Unturned, chunks, voice
from tests.serving import serving, soon, until, ws_url

WORD = WordEvent(text="hello", start=5_000, end=8_000)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(NumpyBackend, slots=2, retarget=Unturned)
    yield engine
    await engine.aclose()


@asynccontextmanager
async def session(url: str, **options: Any) -> AsyncIterator[tuple[ClientConnection, Layout]]:
    """Open a session with options and read its hello."""
    async with connect(ws_url(url, "/v1/session"), subprotocols=[BINARY_SUBPROTOCOL]) as ws:
        await say(ws, type="hello", protocol="gesture.v1", options=options)
        yield ws, Layout.of(decode_hello(await soon(ws.recv())))


async def say(ws: ClientConnection, **message: Any) -> None:
    await ws.send(json.dumps(message))


async def closed(ws: ClientConnection) -> tuple[int, list[str | bytes]]:
    said = list[str | bytes]()
    try:
        while True:
            said.append(await soon(ws.recv()))
    except ConnectionClosed as error:
        return (error.rcvd.code if error.rcvd else 1006), said


async def in_process(engine: Engine, samples: np.ndarray) -> list[SkeletonFrame]:
    """Return the frames of the same audio, heard as 16-bit PCM, without a socket."""
    heard = np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)
    own = engine.open_session(SessionOptions(lookahead=0, seed=5))
    own.push_word(WORD)
    frames = list[SkeletonFrame]()

    async def collect() -> None:
        frames.extend([frame async for frame in own])

    collecting = asyncio.create_task(collect())
    for chunk in chunks((heard / 32768).astype(np.float32)):
        await own.feed_audio(chunk)
    await own.finish()
    await collecting
    await own.aclose()
    return frames


async def test_a_remote_session_gives_the_frames_of_a_local_one(tmp_path, engine):
    samples = voice(3.0)
    want = await in_process(engine, samples)
    got, events = list[WireFrame](), list[dict[str, Any]]()
    async with serving(tmp_path, open_session=engine.open_session) as (_, url):
        async with session(url, lookahead=0, seed=5) as (ws, layout):
            await say(ws, type="word", text=WORD.text, start=WORD.start, end=WORD.end, final=True)
            for chunk in chunks(samples):  # a frame or less at a time, as live audio comes
                await ws.send(encode_audio(chunk))
                frame_due = chunk.end * 15 // 16_000
                while len(got) < frame_due:
                    message = await soon(ws.recv())
                    if isinstance(message, str):
                        events.append(json.loads(message))
                    else:
                        got.append(decode_frame_bytes(message, layout))
                        await say(ws, type="ack", seq=got[-1].seq)
            await say(ws, type="end")
            code, rest = await closed(ws)
    assert code == 1000
    events += [json.loads(m) for m in rest if isinstance(m, str)]
    assert [e["text"] for e in events if e["event"] == "word"] == ["hello"]
    assert events[-1]["event"] == "end"
    assert [f.seq for f in got] == list(range(45))
    assert [(f.index, f.sample) for f in got] == [(f.index, f.sample) for f in want]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a.rotations, b.rotations)
        np.testing.assert_array_equal(a.root, b.root)


async def test_a_session_is_counted_and_its_slot_is_free_afterwards(tmp_path, engine):
    config = ServerConfig(max_sessions=1)
    async with serving(tmp_path, config, open_session=engine.open_session) as (server, url):
        async with session(url) as (ws, _):
            await say(ws, type="ping", id=1)
            await soon(ws.recv())
            assert engine.free_slots == 1
            assert not server._readiness()[0]
            async with connect(ws_url(url, "/v1/session")) as second:
                await say(second, type="hello", protocol="gesture.v1")
                code, said = await closed(second)
                assert code == 4503
                assert "1 sessions are all" in json.loads(said[-1])["message"]
        await until(lambda: engine.free_slots == 2)
        assert server._readiness()[0]


def audio(start: int, samples: int = 320) -> bytes:
    silence = np.zeros(samples, np.float32)
    return encode_audio(AudioChunk(samples=silence, start=start, captured_at=0.0))


@pytest.mark.parametrize(
    ("messages", "code", "reason"),
    [
        ([audio(0), audio(100)], 4400, "sent before"),
        ([audio(0), audio(16_000 * 60)], 4400, "ahead of time"),
        ([audio(0)[:-1]], 4400, "half a sample"),
        ([b"RIFF" + bytes(40)], 4400, "GSTA"),
        ([audio(0, 40_000)], 4413, "at most"),
        (['{"type":"avatar","name":"a","size":12,"sha256":"' + "0" * 64 + '"}'], 4400, "Avatar"),
        (['{"type":"hello","protocol":"gesture.v1"}'], 4400, "ClientHello"),
        (["{"], 4400, "JSON"),
    ],
)
async def test_bad_input_closes_that_session_alone(tmp_path, engine, messages, code, reason):
    async with serving(tmp_path, open_session=engine.open_session) as (_, url):
        async with session(url) as (good, _), session(url) as (bad, _):
            for message in messages:
                await bad.send(message)
            got, said = await closed(bad)
            assert got == code
            assert reason in json.loads(said[-1])["message"]
            await good.send(audio(0, 16_000))
            assert await soon(good.recv())
        await until(lambda: engine.free_slots == 2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"lookahead": 1}, "allows"),
        ({"style": {"nonsense": 1.0}}, "nonsense"),
        ({"speed": 2}, "speed"),
    ],
)
async def test_an_option_that_does_not_exist_is_said(tmp_path, engine, options, reason):
    async with serving(tmp_path, open_session=engine.open_session) as (_, url):
        async with connect(ws_url(url, "/v1/session")) as ws:
            await say(ws, type="hello", protocol="gesture.v1", options=options)
            code, said = await closed(ws)
            assert code == 4400
            assert reason in json.loads(said[-1])["message"]
    assert engine.free_slots == 2


async def test_without_a_hello_there_is_no_session(tmp_path, engine):
    config = ServerConfig(handshake_timeout_s=0.1)
    async with serving(tmp_path, config, open_session=engine.open_session) as (_, url):
        for first, want in ((None, 4408), (audio(0), 4401), ('{"type":"end"}', 4401)):
            async with connect(ws_url(url, "/v1/session")) as ws:
                if first is not None:
                    await ws.send(first)
                assert (await closed(ws))[0] == want
    assert engine.free_slots == 2


async def test_a_silent_client_gives_its_slot_back(tmp_path, engine):
    config = ServerConfig(idle_timeout_s=0.1)
    async with serving(tmp_path, config, open_session=engine.open_session) as (_, url):
        async with session(url) as (ws, _):
            code, said = await closed(ws)
            assert code == 4408
            assert "no message" in json.loads(said[-1])["message"]
        await until(lambda: engine.free_slots == 2)


async def test_the_motion_goes_on_while_the_clients_audio_is_late(tmp_path, engine):
    now = 0.0
    options = {"open_session": engine.open_session, "clock": lambda: now}
    async with serving(tmp_path, **options) as (_, url), session(url, lookahead=0) as (ws, layout):
        await ws.send(audio(0, 1_600))
        first = decode_frame_bytes(await soon(ws.recv()), layout)
        assert first.index == 0
        now = 1.5  # 100 ms came, 1 s may be late: 500 ms of silence
        indices = [decode_frame_bytes(await soon(ws.recv()), layout).index for _ in range(3)]
        assert indices == [1, 2, 3]


async def test_a_local_stream_takes_no_remote_sessions(tmp_path):
    async with serving(tmp_path) as (_, url), connect(ws_url(url, "/v1/session")) as ws:
        await say(ws, type="hello", protocol="gesture.v1")
        code, said = await closed(ws)
        assert code == 4503
        assert "gesture serve" in json.loads(said[-1])["message"]


async def test_stopping_the_server_ends_its_sessions(tmp_path, engine):
    async with serving(tmp_path, open_session=engine.open_session) as (server, url):
        async with session(url) as (ws, _):
            stopping = asyncio.create_task(server.aclose())
            assert (await closed(ws))[0] == 1001
            await soon(stopping)
    assert engine.free_slots == 2


async def test_a_session_that_breaks_closes_its_client_alone(tmp_path, engine, caplog):
    def breaking(options: SessionOptions) -> Any:
        opened = engine.open_session(options)
        if options.seed == 13:
            opened.items = broken(RuntimeError("unlucky"))  # type: ignore[method-assign]
        if options.seed == 14:
            opened.items = broken(BackendError("CUDA is gone"))  # type: ignore[method-assign]
        return opened

    async with serving(tmp_path, open_session=breaking) as (_, url):
        async with session(url) as (good, _), session(url, seed=13) as (bad, _):
            assert (await closed(bad))[0] == 1011
            await until(lambda: engine.free_slots == 1)
            async with session(url, seed=14) as (bad, _):
                code, said = await closed(bad)
                assert code == 4500
                assert json.loads(said[-1])["message"] == "CUDA is gone"
            await good.send(audio(0, 16_000))
            assert await soon(good.recv())
        await until(lambda: engine.free_slots == 2)
    assert "unlucky" in caplog.text


def broken(error: Exception) -> Callable[[], AsyncIterator[Any]]:
    async def fail() -> AsyncIterator[Any]:
        raise error
        yield

    return fail
