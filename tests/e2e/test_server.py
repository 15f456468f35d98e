"""The real server on loopback: what it serves, whom it refuses, what it survives."""

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streamer.errors import UsageError
from streamer.metrics import NoMetrics
from streamer.server import LocalInputs, Server, ServerConfig
from streamer.types import Event, WordEvent
from streamer.wire import (
    BINARY_SUBPROTOCOL,
    JSON_SUBPROTOCOL,
    Layout,
    decode_frame_bytes,
    decode_frame_json,
)
from tests.serving import (
    HELLO,
    TOKEN,
    closed,
    fetch,
    make_frame,
    read,
    say,
    schema_of,
    self_signed,
    serving,
    soon,
    until,
    viewer,
    ws_url,
)

LAYOUT = Layout.of(HELLO)
SCHEMA = schema_of("server")


# -- frames and events ---------------------------------------------------------


@pytest.mark.parametrize("subprotocol", [None, JSON_SUBPROTOCOL, BINARY_SUBPROTOCOL])
async def test_frames_arrive_as_they_were_sent(tmp_path, subprotocol):
    async with serving(tmp_path) as (server, url), viewer(url, subprotocol) as (ws, hello):
        assert ws.subprotocol == subprotocol
        SCHEMA.validate(hello)
        assert hello["bones"] == list(HELLO.bones)
        await say(ws, type="subscribe", include=["positions", "directions"])
        await say(ws, type="ping", id=1)
        assert (await read(ws))["type"] == "pong"  # so the subscription holds
        for index in range(10):
            frame = make_frame(index, reset=index == 3)
            await server.sink.send(frame)
            message = await soon(ws.recv())
            if subprotocol == BINARY_SUBPROTOCOL:
                got, tolerance = decode_frame_bytes(message, LAYOUT), 0.0
            else:
                SCHEMA.validate(json.loads(message))
                got, tolerance = decode_frame_json(message, LAYOUT), 5.1e-6
            assert (got.seq, got.index, got.sample) == (index, frame.index, frame.sample)
            assert (got.state, got.reset) == (frame.state, frame.reset)
            for name in ("root", "rotations", "positions", "directions"):
                np.testing.assert_allclose(getattr(got, name), getattr(frame, name), 0, tolerance)
            await say(ws, type="ack", seq=got.seq)


async def test_the_clients_first_known_subprotocol_is_taken(tmp_path):
    async with serving(tmp_path) as (_, url):
        offered = ["mqtt", BINARY_SUBPROTOCOL, JSON_SUBPROTOCOL]
        async with connect(ws_url(url), subprotocols=offered) as ws:
            assert ws.subprotocol == BINARY_SUBPROTOCOL
        with pytest.raises(InvalidStatus) as caught:
            await connect(ws_url(url), subprotocols=["mqtt"])
        assert caught.value.response.status_code == 400
        assert b"'mqtt' is not spoken here; offer gesture.v1.json" in caught.value.response.body


async def test_events_reach_every_viewer_in_order_and_nothing_is_compressed(tmp_path):
    async with serving(tmp_path) as (server, url):
        async with viewer(url) as (one, _), viewer(url, BINARY_SUBPROTOCOL) as (other, _):
            assert one.protocol.extensions == []
            for i in range(50):
                await server.sink.event(
                    Event(kind="caption", sample=i, data={"text": str(i), "final": True})
                )
            for ws in (one, other):
                got = [await read(ws) for _ in range(50)]
                assert [m["text"] for m in got] == [str(i) for i in range(50)]
                SCHEMA.validate(got[0])


async def test_a_viewer_that_never_acknowledges_gets_four_frames_then_a_warning(tmp_path):
    now = 0.0
    async with serving(tmp_path, clock=lambda: now) as (server, url):
        async with viewer(url) as (silent, _), viewer(url) as (good, _):
            for index in range(60):
                now += 1 / 15
                await server.sink.send(make_frame(index))
                assert (await read(good))["seq"] == index
                await say(good, type="ack", seq=index)
                await say(good, type="ping", id=index)  # its acknowledgement has been taken
                assert (await read(good))["sent"] == index + 1
            await say(silent, type="ping", id=0)
            got = list[dict[str, Any]]()
            while not got or got[-1]["type"] != "pong":
                got.append(await read(silent))
            assert [m["seq"] for m in got[:4]] == [0, 1, 2, 3]
            warning, pong = got[4:]
            SCHEMA.validate(warning)
            assert warning["code"] == "lag"
            assert (pong["sent"], pong["dropped"]) == (4, 55)
            await say(silent, type="ack", seq=3)
            assert (await read(silent))["seq"] == 59


async def test_a_frame_that_is_not_finite_reaches_nobody_and_stops_nothing(tmp_path):
    async with serving(tmp_path) as (server, url), viewer(url) as (ws, _):
        bad = replace(make_frame(0), positions=np.full((3, 3), np.nan, np.float32))
        await server.sink.send(bad)
        await server.sink.send(make_frame(1))
        assert (await read(ws))["index"] == 1


# -- HTTP ------------------------------------------------------------------------


