"""Slices divide the slots of a group, each of which has one owner."""

from hypothesis import given
from hypothesis import strategies as st

from watcher.core.ownership import SLOTS, Grant, Slice, slot


@given(st.integers(1, SLOTS), st.text())
def test_each_slot_belongs_to_one_slice(slices: int, key: str) -> None:
    grants = [Grant(Slice("source a", number), 1, slices) for number in range(slices)]

    assert sorted(slot for grant in grants for slot in grant.slots()) == list(range(SLOTS))
    assert [grant for grant in grants if grant.covers(key)] == [
        grant for grant in grants if slot(key) in grant.slots()
    ]
    assert sum(grant.covers(key) for grant in grants) == 1
