"""The Python client over real sockets: own sessions, refusals, restarts, recordings."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from streamer.client import ClientConfig, GestureClient
from streamer.engine import Engine
from streamer.errors import InputError, ProtocolError, SessionClosed, UsageError
from streamer.server import Server, ServerConfig
from streamer.session import SessionOptions
from streamer.sinks.file import JsonlSink
from streamer.types import Event, Hello, SkeletonFrame, WordEvent
from streamer.wire import (
    INCLUDES,
    SUBPROTOCOLS,
    WireFrame,
    event_json,
    frame_bytes,
    frame_json,
    hello_json,
)
from streamer.wire_requests import ClientHello, decode_audio
from tests.fakes import NumpyBackend, Unturned, chunks, voice
from tests.serving import (
    HELLO,
    TOKEN,
    check_glb,
    make_frame,
    schema_of,
    serving,
    soon,
    until,
    ws_url,
)

EXAMPLES = Path(__file__).parents[2] / "clients" / "python"
WORD = WordEvent(text="hello", start=5_000, end=8_000)


# -- a server that says what a test wants ---------------------------------------------------------


@asynccontextmanager
async def scripted(behave: Any) -> AsyncIterator[tuple[str, list[str | bytes]]]:
    """Serve each connection by `behave(ws, number)`; yields the address and what was heard."""
    heard, count = list[str | bytes](), 0

    async def handle(ws: ServerConnection) -> None:
        nonlocal count
        count += 1
        listening = asyncio.create_task(listen(ws))
        await behave(ws, count)
        await ws.wait_closed()
        await listening

    async def listen(ws: ServerConnection) -> None:
        async for message in ws:
            heard.append(message)

    names = [Subprotocol(name) for name in SUBPROTOCOLS]
    async with serve(handle, "127.0.0.1", 0, subprotocols=names) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}", heard


async def collect(client: GestureClient) -> list[Any]:
    return [item async for item in client.items()]


@pytest.mark.parametrize("form", ["bin", "json"])
async def test_everything_it_says_keeps_to_the_schema(form):
    samples = voice(0.2)

    async def behave(ws: ServerConnection, _: int) -> None:
        await ws.send(hello_json(HELLO))
        for i in range(3):
            frame = make_frame(i)
            await ws.send(frame_bytes(frame, i) if form == "bin" else frame_json(frame, i))
        await until(lambda: heard and heard[-1] == '{"type":"end"}')
        await ws.close(1000)

    async with scripted(behave) as (url, heard):
        config = ClientConfig(
            url=url + "/v1/session",
            form=form,
            hello=ClientHello(token=TOKEN, lookahead=1, seed=3, style={"calm": 0.5}),
            include=INCLUDES,
        )
        async with GestureClient(config) as client:
            await client.push_audio(samples)
            assert client.next_sample == len(samples)
            await client.push_audio((samples * 32767).astype(np.int16))
            await client.push_audio(samples[:10], start=20_000)
            await client.push_word(WORD)
            await client.interrupt()
            await client.control(intensity=0.5, style="calm", mirror=True)
            await client.end()
            items = await soon(collect(client))
    assert isinstance(items[0], Hello)
    assert [f.index for f in items[1:]] == [0, 1, 2]
    schema = schema_of("client")
    texts = [json.loads(m) for m in heard if isinstance(m, str)]
    for text in texts:
        schema.validate(text)
    kinds = [text["type"] for text in texts]
    assert kinds[:2] == ["hello", "subscribe"]
    assert [t["seq"] for t in texts if t["type"] == "ack"] == [0, 1, 2]
    assert {"word", "interrupt", "control", "end"} <= set(kinds)
    audio = [decode_audio(m, 0.0) for m in heard if isinstance(m, bytes)]
    assert [a.start for a in audio[:3]] == [0, 640, 1280]
    whole = np.concatenate([a.samples for a in audio])
    assert np.abs(whole[: len(samples)] - samples).max() <= 0.5 / 32768 + 1e-7
    want = (samples * 32767).astype(np.int16) / np.float32(32768)
    assert np.array_equal(whole[len(samples) : 2 * len(samples)], want)
    assert audio[-1].start == 20_000


async def test_what_it_does_not_know_is_ignored():
    async def behave(ws: ServerConnection, _: int) -> None:
        await ws.send(json.dumps({**json.loads(hello_json(HELLO)), "mood": "good"}))
        await ws.send('{"type":"weather","rain":true}')
        await ws.send('{"type":"event","event":"earthquake","sample":3}')
        await ws.send(event_json(Event(kind="caption", sample=5, data={"text": "hi"})))
        await ws.close(1000)

    async with (
        scripted(behave) as (url, _),
        GestureClient(ClientConfig(url=url + "/v1/watch")) as c,
    ):
        _, *rest = await soon(collect(c))
    assert rest == [Event(kind="caption", sample=5, data={"text": "hi"})]


@pytest.mark.parametrize("code", [4400, 4401, 4413, 4429])
async def test_it_gives_up_where_trying_again_is_of_no_use(code):
    async def behave(ws: ServerConnection, _: int) -> None:
        await ws.send(hello_json(HELLO))
        await ws.close(code, "because")

    async with (
        scripted(behave) as (url, _),
        GestureClient(ClientConfig(url=url + "/v1/watch")) as c,
    ):
        with pytest.raises(ProtocolError, match="because") as caught:
            await soon(collect(c))
    assert caught.value.code == code


async def test_a_broken_stream_is_an_error_not_a_loop():
    async def behave(ws: ServerConnection, _: int) -> None:
        await ws.send(hello_json(HELLO))
        await ws.send(frame_bytes(make_frame(0), 0)[:-4])

    async with (
        scripted(behave) as (url, _),
        GestureClient(ClientConfig(url=url + "/v1/watch")) as c,
    ):
        with pytest.raises(ProtocolError, match="bytes, its flags and hello say"):
            await soon(collect(c))


async def test_without_an_engine_and_reconnect_it_says_what_to_do():
    config = ClientConfig(url="ws://127.0.0.1:1/v1/watch", reconnect=False)
    with pytest.raises(UsageError, match=r"no engine answers.*start `gesture live`"):
        await soon(GestureClient(config).__aenter__())


async def test_it_waits_for_the_engine_and_can_be_left_meanwhile():
    client = GestureClient(ClientConfig(url="ws://127.0.0.1:1/v1/watch"))
    with pytest.raises(TimeoutError):
        await soon(client.__aenter__(), 0.2)
    assert not client.connected
    with pytest.raises(SessionClosed, match="not connected"):
        await client.interrupt()
    with pytest.raises(SessionClosed, match="async with"):
        _ = client.hello


async def test_bad_audio_is_refused_before_it_is_sent():
    async def behave(ws: ServerConnection, _: int) -> None:
        await ws.send(hello_json(HELLO))

    async with scripted(behave) as (url, heard):
        async with GestureClient(ClientConfig(url=url + "/v1/session")) as client:
            for bad, reason in (
                (np.zeros((2, 10), np.float32), "mono"),
                (np.zeros(10), "float64"),
                (np.array([0, np.nan], np.float32), "not finite"),
            ):
                with pytest.raises(InputError, match=reason):
                    await client.push_audio(bad)
        assert not any(isinstance(m, bytes) for m in heard)


# -- the real server -----------------------------------------------------------------------------


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(NumpyBackend, slots=2, retarget=Unturned)
    yield engine
    await engine.aclose()


async def in_process(engine: Engine, samples: np.ndarray) -> list[SkeletonFrame]:
    """Return the frames of the same audio, as 16-bit PCM, without a socket."""
    heard = np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)
    own = engine.open_session(SessionOptions(lookahead=0, seed=5))
    own.push_word(WORD)

    async def read() -> list[SkeletonFrame]:
        return [frame async for frame in own]

    reading = asyncio.create_task(read())
    for chunk in chunks((heard / 32768).astype(np.float32)):
        await own.feed_audio(chunk)
    await own.finish()
    frames = await reading
    await own.aclose()
    return frames


async def test_a_session_of_its_own_gives_the_frames_of_a_local_one(tmp_path, engine):
    samples = voice(2.0)
    want = await in_process(engine, samples)
    got, events = list[WireFrame](), list[Event]()
    async with serving(tmp_path, open_session=engine.open_session) as (_, url):
        config = ClientConfig(
            url=ws_url(url, "/v1/session"), hello=ClientHello(lookahead=0, seed=5), most_jitter_s=0
        )
        async with GestureClient(config) as client:
            await client.push_word(WORD)

            async def read() -> None:
                async for item in client.items():
                    match item:
                        case WireFrame():
                            got.append(item)
                        case Event():
                            events.append(item)
                        case Hello():
                            pass

            reading = asyncio.create_task(read())
            for chunk in chunks(samples):  # no faster than its frames come back
                await client.push_audio(chunk.samples)
                due = chunk.end * 15 // 16_000
                await until(lambda due=due: len(got) >= due)
            await client.end()
            await soon(reading)
    assert [(f.index, f.sample) for f in got] == [(f.index, f.sample) for f in want]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a.rotations, b.rotations)
        np.testing.assert_array_equal(a.root, b.root)
    assert [e.data["text"] for e in events if e.kind == "word"] == ["hello"]
    assert events[-1].kind == "end"


async def warned(client: GestureClient) -> None:
    async for item in client.items():
        if isinstance(item, Event) and item.kind == "warning":
            return


@asynccontextmanager
async def at_port(tmp_path: Any, config: ServerConfig) -> AsyncIterator[tuple[Any, str]]:
    """A server on the port of its config; 0 takes a free one."""
    whole = replace(
        config, avatars=tmp_path / "avatars", web=tmp_path, mannequin=tmp_path / "none.vrm"
    )
    server = Server(whole, hello=lambda: HELLO, check_avatar=check_glb)
    url = await server.start()
    try:
        yield server, url
    finally:
        await server.aclose()


@pytest.mark.parametrize("form", ["bin", "json"])
async def test_a_recording_is_the_servers_own_and_a_restart_gets_its_own_file(tmp_path, form):
    mine = tmp_path / "mine.jsonl"
    arrays = tmp_path / "mine.npz"
    config: ClientConfig | None = None
    client: GestureClient | None = None
    port = 0
    try:
        for part in (1, 2):
            server_config = ServerConfig(port=port)
            async with at_port(tmp_path, server_config) as (server, url):
                port = server_config.port or int(url.rstrip("/").rsplit(":", 1)[1])
                if client is None:
                    config = ClientConfig(url=ws_url(url), form=form, record=(mine, arrays))
                    client = await soon(GestureClient(config, chance=lambda: 0.0).__aenter__())
                await until(lambda: server.sink.viewers == 1, 15)
                await until(lambda: client.stats.connections == part)  # noqa: B023
                await client.interrupt()  # answered after its subscription has been read
                await soon(warned(client))
                theirs = JsonlSink(tmp_path / f"theirs-{part}.jsonl", lambda: HELLO)
                before = client.stats.received
                for i in range(6):
                    frame = make_frame(part * 100 + i)
                    await theirs.send(frame)
                    await server.sink.send(frame)
                    if i == 2:
                        event = Event(kind="caption", sample=i, data={"text": "hi", "final": True})
                        await theirs.event(event)
                        await server.sink.event(event)
                    await until(lambda: client.stats.received == before + i + 1)  # noqa: B023
                await theirs.aclose()
        await until(lambda: not client.connected)
    finally:
        if client is not None:
            await client.aclose()
    for part, path in ((1, mine), (2, tmp_path / "mine-2.jsonl")):
        lines = path.read_text("utf-8").splitlines()
        got = [line for line in lines if '"event":"warning"' not in line]
        want = (tmp_path / f"theirs-{part}.jsonl").read_text("utf-8").splitlines()
        assert got[1:-1] == want[1:]
        assert json.loads(got[-1])["event"] == "end"
        assert json.loads(got[0]) == json.loads(want[0])
    with np.load(arrays) as first, np.load(tmp_path / "mine-2.npz") as second:
        assert len(first["sample"]) == len(second["sample"]) == 6
        decimals = 5 if form == "json" else 7
        want = make_frame(203).positions
        np.testing.assert_allclose(second["positions"][3], want, atol=10**-decimals)


async def test_a_token_is_sent_first_and_a_wrong_one_is_final(tmp_path):
    config = ServerConfig(token=TOKEN)
    async with serving(tmp_path, config) as (server, url):
        good = ClientConfig(url=ws_url(url), hello=ClientHello(token=TOKEN))
        async with GestureClient(good) as client:
            assert client.hello.session == HELLO.session
            assert server.sink.viewers == 1
        bad = ClientConfig(url=ws_url(url), hello=ClientHello(token="not-the-right-one"))
        with pytest.raises(ProtocolError, match="wrong token"):
            await soon(GestureClient(bad).__aenter__())


async def test_a_viewer_steers_the_local_session(tmp_path):
    async with serving(tmp_path) as (_, url):
        async with GestureClient(ClientConfig(url=ws_url(url))) as client:
            await client.interrupt()
            async for item in client.items():
                if isinstance(item, Event):
                    assert item.data["code"] == "unavailable"  # this stream takes no input
                    break


async def example(*line: str) -> tuple[int, str]:
    """Run an example of `clients/python` for a while; return its code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", str(EXAMPLES / line[0]), *line[1:],
        stdout=asyncio.subprocess.PIPE, cwd=EXAMPLES.parents[1],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parents[1])},
    )  # fmt: skip
    assert process.stdout is not None
    said = ""
    try:
        async with asyncio.timeout(40):
            while said.count("\n") < 3 and (text := await process.stdout.readline()):
                said += text.decode()
    finally:
        if process.returncode is None:
            process.kill()
        code = await process.wait()
    return code, said


@pytest.mark.parametrize("name", ["watch.py", "draw.py"])
async def test_examples_that_watch(tmp_path, name):
    async with serving(tmp_path) as (server, url):

        async def play() -> None:
            await until(lambda: server.sink.viewers == 1, 30)
            for i in range(600):
                await server.sink.send(make_frame(i))
                await asyncio.sleep(1 / 15)

        playing = asyncio.create_task(play())
        _, said = await example(name, ws_url(url))
        playing.cancel()
    assert said.count("\n") == 3
    assert ("idle" if name == "watch.py" else "(44, 4)") in said


async def test_example_that_speaks(tmp_path, engine):
    soundfile.write(tmp_path / "voice.wav", voice(0.6), 16_000)
    async with serving(tmp_path, open_session=engine.open_session) as (_, url):
        _, said = await example("speak.py", str(tmp_path / "voice.wav"), ws_url(url, "/v1/session"))
    assert said.startswith("0 ")
