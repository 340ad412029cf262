"""What `Outbox` promises about single deliveries, for every store."""

from dataclasses import replace

import pytest

from tests.contract.stores.harness import FOREVER, NOW, add_watch, due_ids, queue_of
from tests.support.records import settled, step
from watcher.core.deliveries import Attempt, DeliveryState, OldestPending
from watcher.core.interfaces.store import Store
from watcher.core.outage import Outage

pytestmark = pytest.mark.anyio


async def test_due_deliveries_come_soonest_first_and_not_before_their_time(store: Store) -> None:
    for number in range(3):
        await queue_of(store, 1, f"task_{number}")
    await store.settle([settled(1, DeliveryState.PENDING, next_attempt_at=500.0)])

    assert [delivery.id for delivery in await store.due("backend", 200.0, 10)] == [2, 3]
    assert [delivery.id for delivery in await store.due("backend", 500.0, 10)] == [2, 3, 1]
    assert await store.next_due_at("backend", 0.0) == 100.0
    assert await store.next_due_at("backend", 100.0) == 500.0
    await store.settle([settled(2, DeliveryState.DELIVERED), settled(3, DeliveryState.DELIVERED)])
    assert await store.next_due_at("backend", 0.0) == 500.0
    assert await store.next_due_at("backend", 500.0) is None
    assert await store.next_due_at("alerts", 0.0) is None


async def test_a_failed_attempt_is_counted_and_its_times_are_kept(store: Store) -> None:
    await queue_of(store, 1)
    await store.settle(
        [settled(1, DeliveryState.PENDING, at=110.0, next_attempt_at=115.0, not_before=112.0)]
    )
    await store.settle([settled(1, DeliveryState.PENDING, at=116.0, next_attempt_at=150.0)])

    (delivery,) = await store.due("backend", 200.0, 10)

    assert (delivery.attempts, delivery.first_attempt_at, delivery.last_attempt_at) == (
        2,
        110.0,
        116.0,
    )
    assert (delivery.next_attempt_at, delivery.not_before) == (150.0, None)

    # the clock was set back
    await store.settle([settled(1, DeliveryState.PENDING, at=50.0, next_attempt_at=60.0)])
    (delivery,) = await store.due("backend", 200.0, 10)
    assert (delivery.first_attempt_at, delivery.last_attempt_at) == (50.0, 50.0)


async def test_make_due_spares_later_attempts_and_keeps_not_before(store: Store) -> None:
    for number in range(4):
        await queue_of(store, 1, f"task_{number}")
    await store.settle(
        [
            settled(1, DeliveryState.PENDING, at=100.0, next_attempt_at=9000.0),
            settled(2, DeliveryState.PENDING, at=150.0, next_attempt_at=8000.0),
            settled(3, DeliveryState.PENDING, at=100.0, next_attempt_at=7000.0, not_before=600.0),
        ]
    )

    assert await store.make_due("backend", 140.0, 200.0) == 2

    assert [delivery.id for delivery in await store.due("backend", 300.0, 10)] == [1, 4]
    assert [delivery.id for delivery in await store.due("backend", 700.0, 10)] == [1, 4, 3]


async def test_make_due_ignores_what_was_stored_before_the_clock_was_set_back(
    store: Store,
) -> None:
    await queue_of(store, 1, "task_1")
    future = settled(1, DeliveryState.PENDING, at=4000.0, next_attempt_at=4060.0, not_before=4060.0)
    await store.settle([future])

    assert await store.make_due("backend", 140.0, 200.0) == 1

    assert [delivery.id for delivery in await store.due("backend", 200.0, 10)] == [1]


async def test_the_probe_is_of_the_delivery_whose_last_attempt_is_longest_ago(store: Store) -> None:
    for number in range(3):
        await queue_of(store, 1, f"task_{number}")
    await store.settle(
        [
            settled(1, DeliveryState.PENDING, at=120.0, next_attempt_at=9000.0),
            settled(2, DeliveryState.PENDING, at=110.0, next_attempt_at=9000.0),
            settled(3, DeliveryState.PENDING, at=130.0, next_attempt_at=9000.0),
        ]
    )

    assert [delivery.id for delivery in await store.due_for_probe("backend", 2)] == [2, 1]


async def test_retry_makes_a_failed_delivery_due_with_a_fresh_schedule(store: Store) -> None:
    await queue_of(store, 2)
    await store.settle([settled(1, DeliveryState.FAILED)])

    delivery = await store.retry(1, NOW)

    assert delivery is not None
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (
        DeliveryState.PENDING,
        1,
        NOW,
    )
    assert sorted(await due_ids(store)) == [1, 2]
    assert await store.retry(99, NOW) is None


