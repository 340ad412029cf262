"""Delays stay within their bounds, removed entries are never taken, and no task starves."""

import sys
import tracemalloc
from random import Random
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tests.support.stores import system_events
from watcher.core.backoff import equal_jitter, lengthened, next_interval, slight_jitter
from watcher.core.routing import Routing
from watcher.core.settings import PollingSettings
from watcher.core.tasks import ActiveWatch
from watcher.core.wakeup import Wakeup
from watcher.polling.absence import AbsenceJudge
from watcher.polling.context import PollingContext, PollingStore
from watcher.polling.knowledge import Knowledge, interned
from watcher.polling.last_seen import LastSeenTasks
from watcher.polling.reachability import Reachability
from watcher.polling.schedule import LOST_INTERVAL, Coverage, Entry, Outcome, Schedule, next_delay
from watcher.polling.watchlist import TrackedTasks
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.unexpected import UnexpectedErrors


@given(st.floats(0, 1e6), st.integers())
def test_jitter_stays_within_its_bounds(delay: float, seed: int) -> None:
    assert delay / 2 <= equal_jitter(delay, Random(seed)) <= delay
    assert delay * 0.9 - 1e-6 <= slight_jitter(delay, Random(seed)) <= delay
    assert delay <= lengthened(delay, Random(seed)) <= delay * 1.1


@given(st.floats(0.1, 100), st.floats(1, 10), st.floats(100, 1000))
def test_intervals_grow_to_the_longest(interval: float, multiplier: float, longest: float) -> None:
    assert interval <= next_interval(interval, multiplier, longest) <= longest


def add_after(schedule: Schedule[Entry], entry: Entry, interval: float, now: float) -> None:
    entry.interval = interval / PollingSettings().multiplier
    schedule.add(entry, Outcome.UNCHANGED, now)


@pytest.mark.parametrize(
    ("outcome", "interval", "bounds"),
    [
        (Outcome.NEW, 1.0, (0.0, 0.0)),
        (Outcome.CHANGED, 1.0, (0.5, 1.0)),
        (Outcome.UNCHANGED, 8.0, (4.0, 8.0)),
        (Outcome.SLOW, 30.0, (15.0, 30.0)),
        (Outcome.RESTORED, 30.0, (0.0, 30.0)),
        (Outcome.LOST, LOST_INTERVAL, (LOST_INTERVAL / 2, LOST_INTERVAL)),
        (Outcome.NOT_IN_PAGE, 4.0, (0.0, 0.0)),
    ],
)
def test_the_next_delay_of_each_outcome(
    outcome: Outcome, interval: float, bounds: tuple[float, float]
) -> None:
    following, delay = next_delay(outcome, 4.0, PollingSettings(), Random(1))
    assert following == interval
    assert bounds[0] <= delay <= bounds[1]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Outcome.NEW, Outcome.CHANGED, Outcome.UNCHANGED, "remove", "take"]),
            st.integers(0, 5),
        )
    )
)
def test_no_entry_is_taken_early_twice_or_after_its_removal(
    operations: list[tuple[Outcome | str, int]],
) -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entries = [Entry(task_id=str(number)) for number in range(6)]
    waiting: set[str] = set()
    now = 0.0
    for operation, number in operations:
        now += 0.7
        entry = entries[number]
        if operation == "take":
            taken = [entry.task_id for entry in schedule.take(now, number)]
            assert len(set(taken)) == len(taken) <= number
            assert set(taken) <= waiting
            waiting -= set(taken)
        elif operation == "remove":
            schedule.remove(entry)
            waiting.discard(entry.task_id)
        elif isinstance(operation, Outcome):
            if operation is Outcome.UNCHANGED:
                schedule.add_unchanged([entry], now)
            else:
                schedule.add(entry, operation, now)
            waiting.add(entry.task_id)
    assert {entry.task_id for entry in schedule.take(now + 1000, 100)} == waiting
    assert schedule.next_due_at() is None


def test_the_newest_is_taken_first_then_the_most_overdue() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    old, older, new, newer = (Entry(task_id=name) for name in ("old", "older", "new", "newer"))
    add_after(schedule, older, 10.0, 0.0)
    add_after(schedule, old, 10.0, 20.0)
    schedule.add(new, Outcome.NEW, 40.0)
    schedule.add(newer, Outcome.NEW, 40.0)

    taken = [entry.task_id for _ in range(4) for entry in schedule.take(40.0, 1)]
    assert taken == ["newer", "new", "older", "old"]


