"""What `Outbox` promises about the order within a queue, for every store."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.stores.harness import (
    FOREVER,
    NOW,
    add_watch,
    due_ids,
    new_store,
    opened,
    queue_of,
)
from tests.support.records import settled, step
from watcher.configuration import plugins
from watcher.core.deliveries import DeliveryState
from watcher.core.events import EventFilter
from watcher.core.interfaces.store import Store
from watcher.core.tasks import Watch

pytestmark = pytest.mark.anyio


async def test_only_the_head_is_due_and_when_it_ends_the_next_one_becomes_the_head(
    store: Store,
) -> None:
    await queue_of(store, 3)

    assert await due_ids(store) == [1]
    await store.settle([settled(1, DeliveryState.DELIVERED)])
    assert await due_ids(store) == [2]
    await store.settle([settled(2, DeliveryState.FAILED)])
    assert await due_ids(store) == [3]


async def test_queues_do_not_block_each_other(store: Store) -> None:
    await queue_of(store, 2, "task_1")
    await queue_of(store, 2, "task_2")

    assert await due_ids(store) == [1, 3]


async def test_an_expired_head_is_bypassed_and_stays_due(store: Store) -> None:
    await queue_of(store, 3)
    await store.settle(
        [settled(1, DeliveryState.PENDING, next_attempt_at=5000.0, unblocks_at=700.0)]
    )
    assert await store.next_due_at("backend", 600.0) == 700.0
    assert await store.unblock_expired("backend", 699.0) == 0

    assert await store.unblock_expired("backend", 700.0) == 1

    assert await due_ids(store) == [2, 1]
    assert await store.unblock_expired("backend", 900.0) == 0
    await store.settle([settled(2, DeliveryState.DELIVERED)])
    assert await due_ids(store) == [3, 1]


async def test_a_head_may_be_bypassed_at_once(store: Store) -> None:
    await queue_of(store, 2)

    await store.settle(
        [settled(1, DeliveryState.PENDING, at=100.0, next_attempt_at=5000.0, unblocks_at=100.0)]
    )

    assert await due_ids(store) == [2, 1]


async def test_one_whose_place_was_taken_back_in_flight_is_not_bypassed_before_its_turn(
    store: Store,
) -> None:
    await queue_of(store, 4)
    for number in (1, 2, 3):
        await store.settle(
            [settled(number, DeliveryState.PENDING, next_attempt_at=900.0, unblocks_at=100.0)]
        )
    await store.make_due("backend", FOREVER, NOW, in_order=True)

    await store.settle(
        [
            settled(number, DeliveryState.PENDING, next_attempt_at=900.0, unblocks_at=100.0)
            for number in (2, 3)
        ]
    )

    for number in (1, 2, 3, 4):
        assert await due_ids(store) == [number]
        await store.settle([settled(number, DeliveryState.DELIVERED)])


@pytest.mark.parametrize("retried", [1, 2, 3])
async def test_a_pending_delivery_that_is_retried_keeps_its_place(
    store: Store, retried: int
) -> None:
    await queue_of(store, 3)
    await store.settle(
        [settled(1, DeliveryState.PENDING, next_attempt_at=900.0, unblocks_at=700.0)]
    )

    await store.retry(retried, NOW)

    assert await due_ids(store) == [1]
    assert await store.unblock_expired("backend", 700.0) == 1


async def test_one_that_had_ended_is_sent_beside_the_others(store: Store) -> None:
    await queue_of(store, 2)
    await store.settle([settled(1, DeliveryState.FAILED)])

    await store.retry(1, NOW)

    assert sorted(await due_ids(store)) == [1, 2]


OPERATIONS = (
    "record",
    "deliver",
    "fail",
    "block",
    "bypass",
    "unblock",
    "retry",
    "replay",
    "purge",
    "make_due",
    "make_due in order",
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    operations=st.lists(
        st.tuples(
            st.sampled_from(OPERATIONS),
            st.integers(0, 5),
        ),
        max_size=30,
    )
)
@pytest.mark.parametrize("name", plugins.names("stores"))
async def test_every_queue_always_has_its_oldest_as_head_and_nothing_is_lost(
    name: str,
    operations: list[tuple[str, int]],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> None:
    url = await new_store(name, tmp_path_factory.mktemp("queues"), request)
    async with opened(url) as store:
        watches = [await add_watch(store, f"task_{number}") for number in range(2)]
        claimed = list[int]()
        for operation, number in operations:
            await _apply(store, operation, number, watches, claimed)
            await _assert_heads(store)
        await _sent(store)
        await store.replay("backend", EventFilter(since=0.0), NOW)
        sent = await _sent(store)
        for watch in watches:
            events = [event.event_id for event in await store.transitions(watch.key)]
            assert [event_id for event_id in sent if event_id in events] == events


async def _sent(store: Store) -> list[str]:
    """Deliver everything that is pending; return the events in their order."""
    sent = []
    while due := await store.due("backend", FOREVER, 100):
        sent += [delivery.event_id for delivery in due]
        await store.settle([settled(delivery.id, DeliveryState.DELIVERED) for delivery in due])
    pending, _ = await store.list_deliveries(DeliveryState.PENDING, None, 1000, None)
    assert pending == []
    return sent


async def _apply(
    store: Store, operation: str, number: int, watches: list[Watch], claimed: list[int]
) -> None:
    """Do it to what is `claimed`: whatever has ever been due may still be in flight."""
    claimed += [one for one in await due_ids(store) if one not in claimed]
    selected = claimed[number % len(claimed)] if claimed else None
    if operation == "record":
        change = step(watches[number % 2], "IN_PROGRESS")
        watches[number % 2] = change.watch
        await store.record([change])
    elif operation == "retry":
        await store.retry(number + 1, NOW)
    elif operation == "replay":
        await store.replay("backend", EventFilter(since=0.0), NOW)
    elif operation == "purge":
        await store.purge("backend", list(DeliveryState)[number % 3], FOREVER)
    elif operation.startswith("make_due"):
        await store.make_due("backend", FOREVER, NOW, in_order=operation.endswith("in order"))
    elif operation == "unblock":
        await store.unblock_expired("backend", FOREVER)
    elif selected is not None:
        state = {"deliver": DeliveryState.DELIVERED, "fail": DeliveryState.FAILED}.get(
            operation, DeliveryState.PENDING
        )
        unblocks_at = {"block": 800.0, "bypass": 100.0}.get(operation)
        await store.settle(
            [settled(selected, state, next_attempt_at=900.0, unblocks_at=unblocks_at)]
        )


async def _assert_heads(store: Store) -> None:
    """Each pending delivery is due, or one of an earlier event of its task is."""
    number_of = {event.event_id: event.id for event in await store.events_after(0, 1000)}
    due = {number_of[delivery.event_id] for delivery in await store.due("backend", FOREVER, 1000)}
    pending, _ = await store.list_deliveries(DeliveryState.PENDING, None, 1000, None)
    for task_id in {delivery.task_id for delivery in pending}:
        queue = sorted(number_of[one.event_id] for one in pending if one.task_id == task_id)
        blocked = [number for number in queue if number not in due]
        assert due & set(queue)
        assert not blocked or any(number < blocked[0] for number in due & set(queue))
