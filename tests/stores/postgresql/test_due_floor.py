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
        begun = floor.begin()
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