def test_a_page_is_filled_with_those_due_next() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entries = [Entry(task_id=str(number)) for number in range(10)]
    for number, entry in enumerate(entries):
        add_after(schedule, entry, 2.0 * (number + 1), 0.0)
    schedule.add(entries[9], Outcome.NEW, 0.0)

    taken = schedule.take(0.0, 4, fill=True)

    assert [entry.task_id for entry in taken[:2]] == ["9", "0"]
    assert len(taken) == 4
    assert schedule.take(0.0, 4) == []


def test_an_entry_that_fills_a_page_early_keeps_its_interval() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entry = Entry(task_id="t", answered_at=100.0)
    add_after(schedule, entry, 8.0, 100.0)
    schedule.take(101.0, 1, fill=True)
    schedule.add_unchanged([entry], 101.0)
    assert entry.interval == 8.0


def test_behind_schedule_tasks_are_polled_in_the_order_of_their_last_answers() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entries = [Entry(task_id=str(number)) for number in range(100)]
    for entry in entries:
        schedule.add(entry, Outcome.RESTORED, 0.0)
    now = 60.0
    polled: list[str] = []
    for _ in range(300):
        now += 1.0
        (entry,) = schedule.take(now, 1)
        polled.append(entry.task_id)
        schedule.add_unchanged([entry], now)
    assert schedule.late(now) > 1
    assert polled[100:200] == polled[:100]
    assert polled[200:] == polled[:100]


def test_ahead_of_their_due_times_tasks_are_polled_in_the_order_of_their_last_answers() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    for number in range(40):
        add_after(schedule, Entry(task_id=str(number)), 30.0, 0.0)
    now = 10.0
    polled: list[str] = []
    for _ in range(40):
        now += 1.0
        taken = schedule.take(now, 10, fill=True, ahead=True)
        polled += [entry.task_id for entry in taken]
        schedule.add_unchanged(taken, now)
        assert schedule.late(now) == 0
    rounds = [sorted(polled[start : start + 40], key=int) for start in range(0, 400, 40)]
    assert all(one == [str(number) for number in range(40)] for one in rounds)


def test_ahead_of_their_due_times_tasks_that_keep_changing_delay_no_others() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entries = [Entry(task_id=str(number), answered_at=0.0) for number in range(400)]
    for entry in entries:
        add_after(schedule, entry, 30.0, 0.0)
    longest = 0.0
    for now in range(1, 601):
        taken = schedule.take(now, 40, fill=True, ahead=True)
        longest = max(longest, *(now - (entry.answered_at or 0.0) for entry in taken))
        for entry in taken:
            entry.answered_at = now
        schedule.add_unchanged(taken[:-1], now)
        schedule.add(taken[-1], Outcome.CHANGED, now)
    # A task that has changed is polled five more times before it is one of many again.
    assert longest <= 10 * 40 / (40 - 6) + 1


def test_a_late_task_does_not_end_the_backoff_of_the_others() -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(1))
    entry = Entry(task_id="t")
    schedule.add(entry, Outcome.NEW, 0.0)
    now, due = 0.0, []
    for _ in range(7):
        now += 5.0  # the budget is short
        assert schedule.take(now, 1) == [entry]
        schedule.add_unchanged([entry], now)
        assert entry.due_at is not None
        due.append(round(entry.due_at - now))
        now = entry.due_at
    assert due == [2, 4, 8, 16, 30, 30, 30]


@settings(max_examples=60)
@given(
    count=st.integers(1, 60),
    places=st.integers(1, 7),
    spacing=st.sampled_from([0.1, 1.0, 6.0]),
    arrivals=st.lists(st.integers(0, 40), max_size=20),
    changing=st.sets(st.integers(0, 59)),
    fill=st.booleans(),
)
def test_no_task_starves_under_any_budget(
    count: int, places: int, spacing: float, arrivals: list[int], changing: set[int], fill: bool
) -> None:
    """Whatever the budget, and however many tasks are new or keep changing, each is polled in
    time.
    """
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(3))
    entries = [Entry(task_id=str(number)) for number in range(count)]
    for entry in entries:
        schedule.add(entry, Outcome.RESTORED, 0.0)
    now, polled = 0.0, {entry.task_id: 0.0 for entry in entries}
    rounds = 8 * (count + 40) + int(120 / spacing)
    # One place in four goes to the most overdue task.
    limit = 30.0 + spacing * (4 * (count + 40 * 20) / places + 2)
    for number in range(rounds):
        now += spacing
        for newcomer in range(arrivals.pop() if arrivals else 0):
            entries.append(Entry(task_id=f"{number}/{newcomer}"))
            polled[entries[-1].task_id] = now
            schedule.add(entries[-1], Outcome.NEW, now)
        for entry in schedule.take(now, places, fill=fill):
            polled[entry.task_id] = now
            if entry.task_id.isdigit() and int(entry.task_id) in changing:
                schedule.add(entry, Outcome.CHANGED, now)
            else:
                schedule.add_unchanged([entry], now)
        assert all(now - at <= limit for at in polled.values())


