"""An avatar's way from one page to all of them."""

import hashlib
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from streamer.errors import InputError
from streamer.wire import BINARY_SUBPROTOCOL
from tests.serving import (
    announce,
    fetch,
    make_frame,
    make_glb,
    read,
    read_until,
    say,
    schema_of,
    serving,
    until,
    viewer,
)

SCHEMA = schema_of("server")


async def upload(ws: ClientConnection, data: bytes, name: str = "mine.vrm") -> dict[str, Any]:
    """Upload in chunks of 192 kB as the page does; return the last answer."""
    await ws.send(announce(data, name))
    answer = await read_until(ws, lambda m: m["type"] == "upload")
    if answer["state"] == "ready":
        for at in range(0, len(data), 192 * 1024):
            await ws.send(data[at : at + 192 * 1024])
        answer = await read_until(ws, lambda m: m["type"] == "upload")
    return answer


async def test_an_avatar_is_shown_on_every_page_and_after_a_restart(tmp_path):
    data = make_glb(3_000_000)
    (tmp_path / "mannequin.vrm").write_bytes(make_glb(generator="mannequin"))
    async with serving(tmp_path) as (_, url):
        async with viewer(url) as (one, hello), viewer(url, BINARY_SUBPROTOCOL) as (other, _):
            assert (hello["avatar"]["name"], hello["avatar"]["custom"]) == ("mannequin.vrm", False)
            answer = await upload(one, data)
            SCHEMA.validate(answer)
            assert (answer["state"], answer["received"]) == ("done", len(data))
            for ws in (one, other):
                event = await read(ws)
                SCHEMA.validate(event)
                assert (event["event"], event["name"]) == ("avatar", "mine.vrm")
        file = await fetch(url, event["url"].lstrip("/"))
        assert file.body == data
        assert file.headers["content-type"] == "model/gltf-binary"
        assert "immutable" in file.headers["cache-control"]
        plain = await fetch(url, "avatar/file")
        assert plain.headers["cache-control"] == "no-cache"
        same = await fetch(url, "avatar/file", headers={"If-None-Match": plain.headers["etag"]})
        assert same.status == 304
    async with serving(tmp_path) as (_, url), viewer(url) as (ws, hello):
        assert hello["avatar"]["sha256"] == hashlib.sha256(data).hexdigest()
        await say(ws, type="control", settings={"avatar": "default"})
        assert (await read(ws))["name"] == "mannequin.vrm"
        assert json.loads((await fetch(url, "avatar")).body)["custom"] is False


async def test_an_avatar_that_is_none_is_refused_and_the_viewer_stays(tmp_path):
    async with serving(tmp_path) as (server, url), viewer(url) as (ws, _):
        for data, reason in (
            (b"<html>" * 100_000, "is no VRM"),
            (make_glb(400_000)[:-8], "truncated"),
        ):
            answer = await upload(ws, data)
            assert answer["state"] == "refused"
            assert reason in answer["message"]
        await say(ws, type="avatar", name="x", size=200_000_000, sha256="0" * 64)
        assert "200000000 bytes" in (await read(ws))["message"]
        await server.sink.send(make_frame(0))
        assert (await read(ws))["index"] == 0
        assert (await fetch(url, "avatar/file")).status == 404
        assert list((tmp_path / "avatars").glob("*.vrm")) == []


async def test_a_newer_upload_takes_the_place_of_one_that_stopped_half_way(tmp_path):
    data = make_glb(1_000_000)
    async with serving(tmp_path) as (_, url), viewer(url) as (slow, _), viewer(url) as (quick, _):
        await slow.send(announce(data))
        assert (await read(slow))["state"] == "ready"
        await slow.send(data[:200_000])
        assert (await upload(quick, data))["state"] == "done"
        await slow.send(data[200_000:400_000])
        answer = await read_until(slow, lambda m: m["type"] == "upload")
        assert "another upload" in answer["message"]


async def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_nothing(tmp_path):
    data = make_glb(1_000_000)
    async with serving(tmp_path) as (server, url):
        async with viewer(url) as (ws, _):
            await ws.send(announce(data))
            await read(ws)
            await ws.send(data[:200_000])
        await until(lambda: server.sink.viewers == 0)
        await until(lambda: not list((tmp_path / "avatars").iterdir()))


async def test_the_command_lines_avatar_is_taken_the_same_way(tmp_path):
    file = tmp_path / "Ada.vrm"
    file.write_bytes(make_glb())
    async with serving(tmp_path) as (server, url), viewer(url) as (ws, _):
        await server.set_avatar(file)
        assert (await read(ws))["name"] == "Ada.vrm"
        with pytest.raises(InputError, match="no such file"):
            await server.set_avatar(tmp_path / "none.vrm")
