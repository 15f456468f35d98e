"""`gesture live`: its microphone changed over the WebSocket while it runs."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.pulse import pulse_server
from tests.e2e.test_mic_to_wire import page_of
from tests.fakes import tiny_artifact
from tests.serving import read, say, schema_of, ws_url

LIMIT_S = 90


async def until(ws: ClientConnection, wanted: str) -> dict[str, Any]:
    """Return the next event of a kind, or frame; acknowledge what comes before."""
    while True:
        message = await read(ws)
        if message["type"] == "frame":
            await say(ws, type="ack", seq=message["seq"])
        if wanted in (message["type"], message.get("event")):
            return message


async def test_another_microphone_over_the_wire(tmp_path: Path) -> None:
    model = str(tiny_artifact(tmp_path / "tiny"))
    options = ["--source", "mic", "--device", "pulse", "--asr", "none", "--model", model]
    schema = schema_of("server")
    with pulse_server() as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streamer.cli", "live", *options, "--port", "0",
            env=server.environment, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        try:
            async with (
                asyncio.timeout(LIMIT_S),
                connect(ws_url(await page_of(process.stderr, [])), subprotocols=None) as ws,
            ):
                await say(ws, type="choose")
                there = await until(ws, "choices")
                schema.validate(there)
                assert there["source"] == "mic pulse"
                assert there["device"] == "pulse"
                ids = [device["id"] for device in there["devices"]]
                assert "pulse" in ids
                assert [found["id"] for found in there["models"]][-1] == "tiny"

                await say(ws, type="choose", device="a microphone that is not there")
                warning = await until(ws, "warning")
                assert warning["code"] == "refused"
                assert "any more" in warning["message"]
                after = await until(ws, "choices")
                assert after["device"] == "pulse"

                await say(ws, type="choose", rescan=True)
                again = await until(ws, "choices")
                assert [device["id"] for device in again["devices"]] == ids
                assert again["device"] == "pulse"

                await say(ws, type="choose", device="default")
                changed = await until(ws, "choices")
                assert changed["source"].startswith("mic ")
                await until(ws, "frame")
        finally:
            process.kill()
            await process.wait()