@given(count=st.integers(1, 1200), seed=st.integers())
def test_covered_tasks_are_confirmed_in_time_and_share_slots(count: int, seed: int) -> None:
    schedule: Schedule[Entry] = Schedule(PollingSettings(), Random(seed))
    page = [Entry(task_id=str(number), interval=30.0) for number in range(count)]
    schedule.add_unchanged(page, 0.0, Coverage(every=30.0, confirmed_every=300.0))
    due = {entry.due_at for entry in page if entry.due_at is not None}
    assert 270.0 - 0.1 <= min(due) <= max(due) <= 300.0 + 0.1
    assert len(due) <= count / 50 + 1
    assert sorted(schedule.take(300.1, count), key=lambda one: int(one.task_id)) == page


def tracked_tasks() -> TrackedTasks:
    routing = Routing([], [])
    metrics = Metrics(CollectorRegistry(), "test")
    context = PollingContext(
        source_name="mixpeek",
        store=cast(PollingStore, None),
        routing=routing,
        system_event=system_events(routing),
        polling=PollingSettings(),
        unreachable_after=60.0,
        metrics=metrics.source("mixpeek"),
        unexpected=UnexpectedErrors(metrics),
        outbox=Wakeup(),
        wall=lambda: 0.0,
        random=Random(1),
    )
    return TrackedTasks(context, AbsenceJudge(600.0, Reachability(60.0)))


def test_what_another_replica_polls_takes_no_memory() -> None:
    count = 20_000
    tracemalloc.start()
    tasks = tracked_tasks()
    tasks.last_seen = LastSeenTasks(lambda: 0.0)
    tasks.last_seen.size = 1000
    named = [f"task_{number:032x}" for number in range(count)]
    tasks.restore((ActiveWatch("mixpeek", one, "IN_PROGRESS", None, None) for one in named), 0.0)
    allocated, _ = tracemalloc.get_traced_memory()
    for task_id in named[: count // 2]:
        tasks.forget(task_id)
    del named[: count // 2]
    tasks.compact()
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < allocated * 0.55
    assert sorted(task.task_id for task in tasks.common.take(31.0, count)) == sorted(named)


def test_a_task_needs_little_memory() -> None:
    count = 20_000
    tracemalloc.start()
    tasks = tracked_tasks()
    tasks.restore(
        (
            ActiveWatch("mixpeek", f"task_{number:032x}", "".join(["IN_", "PROGRESS"]), None, None)
            for number in range(count)
        ),
        0.0,
    )
    for now in (31.0, 62.0):
        tasks.common.add_unchanged(tasks.common.take(now, count), now)
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert allocated / count <= 200


def test_tasks_share_what_is_known_of_them() -> None:
    tasks = tracked_tasks()
    named = [f"task_{number}" for number in range(100)]
    tasks.restore((ActiveWatch("mixpeek", one, "IN_PROGRESS", None, None) for one in named), 0.0)
    tracked = [task for one in named if (task := tasks.get(one)) is not None]
    for task in tracked:
        task.not_in_page = True
        task.steady = False
    assert len({id(task.known) for task in tracked}) == 1
    for task in tracked:
        task.not_in_page = False
        task.settle()
    assert {id(task.known) for task in tracked} == {id(tracked[0].known)}
    assert (tracked[0].status, tracked[0].steady) == ("IN_PROGRESS", True)
    assert sys.getsizeof(tracked[0]) <= 64  # one field more would make it 80


def test_few_records_of_what_is_known_are_kept() -> None:
    first = interned(Knowledge(status="STATUS_0"))
    assert interned(Knowledge(status="STATUS_0")) is first
    for number in range(1, 1001):
        interned(Knowledge(status=f"STATUS_{number}"))
    assert interned(Knowledge(status="STATUS_0")) is not first
    missing = Knowledge(status="STATUS_0", missing_since=1.0)
    assert interned(missing) is missing
    assert interned(Knowledge(status="STATUS_0", missing_since=1.0)) is not missing
