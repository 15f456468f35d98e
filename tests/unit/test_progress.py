import io

from streamer.durations import Durations
from streamer.progress import StatusLine
from tests.fakes import ManualClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_rewrites_one_line() -> None:
    stream, clock = Terminal(), ManualClock()
    line = StatusLine(stream, clock)
    line.show("a long text")
    line.show("too soon")
    clock.now += 1
    line.show("short")
    line.say("stays")
    assert stream.getvalue() == "\ra long text\rshort      \r     \rstays\n"


def test_a_log_gets_a_plain_line_now_and_then() -> None:
    stream, clock = io.StringIO(), ManualClock()
    line = StatusLine(stream, clock)
    for second in range(25):
        clock.now = 100 + second
        line.show(f"at {second}")
    line.clear()
    assert stream.getvalue() == "at 10\nat 20\n"


def test_durations_keep_the_latest() -> None:
    times = Durations(capacity=4)
    assert times.summary_ms() == {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    for seconds in (9.0, 0.001, 0.002, 0.003, 0.004):
        times.add(seconds)
    assert times.count == 5
    assert times.summary_ms()["p50"] == 2.5
    assert times.longer_than(0.0025) == 2
