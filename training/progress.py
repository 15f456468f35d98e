"""Progress of long jobs: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

T = TypeVar("T")

_LINE_SECONDS = 10.0


def track(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Yield the items and show on standard error how far they have come."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from rich_track(items, description=label, total=total, console=console)
        return
    began = shown = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - shown >= _LINE_SECONDS or done == total:
            shown = now
            print(f"{label}: {done}/{total} after {now - began:.0f} s", file=sys.stderr, flush=True)
