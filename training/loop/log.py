"""A run's log: one JSON object a line, and TensorBoard beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from training.loop.runs import LOG


class RunLog:
    """Appends rows; one that goes on first drops what came after its point."""

    def __init__(self, folder: Path, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = folder / LOG
        if path.is_file():
            rows = [line for line in path.read_text("utf-8").splitlines() if _step(line) <= first]
            part = path.with_suffix(".part")
            part.write_text("".join(f"{row}\n" for row in rows), "utf-8")
            part.replace(path)
        self._file = path.open("a", encoding="utf-8")
        self._board: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=first or None)

    def row(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Write one row: `{"step": .., KIND: {..}}`."""
        self._file.write(json.dumps({"step": step, kind: dict(values)}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Close both."""
        self._file.close()
        self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _step(line: str) -> int:
    """Return a row's step; a line that a kill cut in half counts as after everything."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62
