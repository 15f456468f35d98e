from pathlib import Path

from streamer.sinks.spool import Spool


async def test_small_pieces_wait_and_large_ones_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    spool = Spool(path)
    spool.add(b"x" * 1000)
    await spool.flush_if_full()
    assert not path.exists(), "an old file is not emptied before there is something new"
    spool.add(b"y" * 200_000)
    await spool.flush_if_full()
    assert path.stat().st_size == 201_000
    spool.add(b"z")
    await spool.aclose()
    assert path.read_bytes() == b"x" * 1000 + b"y" * 200_000 + b"z"