@pytest.fixture
def web(tmp_path) -> Path:
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>overlay</title>")
    (folder / "assets" / "index-BxZ3k9Qa.js").write_text("export {}")
    (folder / "assets" / "plain.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


async def test_the_page_and_its_assets_are_served(tmp_path, web):
    async with serving(tmp_path) as (_, url):
        page = await fetch(url)
        assert (page.status, page.body) == (200, b"<!doctype html><title>overlay</title>")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "no-cache"
        assert page.headers["x-content-type-options"] == "nosniff"
        port = url.rstrip("/").rsplit(":", 1)[1]
        csp = page.headers["content-security-policy"]
        assert "default-src 'self'" in csp
        assert f"connect-src 'self' blob: data: ws://127.0.0.1:{port} " in csp
        assert "'wasm-unsafe-eval'" in csp
        assert "frame-ancestors 'self'" in csp
        script = await fetch(url, "assets/index-BxZ3k9Qa.js?x=1")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "immutable" in script.headers["cache-control"]
        wasm = await fetch(url, "assets/plain.wasm")
        assert wasm.headers["content-type"] == "application/wasm"
        assert wasm.headers["cache-control"] == "no-cache"
        head = await fetch(url, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(page.body))


async def test_an_unchanged_page_is_not_sent_again(tmp_path, web):
    async with serving(tmp_path) as (_, url):
        etag = (await fetch(url)).headers["etag"]
        again = await fetch(url, headers={"If-None-Match": etag})
        assert (again.status, again.body) == (304, b"")
        (web / "index.html").write_text("<!doctype html><title>new</title>")
        changed = await fetch(url, headers={"If-None-Match": etag})
        assert changed.status == 200
        assert changed.headers["etag"] != etag


@pytest.mark.parametrize(
    "path",
    [
        "nothing.html",
        "assets",
        "../secret.txt",
        "assets/../../secret.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "..%5csecret.txt",
        "/etc/passwd",
        "C:/secret.txt",
        "index.html%00.js",
        "index.html::$DATA",
        ".hidden",
        "x" * 3000,
    ],
)
async def test_nothing_beside_the_overlay_is_served(tmp_path, web, path):
    (web / ".hidden").write_text("hidden")
    async with serving(tmp_path) as (_, url):
        answer = await fetch(url, path)
        assert answer.status == 404
        assert b"secret" not in answer.body


async def test_a_link_out_of_the_overlay_is_not_followed(tmp_path, web):
    try:
        (web / "link.txt").symlink_to(tmp_path / "secret.txt")
    except OSError:
        pytest.skip("needs symbolic links")
    async with serving(tmp_path) as (_, url):
        assert (await fetch(url, "link.txt")).status == 404


async def test_health_readiness_and_metrics(tmp_path):
    async with serving(tmp_path) as (server, url), viewer(url) as (ws, _):
        await server.sink.send(make_frame(0, captured_at=-1e9))
        await read(ws)
        assert (await fetch(url, "healthz")).body == b"ok\n"
        ready = json.loads((await fetch(url, "readyz")).body)
        assert (ready["ready"], ready["viewers"]) == (True, 1)
        text = (await fetch(url, "metrics")).body.decode()
        assert 'gesture_frames_sent_total{sink="websocket"} 1.0' in text
        assert "gesture_clients 1.0" in text
        assert "gesture_mic_to_wire_seconds_count 1.0" in text


async def test_metrics_without_the_extra_say_how_to_get_it(tmp_path):
    async with serving(tmp_path, metrics=NoMetrics()) as (_, url):
        answer = await fetch(url, "metrics")
        assert answer.status == 501
        assert b"pip install 'gesture-streamer[serve]'" in answer.body


async def test_only_get_is_answered(tmp_path, web):
    async with serving(tmp_path) as (_, url):
        assert (await fetch(url, method="DELETE")).status == 405
        assert (await fetch(url, "v1/watch")).status == 426


# -- what it survives -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("nonsense", 4400),
        ('{"type":"dance"}', 4400),
        ('{"type":"ack","seq":5}', 4400),
        ('{"type":"ack","seq":NaN}', 4400),
        ('{"type":"end"}', 4400),
        (b"\x00\x01\x02", 4400),
        ('{"type":"ping","id":1}' + " " * 70_000, 4413),
        (bytes(300_000), 1009),  # the WebSocket layer's own limit
        ([b"\xff\xfe"], 1007),  # not UTF-8
    ],
)
async def test_a_client_that_sends_garbage_is_closed_alone(tmp_path, message, code):
    async with serving(tmp_path) as (server, url), viewer(url) as (good, _):
        async with viewer(url) as (bad, _):
            if isinstance(message, list):
                await bad.send(message[0], text=True)
            else:
                await bad.send(message)
            got, said = await closed(bad)
            assert got == code
            if code >= 4000:
                assert said[-1]["type"] == "error"
                assert said[-1]["code"] == code
                assert said[-1]["message"]
        await until(lambda: server.sink.viewers == 1)
        await server.sink.send(make_frame(0))
        assert (await read(good))["index"] == 0


