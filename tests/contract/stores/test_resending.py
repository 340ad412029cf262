"""What `Resending` promises, for every store."""

from dataclasses import replace

import pytest

from tests.contract.stores.harness import FOREVER, NOW, add_watch, queue_of
from tests.support.records import settled, step
from watcher.core.deliveries import DeliveryState
from watcher.core.events import EventFilter
from watcher.core.interfaces.store import Store

pytestmark = pytest.mark.anyio

ALL = EventFilter(since=0.0)


async def fail(store: Store, *errors: str) -> None:
    for number, error in enumerate(errors, 1):
        await store.settle([replace(settled(number, DeliveryState.FAILED), last_error=error)])


@pytest.mark.parametrize(
    ("error", "count"), [(None, 3), ("http 500", 2), ("500: a", 1), ("%", 0), ("404", 0)]
)
async def test_failed_deliveries_are_retried_by_their_error(
    store: Store, error: str | None, count: int
) -> None:
    await queue_of(store, 4)
    await fail(store, "HTTP 500: a", "HTTP 500: b", "timeout")
    assert await store.count_failed("backend", error) == count
    assert await store.count_failed("other", error) == 0

    assert await store.retry_failed("backend", error, NOW) == count
    assert await store.retry_failed("backend", error, NOW) == 0
    assert await store.retry_failed("other", None, NOW) == 0
    failed, _ = await store.list_deliveries(DeliveryState.FAILED, None, 10, None)
    assert len(failed) == 3 - count


async def test_retried_deliveries_are_sent_in_order(store: Store) -> None:
    await queue_of(store, 3)
    await fail(store, "a", "b", "c")
    await store.retry_failed("backend", None, NOW)
    sent = []
    while due := await store.due("backend", FOREVER, 10):
        sent += [one.id for one in due]
        assert len(due) == 1
        await store.settle([settled(due[0].id, DeliveryState.DELIVERED)])
    assert sent == [1, 2, 3]


async def test_a_count_is_what_a_purge_would_delete(store: Store) -> None:
    await queue_of(store, 3)
    for before in (FOREVER, 0.0):
        count = await store.count_purged("backend", DeliveryState.PENDING, before)
        assert count == (3 if before else 0)
    assert await store.count_purged("backend", DeliveryState.FAILED, FOREVER) == 0
    assert await store.purge("backend", DeliveryState.PENDING, FOREVER) == 3


async def test_a_count_is_what_a_replay_would_queue(store: Store) -> None:
    await queue_of(store, 4)
    await store.settle([settled(1, DeliveryState.DELIVERED)])
    await store.purge("backend", DeliveryState.DELIVERED, FOREVER)  # its event stays
    await store.settle([settled(2, DeliveryState.DELIVERED)])
    assert await store.count_replayed("backend", ALL, NOW) == 2
    assert await store.count_replayed("other", ALL, NOW) == 0
    assert await store.count_replayed("backend", EventFilter(since=FOREVER), NOW) == 0
    assert await store.replay("backend", ALL, NOW) == 2


async def test_events_are_queued_for_a_further_channel_and_then_replayed_to_it(
    store: Store,
) -> None:
    watch = await add_watch(store)
    first = step(watch, "IN_PROGRESS", at=100.0)
    await store.record([first, step(first.watch, "FAILED", at=200.0)])

    pages = [await store.not_routed("new", ALL, NOW, after, 1) for after in (0, 1, 2)]
    assert [[one.status for one in page] for page in pages] == [["IN_PROGRESS"], ["FAILED"], []]
    assert await store.not_routed("backend", ALL, NOW, 0, 10) == []
    selected = EventFilter(since=0.0, statuses=("FAILED",))
    assert len(await store.not_routed("new", selected, NOW, 0, 10)) == 1

    failed = pages[1][0].event_id
    counts = [await store.queue_new("new", [failed, "msg_unknown"], NOW) for _ in range(2)]
    assert counts == [1, 0]
    assert [one.status for one in await store.not_routed("new", ALL, NOW, 0, 10)] == ["IN_PROGRESS"]
    assert [one.event_id for one in await store.due("new", FOREVER, 10)] == [failed]
    assert await store.replay("new", ALL, NOW) == 0  # it is pending
    (queued,) = await store.due("new", FOREVER, 10)
    await store.settle([settled(queued.id, DeliveryState.DELIVERED)])
    assert await store.replay("new", ALL, NOW) == 1
