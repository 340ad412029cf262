"""Delays lie where equal jitter puts them, and who is removed is never taken."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from watcher.backoff import equal_jitter, lengthened, next_interval
from watcher.schedule import Entry, Schedule
from watcher.settings import PollingSettings


@given(st.floats(0, 1e6), st.integers())
def test_jitter_stays_within_its_bounds(delay: float, seed: int) -> None:
    assert delay / 2 <= equal_jitter(delay, Random(seed)) <= delay
    assert delay <= lengthened(delay, Random(seed)) <= delay * 1.1


@given(st.floats(0.1, 100), st.floats(1, 10), st.floats(100, 1000))
def test_intervals_grow_to_the_longest(interval: float, multiplier: float, longest: float) -> None:
    assert interval <= next_interval(interval, multiplier, longest) <= longest


@given(st.lists(st.tuples(st.sampled_from(["once", "changed", "unchanged", "remove", "take"]), st.integers(0, 5))))
def test_nobody_is_taken_before_being_due_twice_or_after_being_removed(operations: list[tuple[str, int]]) -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entries = [Entry(task_id=str(number)) for number in range(6)]
    waiting: set[str] = set()
    now = 0.0
    for operation, number in operations:
        now += 0.7
        entry = entries[number]
        if operation == "take":
            taken = [one.task_id for one in schedule.take(now, number)]
            assert len(set(taken)) == len(taken) <= number
            assert set(taken) <= waiting
            waiting -= set(taken)
        elif operation == "remove":
            schedule.remove(entry)
            waiting.discard(entry.task_id)
        else:
            {"once": schedule.at_once, "changed": schedule.changed, "unchanged": schedule.unchanged}[operation](
                entry, now
            )
            waiting.add(entry.task_id)
    assert {one.task_id for one in schedule.take(now + 1000, 100)} == waiting
    assert schedule.next_due_at() is None


def test_the_newest_is_taken_first_then_who_waited_longest() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    old, older, new, newer = (Entry(task_id=name) for name in ("old", "older", "new", "newer"))
    schedule.every(older, 10.0, 0.0)
    schedule.every(old, 10.0, 20.0)
    schedule.at_once(new, 40.0)
    schedule.at_once(newer, 40.0)

    assert [entry.task_id for entry in schedule.take(40.0, 10)] == ["newer", "new", "older", "old"]


def test_entries_that_were_moved_often_do_not_pile_up() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entry = Entry(task_id="t")
    for number in range(20_000):
        schedule.changed(entry, float(number))
    assert len(schedule._heap) < 5000
