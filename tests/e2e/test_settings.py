"""Settings over the real server: changed, refused, asked for; and by avatar."""

import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from streamer import outlets
from streamer.comfort_settings import Settings, as_mapping
from streamer.config import ServerOptions
from streamer.metrics import NoMetrics
from streamer.profiles import ProfileStore
from streamer.steering import Steering
from streamer.types import SkeletonFrame
from tests.takes import frame, hello, take


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.server.user_data_path", lambda *a, **k: tmp_path / "data")


async def heard(ws: ClientConnection, event: str) -> dict[str, Any]:
    """Return the next event of a kind."""
    while True:
        message = json.loads(await ws.recv())
        if message["type"] == "event" and message["event"] == event:
            return message


async def test_every_viewer_hears_what_one_has_set(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        steering = Steering(profiles=ProfileStore(tmp_path / "profiles"))
        url, sink = await outlets.start_server(
            stack,
            ServerOptions(port=0),
            avatar=None,
            hello=hello,
            word=lambda word: None,
            interrupt=lambda: None,
            steering=steering,
            metrics=NoMetrics(),
            clock=time.perf_counter,
        )
        address = url.replace("http", "ws", 1) + "v1/watch"
        protocol = [Subprotocol("gesture.v1.json")]
        one = await stack.enter_async_context(connect(address, subprotocols=protocol))
        two = await stack.enter_async_context(connect(address, subprotocols=protocol))
        for ws in (one, two):
            assert json.loads(await ws.recv())["type"] == "hello"

        async def control(**settings: object) -> None:
            await one.send(json.dumps({"type": "control", "settings": settings}))

        await control()
        assert as_mapping(Settings()).items() <= (await heard(one, "settings")).items()
        await control(left=0.0, still=True)
        for ws in (one, two):
            got = await heard(ws, "settings")
            while got["left"] != 0.0:
                got = await heard(ws, "settings")
            assert got["still"] is True
        await control(left=0.5, amplitude=99)
        warning = await heard(one, "warning")
        assert warning["code"] == "refused"
        assert "amplitude: 99, expected 0 to 1.5" in warning["message"]
        assert steering.in_effect()["left"] == 0.0

        source = take(40)
        shown: list[SkeletonFrame] = []
        for n in range(40):
            shown.append(steering.apply(frame(source, n)))
            await sink.send(shown[-1])
        await control(profile="save", still=False)
        assert (await heard(one, "settings"))["still"] is False
        saved = ProfileStore(tmp_path / "profiles").load(None)
        assert saved == Settings(left=0.0)
