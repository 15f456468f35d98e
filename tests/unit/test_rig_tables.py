from pathlib import Path

from tests.bench import rig_tables


def test_the_table_of_filters_says_what_each_adds() -> None:
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in rig_tables.filter_rows()][2:]
    assert [r[0].split()[0] for r in rows] == ["none", *["damped"] * 3, *["one_euro"] * 3]
    delays = {r[0]: [int(c.removesuffix(" ms")) for c in r[1:5]] for r in rows}
    assert delays["none"] == [0, 0, 0, 0]
    for ms in (50, 100, 300):  # a target that is held is up to a frame behind already
        assert 0 <= ms - delays[f"damped {ms}"][1] <= 67
        assert 0 <= ms - delays[f"damped {ms}"][3] <= 17
        assert delays[f"one_euro {ms}"][0] > delays[f"one_euro {ms}"][2]
    jitter = [float(r[5].split()[0]) for r in rows]
    assert jitter[0] > max(jitter[1:])


def test_a_row_of_beat2_tells_swing_twist_and_flips(shared: Path) -> None:
    cells = [c.strip() for c in rig_tables.beat2_row(shared).split("|")[1:-1]]
    assert cells[0] == "**BEAT2 scott, 40 s**"
    median, p99 = (float(v) for v in cells[4].split("/"))
    assert 5 < median < p99 < 60
    assert cells[2] == "0.0 / 0.0"
    assert cells[-1] == "0"