async def test_a_flood_is_closed_with_a_reason(tmp_path):
    async with (
        serving(tmp_path) as (server, url),
        viewer(url) as (good, _),
        viewer(url) as (bad, _),
    ):

        async def flood() -> None:
            for _ in range(4_000):
                await bad.send('{"type":"subscribe","include":[]}')

        task = asyncio.create_task(flood())
        code, said = await closed(bad)
        assert (code, said[-1]["code"]) == (4429, 4429)
        await asyncio.gather(task, return_exceptions=True)  # cut short or not, it is over
        await server.sink.send(make_frame(0))
        assert (await read(good))["index"] == 0


async def test_connections_that_say_nothing_or_nonsense_are_cut(tmp_path):
    config = ServerConfig(handshake_timeout_s=0.1)
    async with serving(tmp_path, config) as (_, url):
        port = int(url.rstrip("/").rsplit(":", 1)[1])
        for first in (b"", b"\x16\x03\x01garbage\r\n\r\n", b"GET / HTTP/1.1\r\nHost: "):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            try:
                assert await soon(reader.read()) == b""
            except ConnectionResetError:
                pass
            writer.close()
        assert (await fetch(url, "healthz")).status == 200


async def test_there_are_only_so_many_viewers_and_connections(tmp_path):
    config = ServerConfig(max_viewers=1, max_sessions=0)
    async with serving(tmp_path, config) as (_, url), viewer(url):
        async with connect(ws_url(url)) as ws:
            assert (await closed(ws))[0] == 4503
        port = int(url.rstrip("/").rsplit(":", 1)[1])
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(80)]
        await until(lambda: any(reader.at_eof() or reader.exception() for reader, _ in idle))
        for _, writer in idle:
            writer.close()


async def test_small_messages_are_not_held_back(tmp_path):
    async with serving(tmp_path) as (server, url), viewer(url):
        (connection,) = server._gate.open
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# -- steering the local session ----------------------------------------------------------


async def test_viewers_steer_the_local_session(tmp_path):
    heard = list[Any]()

    def control(settings: Any) -> dict[str, Any]:
        if "speed" in settings:
            raise UsageError("there is no setting 'speed'")
        return {"intensity": settings["intensity"], "style": "calm"}

    inputs = LocalInputs(
        word=heard.append, interrupt=lambda: heard.append("interrupt"), control=control
    )
    async with serving(tmp_path, inputs=inputs) as (_, url):
        async with viewer(url) as (ws, _), viewer(url) as (other, _):
            await say(ws, type="word", text="hi", start=5, end=9)
            await say(ws, type="interrupt")
            await say(ws, type="control", settings={"intensity": 0.5})
            for each in (ws, other):
                event = await read(each)
                assert (event["event"], event["intensity"]) == ("settings", 0.5)
            assert heard == [WordEvent(text="hi", start=5, end=9), "interrupt"]
            await say(ws, type="control", settings={"speed": 1})
            event = await read(ws)
            assert (event["code"], event["message"]) == ("refused", "there is no setting 'speed'")


async def test_a_stream_without_input_says_so(tmp_path):
    async with serving(tmp_path) as (_, url), viewer(url) as (ws, _):
        await say(ws, type="interrupt")
        assert (await read(ws))["code"] == "unavailable"


# -- start and stop ------------------------------------------------------------------------------


async def test_a_port_in_use_is_one_clear_error(tmp_path):
    async with serving(tmp_path) as (_, url):
        port = int(url.rstrip("/").rsplit(":", 1)[1])
        second = Server(ServerConfig(port=port, avatars=tmp_path), hello=lambda: HELLO)
        with pytest.raises(UsageError, match=rf"port {port} on 127\.0\.0\.1 is in use.*--port 0"):
            await second.start()
        await second.aclose()


async def test_an_address_or_port_that_does_not_exist_is_one_clear_error(tmp_path):
    cert, key = self_signed(tmp_path)
    foreign = {"bind": "203.0.113.1", "cert": cert, "key": key, "token": TOKEN}
    for given, reason in (
        ({"port": 70_000}, "port 70000 does not exist"),
        ({"hosts": ("live.example.org",)}, "needs a token"),
        ({**foreign, "port": 0}, r"cannot listen on 203\.0\.113\.1"),
        ({**foreign, "cert": tmp_path / "none.pem"}, "none.pem"),
    ):
        config = ServerConfig(avatars=tmp_path, **given)
        with pytest.raises(UsageError, match=reason) as caught:
            await Server(config, hello=lambda: HELLO).start()
        assert "\n" not in str(caught.value)


async def test_stopping_tells_everyone_and_waits_for_nobody(tmp_path):
    async with serving(tmp_path) as (server, url):
        port = int(url.rstrip("/").rsplit(":", 1)[1])
        _, writer = await asyncio.open_connection("127.0.0.1", port)  # says nothing
        async with viewer(url) as (ws, _):
            stopping = asyncio.create_task(server.aclose())
            code, said = await closed(ws)
            assert (code, said[-1]["event"]) == (1001, "end")
            await soon(stopping, 3.0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await server.aclose()  # again is harmless
        writer.close()
