"""Choosing over the WebSocket, and a stream whose header changes: server and Python client."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamer.client import ClientConfig, GestureClient
from streamer.errors import UsageError
from streamer.server import LocalInputs
from streamer.types import Event, Hello
from streamer.wire import event_json
from streamer.wire_requests import Choose
from tests.serving import make_frame, say, schema_of, serving, soon, until, viewer, ws_url

THERE = {
    "source": "mic A",
    "device": "A",
    "devices": [{"id": i, "name": i, "default": i == "A"} for i in ("A", "B")],
    "model": "m",
    "backend": "b",
    "models": [{"id": "m", "name": "m"}],
}


class Chooser:
    """Takes a while for each change; has no microphone C."""

    def __init__(self) -> None:
        self.asked: list[Choose] = []
        self.go = asyncio.Event()
        self.device = "A"

    async def __call__(self, wanted: Choose) -> Mapping[str, Any]:
        self.asked.append(wanted)
        if wanted == Choose():
            return {**THERE, "device": self.device}
        await self.go.wait()
        if wanted.device == "C":
            raise UsageError("there is no microphone 'C' any more")
        self.device = wanted.device or self.device
        return {**THERE, "device": self.device}


def inputs(choose: Chooser | None) -> LocalInputs:
    return LocalInputs(
        word=lambda _: None, interrupt=lambda: None, control=lambda _: {}, choose=choose
    )


async def event(client: GestureClient, kind: str) -> Event:
    """Return the next event of a kind."""
    async with asyncio.timeout(10):
        async for item in client.items():
            if isinstance(item, Event) and item.kind == kind:
                return item
    raise AssertionError(f"no {kind}")


async def test_a_client_chooses_while_frames_go_on(tmp_path: Path) -> None:
    chooser = Chooser()
    schema = schema_of("server")
    async with serving(tmp_path, inputs=inputs(chooser)) as (server, url):
        watching = ClientConfig(url=ws_url(url), most_jitter_s=0)
        async with GestureClient(watching) as client, GestureClient(watching) as other:
            await client.choose()
            listed = await event(client, "choices")
            assert listed.data == THERE
            schema.validate({"type": "event", "event": "choices", "sample": 0, **listed.data})
            assert event_json(listed)

            await client.choose(device="B")
            await soon(until(lambda: len(chooser.asked) == 2))
            for seq in range(12):  # more than may be unacknowledged
                await server.sink.send(make_frame(seq))
                await soon(until(lambda seq=seq: client.stats.received > seq))
            await client.choose(device="A")  # one at a time
            assert (await event(client, "warning")).data["code"] == "refused"
            chooser.go.set()
            assert (await event(client, "choices")).data["device"] == "B"
            assert (await event(other, "choices")).data["device"] == "B", "everybody is told"

            await client.choose(device="C")
            assert "any more" in (await event(client, "warning")).data["message"]
            assert (await event(client, "choices")).data["device"] == "B"


async def test_a_stream_without_choices_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, inputs=inputs(None)) as (_, url), viewer(url) as (ws, _hello):
        await say(ws, type="choose", model="m")
        schema_of("client").validate({"type": "choose", "model": "m"})
        answer = json.loads(await soon(ws.recv()))
        assert (answer["event"], answer["code"]) == ("warning", "unavailable")


async def test_a_new_header_brings_everybody_back(tmp_path: Path) -> None:
    async with serving(tmp_path, inputs=inputs(None)) as (server, url):
        async with GestureClient(ClientConfig(url=ws_url(url))) as client:
            await soon(until(lambda: server.sink.viewers == 1))
            server.sink.renew()
            hellos = 0
            async with asyncio.timeout(10):
                async for item in client.items():
                    hellos += isinstance(item, Hello)
                    if hellos == 2:
                        break
            assert client.stats.connections == 2
            assert server.sink.viewers == 1
