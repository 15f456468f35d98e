"""Frames of a running engine, in Python: `clients/python/README.md` shows how.

`GestureClient` is the whole of it; the rest are its parts, without I/O:
`StreamClock` estimates when frames belong, `JitterBuffer` evens out their
arrival, `Playback` gives the pose at any time.
"""

from streamer.client.buffer import JitterBuffer
from streamer.client.clock import StreamClock
from streamer.client.config import DEFAULT_URL, ClientConfig
from streamer.client.connection import ClientStats, GestureClient, Item
from streamer.client.playback import Playback, Shown

__all__ = [
    "DEFAULT_URL",
    "ClientConfig",
    "ClientStats",
    "GestureClient",
    "Item",
    "JitterBuffer",
    "Playback",
    "Shown",
    "StreamClock",
]
