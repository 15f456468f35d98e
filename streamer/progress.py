"""A status line that keeps itself up to date, on a terminal or in a log."""

import shutil
from typing import TextIO

from streamer.clock import Clock

_TERMINAL_S = 0.25
_LOG_S = 10.0


class StatusLine:
    """Shows one changing line: rewritten in a terminal, now and then as plain lines elsewhere."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._shown = 0
        self._next = clock() + (0 if self._terminal else _LOG_S)

    @property
    def every_s(self) -> float:
        """How often to show something new."""
        return _TERMINAL_S if self._terminal else _LOG_S

    def show(self, text: str) -> None:
        """Show a text, unless the last one is too fresh."""
        if self._clock() < self._next:
            return
        self._next = self._clock() + self.every_s
        if not self._terminal:
            print(text, file=self._stream, flush=True)
            return
        text = text[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + text.ljust(self._shown))
        self._stream.flush()
        self._shown = len(text)

    def say(self, text: str) -> None:
        """Print a line that stays, above the changing one."""
        self.clear()
        print(text, file=self._stream, flush=True)

    def clear(self) -> None:
        """Take the changing line away."""
        if self._shown:
            self._stream.write("\r" + " " * self._shown + "\r")
            self._stream.flush()
            self._shown = 0
