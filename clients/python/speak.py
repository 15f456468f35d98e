"""Gestures for a voice of your own: `python speak.py voice.wav ws://127.0.0.1:8765/v1/session`.

The engine is `gesture serve`. The file is mono at 16 kHz; a microphone's blocks do as well.
"""

import asyncio
import sys

import soundfile

from streamer.client import ClientConfig, GestureClient


async def main() -> None:
    voice, _ = soundfile.read(sys.argv[1], dtype="float32")
    async with GestureClient(ClientConfig(url=sys.argv[2])) as client:
        speaking = asyncio.create_task(speak(client, voice))
        async for frame in client.frames():
            print(frame.index, frame.state, frame.rotations[0])
        await speaking


async def speak(client: GestureClient, voice) -> None:
    for start in range(0, len(voice), 640):
        await client.push_audio(voice[start : start + 640])
        await asyncio.sleep(640 / 16000)  # as it is spoken
    await client.end()


asyncio.run(main())
