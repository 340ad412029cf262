"""What `Outbox.replay` promises, for every store."""

from typing import Any

import pytest

from tests.contract.stores.harness import FOREVER, NOW, add_watch, queue_of
from tests.support.records import settled, step
from watcher.core.deliveries import DeliveryState
from watcher.core.events import EventFilter
from watcher.core.interfaces.store import Store

pytestmark = pytest.mark.anyio


async def test_replay_queues_deliveries_in_order_with_the_original_ids(store: Store) -> None:
    await queue_of(store, 3)
    before = [event.event_id for event in await store.events_after(0, 10)]
    for number in (1, 2):
        await store.settle([settled(number, DeliveryState.DELIVERED)])

    assert await store.replay("backend", EventFilter(since=0.0), NOW) == 2

    sent = []
    while due := await store.due("backend", FOREVER, 10):
        assert len(due) == 1
        sent.append(due[0].event_id)
        await store.settle([settled(due[0].id, DeliveryState.DELIVERED)])
    assert sent == before


@pytest.mark.parametrize("pending", [1, 2, 3])
async def test_what_was_purged_is_replayed_before_later_ones_that_are_pending(
    store: Store, pending: int
) -> None:
    watch = await queue_of(store, 3)
    await store.purge("backend", DeliveryState.PENDING, FOREVER)
    for _ in range(pending):
        change = step(watch, "IN_PROGRESS")
        await store.record([change])
        watch = change.watch
    events = [event.event_id for event in await store.events_after(0, 10)]

    assert await store.replay("backend", EventFilter(since=0.0), NOW) == 3

    sent = []
    while due := await store.due("backend", FOREVER, 10):
        assert len(due) == 1
        sent.append(due[0].event_id)
        await store.settle([settled(due[0].id, DeliveryState.DELIVERED)])
    assert sent == events


async def test_what_was_delivered_before_is_marked_until_it_is_delivered_again(
    store: Store,
) -> None:
    await queue_of(store, 3)
    for number, state in ((1, DeliveryState.DELIVERED), (2, DeliveryState.FAILED)):
        await store.settle([settled(number, state)])
    await store.purge("backend", DeliveryState.PENDING, FOREVER)
    assert await store.replay("backend", EventFilter(since=0.0), NOW) == 3

    marks = {}
    while due := await store.due("backend", FOREVER, 10):
        await store.settle([settled(due[0].id, DeliveryState.PENDING, next_attempt_at=NOW)])
        (tried,) = await store.due("backend", FOREVER, 10)
        assert tried.sent_again == due[0].sent_again
        marks[tried.event_id] = tried.sent_again
        await store.settle([settled(tried.id, DeliveryState.DELIVERED)])
    # The second has never been delivered; of the third it is not known any more.
    assert list(marks.values()) == [True, False, True]


async def test_a_retry_of_what_was_delivered_is_marked(store: Store) -> None:
    await queue_of(store, 2)
    for number, state in ((1, DeliveryState.DELIVERED), (2, DeliveryState.FAILED)):
        await store.settle([settled(number, state)])
        await store.retry(number, NOW)
    due = await store.due("backend", FOREVER, 10)
    assert {one.id: one.sent_again for one in due} == {1: True, 2: False}


async def test_replay_covers_the_time_range_and_the_channel_only(store: Store) -> None:
    watch = await add_watch(store)
    first = step(watch, "IN_PROGRESS", at=100.0)
    await store.record([first, step(first.watch, "QUEUED", at=200.0)])
    await store.settle([settled(1, DeliveryState.DELIVERED), settled(2, DeliveryState.DELIVERED)])

    assert await store.replay("backend", EventFilter(since=150.0, until=300.0), NOW) == 1
    assert await store.replay("unknown", EventFilter(since=0.0), NOW) == 0
    assert await store.replay("backend", EventFilter(since=300.0), NOW) == 0


async def test_replay_selects_by_status_and_task(store: Store) -> None:
    for task_id in ("task_1", "task_2"):
        watch = await add_watch(store, task_id)
        first = step(watch, "IN_PROGRESS", at=100.0)
        await store.record([first, step(first.watch, "FAILED", at=200.0)])
    await store.settle([settled(number, DeliveryState.DELIVERED) for number in range(1, 5)])

    async def queued(**filters: Any) -> int:
        count = await store.replay("backend", EventFilter(since=0.0, **filters), NOW)
        await store.settle([settled(number, DeliveryState.DELIVERED) for number in range(1, 5)])
        return count

    assert await queued(statuses=("FAILED",)) == 2
    assert await queued(task_ids=("task_1",)) == 2
    assert await queued(statuses=("FAILED",), task_ids=("task_1", "task_3")) == 1
    assert await queued(statuses=("QUEUED",)) == 0
