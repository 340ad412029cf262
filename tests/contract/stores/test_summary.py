"""What `Summary` promises, for every store."""

from dataclasses import replace

import pytest

from tests.contract.stores.harness import add_watch
from tests.support.records import step
from watcher.core.interfaces.store import Store
from watcher.core.summary import FailureGroup, TroubledTasks
from watcher.core.tasks import Watch, WatchState

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0
DAY = 86400.0


async def end(
    store: Store, task_id: str, status: str, at: float, error: str | None = None
) -> Watch:
    change = step(await add_watch(store, task_id), status, at=at)
    watch = replace(change.watch, state=WatchState.DONE, error_message=error)
    await store.record([replace(change, watch=watch)])
    return watch


async def test_an_empty_store_counts_nothing(store: Store) -> None:
    summary = await store.summary(NOW)
    assert (summary.ended, summary.failures, summary.lost, summary.stalled) == ({}, [], 0, 0)
    assert [minute.transitions for minute in summary.minutes] == [0] * 60


async def test_ended_tasks_are_counted_and_failures_of_a_day_grouped(store: Store) -> None:
    for number in range(3):
        await end(store, f"done_{number}", "COMPLETED", NOW - 100)
        error = f"CUDA out of memory on the device number {number}"
        await end(store, f"bad_{number}", "FAILED", NOW - 100 + number, error)
    await end(store, "silent", "FAILED", NOW - 50)
    await end(store, "same", "FAILED", NOW - 60, "a" * 40 + "b")
    await end(store, "longer", "COMPLETED_WITH_ERRORS", NOW - 60, "a" * 40 + "c")
    await end(store, "canceled", "CANCELED", NOW - 60, "a" * 40 + "c")
    await end(store, "old", "FAILED", NOW - DAY - 1, "long ago")
    await store.record([step(await add_watch(store, "running"), "IN_PROGRESS", at=NOW - 10)])
    summary = await store.summary(NOW)
    assert summary.ended == {
        "COMPLETED": 3,
        "FAILED": 6,
        "COMPLETED_WITH_ERRORS": 1,
        "CANCELED": 1,
    }
    assert summary.failures[:2] == [
        FailureGroup(
            status="FAILED",
            error="CUDA out of memory on the device number 0",
            count=3,
            last_at=NOW - 98,
        ),
        FailureGroup(status="FAILED", error=None, count=1, last_at=NOW - 50),
    ]
    others = [(group.status, group.error, group.count) for group in summary.failures[2:]]
    assert sorted(others) == [
        ("COMPLETED_WITH_ERRORS", "a" * 40 + "c", 1),
        ("FAILED", "a" * 40 + "b", 1),
    ]


async def test_failures_are_counted_from_a_whole_minute_on(store: Store) -> None:
    await end(store, "just", "FAILED", NOW - DAY + 60, "x")
    await end(store, "before", "FAILED", NOW - DAY + 59, "x")
    counted = [await store.summary(NOW + late) for late in (0, 0.5, 60, 60.5)]
    assert [one.failures_since for one in counted] == [
        NOW - DAY,
        NOW - DAY + 60,
        NOW - DAY + 60,
        NOW - DAY + 120,
    ]
    found = [[group.count for group in one.failures] for one in counted]
    assert found == [[2], [1], [1], []]


async def test_transitions_are_counted_by_minute_and_alerts_are_not(store: Store) -> None:
    first = step(await add_watch(store, "task_1"), "QUEUED", at=NOW - 3539)
    second = step(first.watch, "IN_PROGRESS", at=NOW - 1)
    old = step(await add_watch(store, "task_2"), "QUEUED", at=NOW - 3541)
    alert = step(old.watch, "QUEUED", at=NOW - 1)
    await store.record([old, alert, first, second])
    counted = (await store.summary(NOW)).minutes
    assert [minute.transitions for minute in counted] == [1, *[0] * 57, 1, 0]
    assert [minute.began for minute in counted] == [NOW - 60 * age for age in range(59, -1, -1)]
    await store.record([step(second.watch, "FAILED", at=NOW + 1)])
    later = (await store.summary(NOW + 61)).minutes
    assert [minute.transitions for minute in later] == [0] * 57 + [1, 1, 0], "an hour moves on"
    assert [minute.failed for minute in later] == [0] * 58 + [1, 0]


async def test_lost_and_stalled_tasks_are_counted(store: Store) -> None:
    lost = step(await add_watch(store, "task_1"), "QUEUED", at=NOW - 20)
    stalled = step(await add_watch(store, "task_2"), "QUEUED", at=NOW - 20)
    await store.record([lost, stalled])
    await store.record(
        [
            replace(step(lost.watch, "QUEUED", at=NOW), watch=replace(lost.watch, lost_at=NOW - 5)),
            replace(
                step(stalled.watch, "QUEUED", at=NOW),
                watch=replace(stalled.watch, stalled_at=NOW - 7),
            ),
        ]
    )
    summary = await store.summary(NOW)
    assert (summary.lost, summary.lost_at) == (1, NOW - 5)
    assert (summary.stalled, summary.stalled_at) == (1, NOW - 7)


async def test_lost_and_stalled_tasks_are_counted_by_source(store: Store) -> None:
    assert not await store.troubled_tasks()
    for number in range(3):
        change = step(await add_watch(store, f"lost_{number}"), "IN_PROGRESS", at=NOW)
        watch = replace(change.watch, lost_at=NOW, stalled_at=NOW if number else None)
        await store.record([replace(change, watch=watch)])
    assert dict(await store.troubled_tasks()) == {"mixpeek": TroubledTasks(lost=3, stalled=2)}
