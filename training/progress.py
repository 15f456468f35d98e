"""The one progress helper of long jobs: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(label: str, total: int, *, start: int = 0) -> Iterator[Callable[[str], None]]:
    """Yield `advance(note)`, to be called once per finished item."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total, completed=start, note="")
            yield lambda note="": bar.update(task, advance=1, note=note)
        return
    began = last = time.monotonic()
    done = start

    def advance(note: str = "") -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        if now - last >= 10 or done == total:
            last = now
            print(f"{label} {done}/{total} {now - began:.0f} s {note}", file=sys.stderr, flush=True)

    yield advance
