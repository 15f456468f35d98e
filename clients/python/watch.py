"""Print where the head turns: `python watch.py [ws://127.0.0.1:8765/v1/watch]`."""

import asyncio
import sys

from streamer.client import ClientConfig, GestureClient


async def main() -> None:
    config = ClientConfig(url=sys.argv[1]) if sys.argv[1:] else ClientConfig()
    async with GestureClient(config) as client:
        head = client.hello.bones.index("head")
        async for frame in client.frames():
            print(frame.sample / 16000, frame.state, frame.rotations[head])


asyncio.run(main())
