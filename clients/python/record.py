"""Record ten seconds: `python record.py talk.jsonl [URL]` (or .npz)."""

import asyncio
import sys
from pathlib import Path

from streamer.client import DEFAULT_URL, ClientConfig, GestureClient


async def main() -> None:
    url = sys.argv[2] if sys.argv[2:] else DEFAULT_URL
    config = ClientConfig(url=url, record=(Path(sys.argv[1]),))
    async with GestureClient(config) as client:
        await asyncio.sleep(10)
        print(client.stats)


asyncio.run(main())
