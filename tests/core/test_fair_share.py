"""Shares of a budget: max-min fair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.fair_share import fair_level

NEEDS = st.lists(st.integers(0, 1000), max_size=8)


@pytest.mark.parametrize(
    ("needs", "budget", "level"),
    [
        ([], 10, 10),
        ([3, 4], 10, 10),
        ([90, 1], 10, 9),
        ([90, 90], 10, 5),
        ([90, 90, 2], 11, 4),
        ([1, 90, 6], 12, 5),
        ([5], 0, 0),
        ([5], -1, 0),
    ],
)
def test_level(needs: list[int], budget: int, level: int) -> None:
    assert fair_level(needs, budget) == level


@given(NEEDS, st.integers(0, 3000))
def test_nothing_is_left_that_any_consumer_needs(needs: list[int], budget: int) -> None:
    level = fair_level(needs, budget)
    taken = sum(min(need, level) for need in needs)
    assert taken <= budget
    assert taken == sum(needs) or taken > budget - len(needs)


@given(NEEDS.filter(bool), st.integers(0, 3000))
def test_each_gets_an_equal_share_at_least(needs: list[int], budget: int) -> None:
    assert fair_level(needs, budget) >= budget // len(needs)
