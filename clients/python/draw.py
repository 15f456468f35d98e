"""A pose for every picture of a 60 Hz display: `python draw.py [URL]`."""

import asyncio
import sys

from streamer.client import ClientConfig, GestureClient


async def main() -> None:
    config = ClientConfig(url=sys.argv[1]) if sys.argv[1:] else ClientConfig()
    async with GestureClient(config) as client:
        while True:
            pose = client.shown()  # interpolated; VRM 1.0 axes
            print(pose.mode, round(pose.weight, 2), pose.rotations.shape, pose.root)
            await asyncio.sleep(1 / 60)


asyncio.run(main())
