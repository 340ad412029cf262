"""Where a search for due deliveries begins, and that it misses nothing for long."""

import math
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from watcher.stores.postgresql.due_floor import DueFloor

CLOCKS = 4.0
"""Seconds by which the clocks of replicas may differ here."""


@dataclass
class Due:
    next_attempt_at: float | None


@given(
    steps=st.lists(
        st.tuples(st.floats(0.0, 4.0), st.none() | st.floats(-CLOCKS, 0.0), st.booleans()),
        max_size=60,
    )
)
def test_what_becomes_due_is_found_at_once_and_anything_within_ten_seconds(
    steps: list[tuple[float, float | None, bool]],
) -> None:
    now = 1000.0
    floor = DueFloor(lambda: now)
    pending: dict[float, float] = {}  # when each is due, and since when it is stored

    def search() -> list[float]:
        begun = floor.begin(None)
        found = sorted(moment for moment in pending if begun <= moment <= now)
        due: Any = [Due(moment) for moment in found]
        floor.searched(begun, now, due)
        return found

    for passed, stored, delivered in steps:
        now += passed
        if stored is not None:
            pending[now + stored] = now
        found = search()
        missed = [moment for moment in pending if moment <= now and moment not in found]
        assert not missed
        if delivered and found:
            del pending[found[0]]

    pending = {1.0: now}  # as with a clock that is an hour behind
    began = now
    while not search():
        now += 1.0
        assert now - began < 10.5
    floor.stored(-math.inf)
    pending[0.5] = now
    assert search() == [0.5, 1.0]


def test_a_search_begins_a_little_before_what_the_one_before_it_has_found() -> None:
    floor = DueFloor(lambda: 0.0)
    begun = [floor.begin(None)]
    for now in (1000.0, 1003.0, 1006.0):
        floor.searched(begun[-1], now, [])
        begun.append(floor.begin(None))
    waiting: Any = [Due(1004.0)]
    floor.searched(begun[-1], 1009.0, waiting)
    assert [*begun, floor.begin(None)] == [-math.inf, 995.0, 998.0, 1001.0, 1001.0]


def test_a_search_takes_no_notice_of_what_is_stored_while_it_runs() -> None:
    floor = DueFloor(lambda: 0.0)
    for stored in (990.0, 985.0, -math.inf):
        begun = floor.begin(None)
        floor.stored(stored)
        floor.searched(begun, 1000.0, [])
        assert floor.begin(None) <= stored


def test_what_is_due_in_other_slots_than_before_is_searched_for_from_the_beginning() -> None:
    floor = DueFloor(lambda: 0.0)
    for slots in ([1, 2], [1, 2, 3], [1], None):
        begun = floor.begin(slots)
        assert begun == -math.inf
        floor.searched(begun, 1000.0, [])
        assert floor.begin(slots) == 995.0
