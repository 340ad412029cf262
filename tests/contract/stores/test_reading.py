"""What `Reading` promises, for every store."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.contract.stores.harness import add_watch
from tests.support.records import request, settled, step
from watcher.core.deliveries import AttemptResult, DeliveryState
from watcher.core.interfaces.store import Store
from watcher.core.reading import (
    DeliveryCount,
    DeliverySelection,
    TaskOrder,
    TaskPage,
    TaskSelection,
)
from watcher.core.tasks import Watch, WatchState

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0


async def end(
    store: Store,
    task_id: str,
    status: str,
    *,
    at: float = NOW,
    error: str | None = None,
    batch: str | None = None,
    channels: tuple[str, ...] = (),
) -> Watch:
    change = step(await add_watch(store, task_id), status, at=at, channels=channels)
    watch = replace(change.watch, state=WatchState.DONE, error_message=error, batch=batch)
    await store.record([replace(change, watch=watch)])
    return watch


def ids(page: TaskPage) -> list[str]:
    return [watch.key.task_id for watch in page.watches]


async def all_pages(store: Store, selected: TaskSelection, limit: int) -> Sequence[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await store.list_tasks(selected, limit, cursor)
        found += ids(page)
        if (cursor := page.next_cursor) is None:
            return found


async def test_ended_tasks_come_in_the_order_in_which_they_ended(store: Store) -> None:
    for number, at in enumerate((3, 1, 2, 2)):
        await end(store, f"task_{number}", "FAILED", at=NOW + at)
    await end(store, "partly", "COMPLETED_WITH_ERRORS", at=NOW + 2.5)
    await end(store, "done", "COMPLETED", at=NOW + 9)
    failed = TaskSelection(statuses=("FAILED",))
    page = await store.list_tasks(failed, 10)
    assert page.order is TaskOrder.ENDED
    assert page.complete
    assert ids(page) == ["task_0", "task_3", "task_2", "task_1"]
    assert await all_pages(store, failed, 1) == ids(page)
    both = TaskSelection(statuses=("FAILED", "COMPLETED_WITH_ERRORS"))
    assert (await all_pages(store, both, 2))[:2] == ["task_0", "partly"]
    assert await all_pages(store, TaskSelection(statuses=("COMPLETED",)), 2) == ["done"]
    since = TaskSelection(statuses=("FAILED",), changed_since=NOW + 2)
    assert await all_pages(store, since, 2) == ["task_0", "task_3", "task_2"]


async def test_rows_that_come_before_a_page_are_counted(store: Store) -> None:
    for number in range(3):
        await end(store, f"task_{number}", "FAILED", at=NOW + number)
    for selected in (TaskSelection(), TaskSelection(statuses=("FAILED",))):
        top = (await store.list_tasks(selected, 2)).top
        assert top is not None
        assert await store.count_newer(selected, top) == 0
        await end(store, f"new_{len(selected.statuses)}_1", "FAILED", at=NOW + 10)
        await end(store, f"new_{len(selected.statuses)}_2", "FAILED", at=NOW + 10)
        assert await store.count_newer(selected, top) == 2
        assert await store.count_newer(selected, top, most=1) == 1


async def test_running_tasks_are_those_that_are_polled(store: Store) -> None:
    await store.add([request("unseen")], NOW)
    await store.record([step(await add_watch(store, "running"), "IN_PROGRESS", at=NOW)])
    await end(store, "done", "COMPLETED")
    assert await all_pages(store, TaskSelection(running=True), 1) == ["running", "unseen"]
    assert await all_pages(store, TaskSelection(statuses=("IN_PROGRESS",)), 1) == ["running"]


@pytest.mark.parametrize("text", ["100%_sure", "R\\D", "batch_7", "ÄRGER 50% \\ _"])
async def test_a_search_looks_in_id_batch_and_error_for_the_text_itself(
    store: Store, text: str
) -> None:
    await end(store, "by_error", "FAILED", error=f"it was {text}!")
    await end(store, "by_batch", "COMPLETED", batch=f"b{text}")
    await end(store, f"id{text}", "COMPLETED")
    await end(store, "other", "FAILED", error="100 sure, R/D, batch 7", batch="batch-7")
    found = await all_pages(store, TaskSelection(search=text), 2)
    assert found == [f"id{text}", "by_batch", "by_error"]


@pytest.mark.parametrize("status", ["FAILED", "COMPLETED_WITH_ERRORS"])
async def test_the_tasks_of_each_group_of_failures_are_listed(store: Store, status: str) -> None:
    texts = {None: 1, "": 1, " ": 1, "x": 2, "xy": 1, "50% \\ _": 2, f"{'é' * 39} 1": 1}
    for place, (error, count) in enumerate(texts.items()):
        for number in range(count):
            await end(store, f"task_{place}_{number}", status, at=NOW + place, error=error)
    long = [f"{'é' * 40}{number}" for number in range(3)]
    for number, error in enumerate(long):
        await end(store, f"long_{number}", status, at=NOW + number, error=error)
    await end(store, "old", status, at=NOW - 90_000, error="x")
    await end(store, "canceled", "CANCELED", at=NOW, error="x")
    summary = await store.summary(NOW + 10)
    assert sorted(group.count for group in summary.failures) == [1, 1, 1, 2, 2, 2, 3]
    for group in summary.failures:
        of_group = TaskSelection(
            statuses=(status,), error=group.alike, changed_since=summary.failures_since
        )
        listed = await all_pages(store, of_group, 2)
        assert len(set(listed)) == len(listed) == group.count
        top = (await store.list_tasks(of_group, 1)).top
        assert top is not None
        assert await store.count_newer(of_group, top) == 0
    assert await all_pages(store, TaskSelection(error=long[0], search="long"), 2) == [
        "long_2",
        "long_1",
        "long_0",
    ]
    assert await all_pages(store, TaskSelection(error="x"), 9) == [
        "canceled",
        "old",
        "task_3_1",
        "task_3_0",
    ]


async def test_an_id_names_its_watches_and_its_batch(store: Store) -> None:
    await end(store, "task_12", "FAILED", batch="batch_1")
    await end(store, "task_1", "FAILED", batch="task_1")
    named = await store.named("task_1")
    assert [watch.key.task_id for watch in named.watches] == ["task_1"]
    assert named.is_batch
    assert [watch.key.task_id for watch in named.beginning] == ["task_1", "task_12"]
    nothing = await store.named("task")
    assert (nothing.watches, nothing.is_batch, len(nothing.beginning)) == ([], False, 2)


async def test_failures_of_a_batch_that_begin_alike_are_one_group_with_a_whole_error(
    store: Store,
) -> None:
    alike = "Failed to process batch: Object not found: s3://catalogue/"
    for name in ("2.mp4", "1.mp4"):
        await end(store, name, "FAILED", batch="b1", error=f"{alike}{name}")
    found = await store.batch("b1", 3)
    assert found is not None
    (group,) = found.failures
    assert (group.error, group.count, group.alike) == (f"{alike}1.mp4", 2, alike[:40])


async def test_a_batch_shows_what_failed_first(store: Store) -> None:
    await end(store, "done", "COMPLETED", batch="b1", at=NOW + 5)
    await end(store, "bad_1", "FAILED", batch="b1", error="no space left")
    await end(store, "partly", "COMPLETED_WITH_ERRORS", batch="b1", error="2 of 9")
    await end(store, "bad_2", "FAILED", batch="b1", error="no space left")
    await end(store, "elsewhere", "FAILED", batch="b2")
    found = await store.batch("b1", 3)
    assert found is not None
    assert [watch.key.task_id for watch in found.watches] == ["bad_2", "bad_1", "partly"]
    assert [(group.error, group.count) for group in found.failures] == [
        ("no space left", 2),
        ("2 of 9", 1),
    ]
    summary = found.summary
    assert (summary.size, summary.failed, summary.active) == (4, 3, 0)
    assert (summary.sources, summary.changed_at) == (["mixpeek"], NOW + 5)
    rest = await store.batch("b1", 3, found.next_cursor)
    assert rest is not None
    assert [watch.key.task_id for watch in rest.watches] == ["done"]
    assert rest.next_cursor is None
    assert await store.batch("b3", 3) is None


async def test_of_the_last_batches_those_with_failures_come_first(store: Store) -> None:
    await end(store, "task_1", "FAILED", batch="bad")
    await end(store, "task_2", "COMPLETED", batch="good")
    await end(store, "task_3", "COMPLETED", batch="newer")
    await end(store, "task_4", "COMPLETED")
    assert [one.batch for one in await store.last_batches(10)] == ["bad", "newer", "good"]
    assert [one.batch for one in await store.last_batches(2)] == ["newer", "good"]


async def test_the_history_of_a_task_has_its_deliveries_with_their_attempts(store: Store) -> None:
    watch = await end(store, "task_1", "FAILED", channels=("backend", "alerts"))
    (due,) = await store.due("backend", NOW + 1, 10)
    await store.settle(
        [
            AttemptResult(
                delivery_id=due.id,
                state=DeliveryState.FAILED,
                attempted_at=NOW,
                scheduled=1,
                last_error="503: busy",
                last_status=503,
            )
        ]
    )
    (event,) = await store.history(watch.key)
    assert (event.status, event.channels) == ("FAILED", ("backend", "alerts"))
    backend, alerts = event.deliveries
    assert (backend.delivery.channel, backend.delivery.state) == ("backend", "failed")
    assert [attempt.status for attempt in backend.attempts] == [503]
    assert (alerts.delivery.channel, alerts.attempts) == ("alerts", [])
    (group,) = await store.failed_deliveries()
    assert (group.channel, group.error, group.count) == ("backend", "503: busy", 1)
    assert await store.failed_deliveries("alerts") == []
    assert [one.id for one in await store.recent_deliveries("backend", 5)] == [due.id]
    assert await store.recent_deliveries("other", 5) == []
    failed = await store.count_deliveries("backend", DeliveryState.FAILED)
    assert failed == DeliveryCount(count=1, oldest_at=NOW, newest_at=NOW)
    assert await store.count_deliveries("backend", DeliveryState.PENDING) is None


FAILED, PENDING, DELIVERED = (
    DeliveryState.FAILED,
    DeliveryState.PENDING,
    DeliveryState.DELIVERED,
)
SELECTED = [
    (DeliverySelection(state=FAILED), [3, 2, 1]),
    (DeliverySelection(state=FAILED, reason="503: BUSY"), [2, 1]),
    (DeliverySelection(state=FAILED, reason="5_3%"), []),
    (DeliverySelection(state=PENDING), [5]),
    (DeliverySelection(state=DELIVERED), [4, 0]),
    (DeliverySelection(state=DELIVERED, channel="alerts"), [0]),
    (DeliverySelection(channel="backend"), [5, 4, 3, 2]),
    (DeliverySelection(channel="backend", reason="busy"), [2]),
    (DeliverySelection(channel="other"), []),
    (DeliverySelection(), [5, 4, 3, 2, 1, 0]),
]


async def test_deliveries_are_selected_by_state_channel_and_reason(store: Store) -> None:
    for number in range(6):
        channel = "alerts" if number < 2 else "backend"
        await end(store, f"task_{number}", "FAILED", channels=(channel,))
    page = await store.select_deliveries(DeliverySelection(), 10)
    ids = {one.task_id: one.id for one in page.deliveries}
    for number, error in enumerate((None, "503: Busy", "503: busy", "404: gone", None)):
        result = settled(ids[f"task_{number}"], FAILED if error else DELIVERED, at=NOW)
        await store.settle([replace(result, last_error=error)])
    for selected, tasks in SELECTED:
        found: list[str | None] = []
        page = await store.select_deliveries(selected, 2)
        found += [one.task_id for one in page.deliveries]
        while page.next_cursor is not None:
            page = await store.select_deliveries(selected, 2, page.next_cursor)
            found += [one.task_id for one in page.deliveries]
        assert found == [f"task_{number}" for number in tasks], selected
    for cursor in ("x", "-1", "1_2"):
        with pytest.raises(ValueError, match="cursor"):
            await store.select_deliveries(DeliverySelection(), 2, cursor)


async def test_deliveries_are_shown_again_by_their_ids(store: Store) -> None:
    for channel in ("alerts", "backend", "never"):
        await end(store, f"to_{channel}", "FAILED", channels=(channel,))
    before = {one.channel: one for one in (await store.list_deliveries(None, None, 9, None))[0]}
    delivered = [before["alerts"].id, before["backend"].id]
    await store.settle([settled(one, DELIVERED, at=NOW) for one in delivered])
    now = await store.deliveries([delivered[0], 10_000, before["never"].id])
    assert {number: one.state for number, one in now.items()} == {
        delivered[0]: DELIVERED,
        before["never"].id: PENDING,
    }
    assert now[before["never"].id] == before["never"]
    delivered_at = now[delivered[0]].delivered_at
    last = await store.last_delivered()
    assert (set(last), last["alerts"]) == ({"alerts", "backend"}, delivered_at)


async def test_the_version_changes_with_each_commit(store: Store) -> None:
    before = await store.version()
    assert await store.version() == before
    await add_watch(store, "task_1")
    assert await store.version() != before


@pytest.mark.parametrize("cursor", ["x", "1_2_3", "nan_1", "1_", "_", "-1", "1e999_3"])
@pytest.mark.parametrize("statuses", [(), ("FAILED",)])
async def test_an_invalid_cursor_is_an_error(
    store: Store, cursor: str, statuses: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await store.list_tasks(TaskSelection(statuses=statuses), 10, cursor)
