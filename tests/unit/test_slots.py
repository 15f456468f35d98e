import pytest

from streamer.errors import UsageError
from streamer.slots import SlotTable


def test_slots_are_handed_out_lowest_first_and_run_out() -> None:
    table = SlotTable(2)
    first, second = table.acquire(), table.acquire()
    assert (first.index, second.index, table.free) == (0, 1, 0)
    with pytest.raises(UsageError, match="all 2 sessions are in use"):
        table.acquire()


def test_a_slot_of_a_former_owner_is_told_apart() -> None:
    table = SlotTable(1)
    old = table.acquire()
    table.release(old)
    new = table.acquire()
    assert new.index == old.index
    assert table.owns(new)
    assert not table.owns(old)
    table.release(old)  # too late: it must not take the slot from its new owner
    assert table.owns(new)


def test_a_table_has_slots() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        SlotTable(0)