async def test_the_last_attempts_are_kept_and_go_with_their_delivery(store: Store) -> None:
    await queue_of(store, 1)
    for number in range(1, 61):
        failed = settled(1, DeliveryState.PENDING, at=float(number), next_attempt_at=0.0)
        result = replace(
            failed, last_status=503, last_error="HTTP 503", duration=0.5, response=f"no {number}"
        )
        await store.settle([result])
    await store.settle([replace(settled(1, DeliveryState.DELIVERED, at=61.0), last_status=204)])

    delivery, attempts = await store.delivery(1) or (None, [])
    assert delivery is not None
    assert (delivery.attempts, delivery.state) == (61, DeliveryState.DELIVERED)
    assert [attempt.number for attempt in attempts] == [*range(12, 62)]
    assert attempts[0] == Attempt(
        number=12, at=12.0, duration=0.5, status=503, error="HTTP 503", response="no 12"
    )
    assert attempts[-1] == Attempt(
        number=61, at=61.0, duration=0.0, status=204, error=None, response=None
    )

    await store.purge("backend", DeliveryState.DELIVERED, FOREVER)
    assert await store.delivery(1) is None


async def test_purging_removes_deliveries_and_makes_the_next_of_their_queue_due(
    store: Store,
) -> None:
    first = step(await add_watch(store), "QUEUED", at=100.0)
    second = step(first.watch, "IN_PROGRESS", at=200.0)
    await store.record([first, second, step(second.watch, "FAILED", at=300.0)])
    await store.settle([settled(1, DeliveryState.DELIVERED)])

    assert await store.purge("backend", DeliveryState.PENDING, 250.0) == 1
    assert await due_ids(store) == [3]
    assert await store.purge("backend", DeliveryState.DELIVERED, FOREVER) == 1
    assert await store.purge("unknown", DeliveryState.PENDING, FOREVER) == 0
    assert [
        delivery.id for delivery in (await store.list_deliveries(None, "backend", 10, None))[0]
    ] == [3]


async def test_the_oldest_of_some_size_fail_and_their_queues_go_on(store: Store) -> None:
    first = step(await add_watch(store), "QUEUED", at=100.0)
    second = step(first.watch, "IN_PROGRESS", at=200.0)
    await store.record([first, second, step(second.watch, "FAILED", at=300.0)])
    (depth,) = await store.outbox()
    each = depth.pending_bytes // 3

    assert await store.oldest_pending("unknown", 1, FOREVER) is None
    assert await store.oldest_pending("backend", 10**9, 100.0) is None
    oldest = await store.oldest_pending("backend", each + 100, FOREVER)
    assert oldest == OldestPending(
        channel="backend", count=2, last_event=2, first_at=100.0, last_at=200.0
    )
    outages = [Outage(subject=subject, since=1.0, alerted_at=1.0) for subject in ("x", "y")]
    assert await store.fail_oldest(oldest, "too many", None, outages) == 2
    assert await store.fail_oldest(oldest, "too many") == 0
    assert [await store.outage(outage.subject) for outage in outages] == outages
    found, _ = await store.list_deliveries(DeliveryState.FAILED, "backend", 10, None)
    assert [(delivery.id, delivery.last_error) for delivery in found] == [
        (2, "too many"),
        (1, "too many"),
    ]
    assert await due_ids(store) == [3]
    await store.retry(1, NOW)
    assert sorted(await due_ids(store)) == [1, 3]


async def test_the_depth_counts_those_that_let_later_ones_pass(store: Store) -> None:
    await queue_of(store, 2)
    rejected = settled(1, DeliveryState.PENDING, at=100.0, next_attempt_at=900.0)
    for unblocks_at, bypassed in ((700.0, 0), (100.0, 1)):
        await store.settle([replace(rejected, unblocks_at=unblocks_at)])
        (depth,) = await store.outbox()
        assert (depth.pending, depth.bypassed) == (2, bypassed)

    await store.settle([settled(1, DeliveryState.DELIVERED)])
    (depth,) = await store.outbox()
    assert (depth.pending, depth.bypassed) == (1, 0)


async def test_the_depth_counts_pending_and_failed_deliveries(store: Store) -> None:
    await queue_of(store, 2)
    await store.settle([settled(1, DeliveryState.FAILED)])

    (depth,) = await store.outbox()

    assert (depth.channel, depth.pending, depth.failed, depth.oldest_created_at) == (
        "backend",
        1,
        1,
        100.0,
    )
