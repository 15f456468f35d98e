"""Measures many viewers on one engine: delivery, cost, and what slow ones do to others."""

import asyncio
import contextlib
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from streamer.server import ServerConfig
from tests.serving import FPS, make_frame, serving, until

CROWD = Path(__file__).parent / "clients" / "crowd.py"
FRAMES_LIMIT = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One run. Delivery is from `send` to having been read by a viewer, milliseconds.

    late_ms: how late the server itself came to send, p99: what the machine does
    to it. cpu: share of a core that the server took. lost: frames that viewers
    who read did not get.
    """

    viewers: int
    slow: int
    frames: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    late_ms: float
    cpu: float
    cpu_us_per_frame: float
    lost: int
    disorder: int
    unequal: int

    def row(self) -> dict[str, float]:
        """Return it for JSON, rounded."""
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}


async def deliver(folder: Path, *, viewers: int, slow: int, seconds: float) -> Delivery:
    """Stream to a crowd in real time."""
    frames = [make_frame(i, captured_at=0.0) for i in range(round(seconds * FPS))]
    assert len(frames) < FRAMES_LIMIT
    out = folder / f"{viewers}-{slow}.npz"
    async with serving(folder, ServerConfig(max_viewers=viewers + 1)) as (server, url):
        port = url.rstrip("/").rsplit(":", 1)[1]
        line = [str(CROWD), port, str(viewers), str(slow), str(out)]
        crowd = await asyncio.create_subprocess_exec(
            sys.executable, *line, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert crowd.stdout is not None
            assert await crowd.stdout.readline() == b"ready\n"
            await until(lambda: server.sink.viewers == viewers, 120)
            sent, due = np.zeros(len(frames)), np.zeros(len(frames))
            cpu, start = time.process_time(), time.perf_counter() + 0.2
            for i, frame in enumerate(frames):
                due[i] = start + i / FPS
                await asyncio.sleep(max(0.0, due[i] - time.perf_counter()))
                sent[i] = time.perf_counter()
                await server.sink.send(frame)
            await asyncio.sleep(1.0)  # what is on its way arrives
            cpu = time.process_time() - cpu
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                crowd.kill()
            raise
    assert await crowd.wait() == 0
    with np.load(out) as got:
        arrived = got["arrived"][:, : len(frames)]
        disorder, unequal = int(got["disorder"]), int(got["unequal"])
    took = (arrived - sent) * 1e3
    p50, p99 = np.nanpercentile(took, [50, 99])
    return Delivery(
        viewers=viewers,
        slow=slow,
        frames=len(frames),
        p50_ms=float(p50),
        p99_ms=float(p99),
        worst_ms=float(np.nanmax(took)),
        late_ms=float(np.percentile(sent - due, 99) * 1e3),
        cpu=cpu / (sent[-1] - sent[0] + 1 / FPS),
        cpu_us_per_frame=cpu * 1e6 / arrived.size,
        lost=int(np.isnan(arrived).sum()),
        disorder=disorder,
        unequal=unequal,
    )
