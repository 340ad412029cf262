"""Delays lie where equal jitter puts them, and who is removed is never taken."""

import tracemalloc
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.core.backoff import equal_jitter, lengthened, next_interval, slight_jitter
from watcher.core.settings import PollingSettings
from watcher.core.tasks import ActiveWatch
from watcher.polling.schedule import Entry, Schedule
from watcher.polling.watchlist import Tracked, TrackedTasks


@given(st.floats(0, 1e6), st.integers())
def test_jitter_stays_within_its_bounds(delay: float, seed: int) -> None:
    assert delay / 2 <= equal_jitter(delay, Random(seed)) <= delay
    assert delay * 0.9 - 1e-6 <= slight_jitter(delay, Random(seed)) <= delay
    assert delay <= lengthened(delay, Random(seed)) <= delay * 1.1


@given(st.floats(0.1, 100), st.floats(1, 10), st.floats(100, 1000))
def test_intervals_grow_to_the_longest(interval: float, multiplier: float, longest: float) -> None:
    assert interval <= next_interval(interval, multiplier, longest) <= longest


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["once", "changed", "unchanged", "remove", "take"]), st.integers(0, 5)
        )
    )
)
def test_nobody_is_taken_before_being_due_twice_or_after_being_removed(
    operations: list[tuple[str, int]],
) -> None:
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
            if operation == "unchanged":
                schedule.unchanged([entry], now)
            else:
                {"once": schedule.at_once, "changed": schedule.changed}[operation](entry, now)
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

    taken = [entry.task_id for _ in range(4) for entry in schedule.take(40.0, 1)]
    assert taken == ["newer", "new", "older", "old"]


def test_a_page_is_filled_with_those_due_next() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entries = [Entry(task_id=str(number)) for number in range(10)]
    for number, entry in enumerate(entries):
        schedule.every(entry, 2.0 * (number + 1), 0.0)
    schedule.at_once(entries[9], 0.0)

    taken = schedule.take(0.0, 4, fill=True)

    assert [entry.task_id for entry in taken[:2]] == ["9", "0"]
    assert len(taken) == 4
    assert schedule.take(0.0, 4) == []


def test_one_that_fills_a_page_early_is_not_asked_the_more_rarely_for_it() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entry = Entry(task_id="t", answered_at=100.0)
    schedule.every(entry, 8.0, 100.0)
    schedule.take(101.0, 1, fill=True)
    schedule.unchanged([entry], 101.0)
    assert entry.interval == 8.0


def test_behind_everybody_is_asked_in_the_order_of_the_last_answer() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entries = [Entry(task_id=str(number)) for number in range(100)]
    for entry in entries:
        schedule.spread(entry, 0.0)
    now = 60.0
    asked: list[str] = []
    for _ in range(300):
        now += 1.0
        (entry,) = schedule.take(now, 1)
        asked.append(entry.task_id)
        schedule.unchanged([entry], now)
    assert schedule.late(now) > 1
    assert asked[100:200] == asked[:100]
    assert asked[200:] == asked[:100]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    places=st.integers(1, 7),
    spacing=st.sampled_from([0.1, 1.0, 6.0]),
    arrivals=st.lists(st.integers(0, 40), max_size=20),
    changing=st.sets(st.integers(0, 59)),
    fill=st.booleans(),
)
def test_nobody_starves_under_any_budget(
    count: int, places: int, spacing: float, arrivals: list[int], changing: set[int], fill: bool
) -> None:
    """However short the budget, however many are new or change all the time: each is asked again before long."""
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(3))
    entries = [Entry(task_id=str(number)) for number in range(count)]
    for entry in entries:
        schedule.spread(entry, 0.0)
    now, asked = 0.0, {entry.task_id: 0.0 for entry in entries}
    rounds = 8 * (count + 40) + int(120 / spacing)
    # Of four places one goes to whoever has waited longest.
    limit = 30.0 + spacing * (4 * (count + 40 * 20) / places + 2)
    for number in range(rounds):
        now += spacing
        for newcomer in range(arrivals.pop() if arrivals else 0):
            entries.append(Entry(task_id=f"{number}/{newcomer}"))
            asked[entries[-1].task_id] = now
            schedule.at_once(entries[-1], now)
        for entry in schedule.take(now, places, fill=fill):
            asked[entry.task_id] = now
            if entry.task_id.isdigit() and int(entry.task_id) in changing:
                schedule.changed(entry, now)
            else:
                schedule.unchanged([entry], now)
        assert all(now - at <= limit for at in asked.values())


def test_a_task_needs_little_memory() -> None:
    count = 20_000
    tracemalloc.start()
    schedule: Schedule[Tracked] = Schedule(PollingSettings(), Random(1))
    tasks = TrackedTasks()
    for number in range(count):
        watch = ActiveWatch(
            "mixpeek", f"task_{number:032x}", "".join(["IN_", "PROGRESS"]), None, None
        )
        schedule.spread(tasks.adopt(watch, watch.task_id), 0.0)
    for now in (31.0, 62.0):
        schedule.unchanged(schedule.take(now, count), now)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / count <= 300
