"""Who is let in: other pages, rebound names, tokens, TLS (DESIGN 11)."""

import json
import ssl
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streamer.errors import UsageError
from streamer.server import Server, ServerConfig
from tests.serving import (
    HELLO,
    TOKEN,
    closed,
    fetch,
    read,
    say,
    self_signed,
    serving,
    ws_url,
)


async def handshake_status(url: str, **options: Any) -> int:
    try:
        async with connect(ws_url(url), **options) as ws:
            await read(ws)
    except InvalidStatus as error:
        return error.response.status_code
    return 101


async def test_other_pages_and_rebound_names_are_refused(tmp_path):
    async with serving(tmp_path) as (_, url):
        port = url.rstrip("/").rsplit(":", 1)[1]
        for own in ("127.0.0.1", "localhost", "[::1]"):
            assert await handshake_status(url, origin=f"http://{own}:{port}") == 101
            assert (await fetch(url, "healthz", headers={"Host": f"{own}:{port}"})).status == 200
        for other in (
            "null",
            "https://evil.example",
            f"http://evil.example:{port}",
            f"https://127.0.0.1:{port}",
            "http://127.0.0.1",
            "file://",
        ):
            assert await handshake_status(url, origin=other) == 403
            assert (await fetch(url, headers={"Origin": other})).status == 403
        for rebound in ("rebound.example", f"rebound.example:{port}", "127.0.0.1", ""):
            for path in ("", "healthz", "avatar", "v1/watch"):
                assert (await fetch(url, path, headers={"Host": rebound})).status == 403
        headers = {"Host": f"rebound.example:{port}"}
        host, real_port = "127.0.0.1", int(port)
        rebound_url = f"http://rebound.example:{port}/"
        assert await handshake_status(rebound_url, host=host, port=real_port) == 403
        assert (await fetch(url, headers=headers)).status == 403
        assert await handshake_status(url) == 101  # a program, without an Origin


async def test_a_token_is_asked_for_in_the_first_message(tmp_path):
    config = ServerConfig(token=TOKEN, handshake_timeout_s=0.2)
    hello = {"type": "hello", "protocol": "gesture.v1"}
    async with serving(tmp_path, config) as (_, url):
        async with connect(ws_url(url)) as ws:
            await say(ws, **hello, token=TOKEN)
            assert (await read(ws))["type"] == "hello"
        for first, code in (
            (json.dumps({**hello, "token": TOKEN + "!"}), 4401),
            (json.dumps(hello), 4401),
            ('{"type":"ack","seq":0}', 4401),
            (b"\0", 4401),
            ("nonsense", 4400),
            (None, 4408),
        ):
            async with connect(ws_url(url) + f"?token={TOKEN}") as ws:
                if first is not None:
                    await ws.send(first)
                got, said = await closed(ws)
                assert got == code
                assert [m["type"] for m in said] == ["error"]  # and no hello before it
        assert (await fetch(url, "healthz")).status == 200
        for path in ("avatar", "avatar/file", "metrics"):
            assert (await fetch(url, path)).status == 401
            assert (await fetch(url, f"{path}?token={TOKEN}")).status == 401
        authorised = {"Authorization": f"Bearer {TOKEN}"}
        assert (await fetch(url, "avatar", headers=authorised)).status == 200


async def test_beyond_loopback_it_takes_tls_and_a_token(tmp_path):
    cert, key = self_signed(tmp_path)
    with pytest.raises(UsageError, match="TLS and a token"):
        await Server(ServerConfig(bind="0.0.0.0", avatars=tmp_path), hello=lambda: HELLO).start()
    config = ServerConfig(bind="0.0.0.0", cert=cert, key=key, token=TOKEN)
    trust = ssl.create_default_context(cafile=str(cert))
    async with serving(tmp_path, config) as (_, url):
        assert url.startswith("https://0.0.0.0:")
        near = url.replace("0.0.0.0", "127.0.0.1")
        origin = near.rstrip("/")
        async with connect(ws_url(near), ssl=trust, origin=origin) as ws:
            await say(ws, type="hello", protocol="gesture.v1", token=TOKEN)
            assert (await read(ws))["type"] == "hello"
        with pytest.raises(InvalidStatus):
            await connect(ws_url(near), ssl=trust, origin=origin.replace("https", "http"))
