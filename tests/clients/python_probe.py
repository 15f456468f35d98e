"""The Python client as a probe, with the same output as the C# and C++ ones.

python_probe.py sim SCRIPT | live URL SUBPROTOCOL SECONDS
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from streamer.client import ClientConfig, GestureClient, Item, Playback  # noqa: E402
from streamer.types import Event, Hello, Latency  # noqa: E402
from streamer.wire import INCLUDES, WireFrame, event_json  # noqa: E402


def hello(fps: float, bones: int) -> Hello:
    """Return a header that has so many bones."""
    return Hello(
        session="sim",
        version="",
        model="",
        backend="",
        fps=fps,
        lookahead=0,
        bones=tuple(map(str, range(bones))),
        parents=(-1,) * bones,
        rest=np.zeros((bones, 3), np.float32),
        joints=(),
        directions=(),
        latency=Latency(algorithmic_ms=0, compute_ms=0, mic_to_wire_ms=0, visible_ms=0),
        avatar={},
    )


def numbers(array: np.ndarray) -> str:
    """Return the numbers in full."""
    return " ".join(repr(float(v)) for v in array.ravel())


def simulate(path: Path) -> None:
    """Play frames at made-up times and print the poses."""
    playback = Playback()
    for line in path.read_text().splitlines():
        what, at, *rest = line.split(" ")
        match what:
            case "hello":
                playback.begin(hello(float(rest[0]), int(rest[1])), float(at))
            case "frame":
                values = np.array(rest[2:], np.float32)
                playback.push(
                    WireFrame(
                        seq=0,
                        index=0,
                        sample=int(rest[0]),
                        state="idle",
                        reset=rest[1] == "1",
                        root=values[:3],
                        rotations=values[3:].reshape(-1, 4),
                    ),
                    float(at),
                )
            case _:
                shown = playback.update(float(at))
                print(
                    f"{shown.sample!r} {shown.weight!r} {shown.mode} {playback.jitter_s!r} "
                    f"{numbers(shown.root)} {numbers(shown.rotations)}"
                )


def text(item: Item) -> str:
    """Return the line of what came."""
    match item:
        case Hello():
            return f"hello {item.session} {item.fps} {','.join(item.bones)}"
        case Event():
            return f"event {item.kind} {item.sample} {event_json(item)}"
        case WireFrame():
            line = (
                f"frame {item.seq} {item.index} {item.sample} {item.state} {int(item.reset)} "
                f"root {numbers(item.root)} rotations {numbers(item.rotations)}"
            )
            for name in sorted(INCLUDES):
                if (array := getattr(item, name)) is not None:
                    line += f" {name} {numbers(array)}"
            return line


async def live(url: str, subprotocol: str, seconds: float) -> None:
    """Watch an engine and draw at 60 Hz until a caption says "stop"."""
    start = time.perf_counter()
    items: list[Item] = []
    came: list[float] = []
    updates = held = backwards = 0
    async with GestureClient(
        ClientConfig(url=url, form="bin" if subprotocol.endswith("bin") else "json")
    ) as client:

        async def read() -> None:
            async for item in client.items():
                items.append(item)
                if isinstance(item, WireFrame):
                    came.append(time.perf_counter())
                elif isinstance(item, Event) and item.data.get("text") == "stop":
                    return

        reading = asyncio.create_task(read())
        last = None
        while time.perf_counter() - start < seconds and not reading.done():
            shown, connections = client.shown(), client.stats.connections
            updates += 1
            held += shown.mode == "held"
            if last is not None and last[:2] == (connections, "live"):
                backwards += shown.sample < last[2]
            last = (connections, shown.mode, shown.sample)
            await asyncio.sleep(max(0.0, start + updates / 60 - time.perf_counter()))
        stats = client.stats
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    for item in items:
        print(text(item))
    summary = {
        "problem": "",
        "frames": stats.received,
        "missed": stats.missed,
        "dropped": stats.dropped,
        "updates": updates,
        "held_updates": held,
        "backwards": backwards,
        "worst_gap_ms": 1000 * max(np.diff(came), default=0.0),
        "jitter_ms": stats.jitter_ms,
    }
    print("summary " + json.dumps(summary))


if __name__ == "__main__":
    if sys.argv[1] == "sim":
        simulate(Path(sys.argv[2]))
    else:
        asyncio.run(live(sys.argv[2], sys.argv[3], float(sys.argv[4])))
