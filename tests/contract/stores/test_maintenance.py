"""What `Maintenance` promises, for every store."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores.harness import FOREVER, add_watch, opened
from tests.support.records import KEY, settled, step
from watcher.core.deliveries import DeliveryState
from watcher.core.errors import StoreFullError
from watcher.core.interfaces.store import Store
from watcher.core.tasks import TaskKey, WatchFilter

pytestmark = pytest.mark.anyio

BOTH = ("backend", "alerts")
MEGABYTE = 1_000_000
LIMIT = 16 * 1024**2


async def test_failed_deliveries_stay_until_their_removal_is_demanded(store: Store) -> None:
    await store.record([step(await add_watch(store), "COMPLETED", at=100.0, channels=BOTH)])
    await store.settle([settled(1, DeliveryState.FAILED)])
    await store.prune(before=FOREVER)
    assert await store.remove_failed("alerts", 1) == 0
    assert await store.remove_failed("backend", 1) == 1
    assert await store.delivery(1) is None
    assert await store.body(2) is not None, "the other channel still needs the event"
    await store.settle([settled(2, DeliveryState.FAILED)])
    assert await store.remove_failed("alerts", 1) == 1
    assert await store.transitions(KEY) == []


async def test_ended_events_are_removed_the_oldest_first_until_enough_is_free(store: Store) -> None:
    watch = await add_watch(store)
    for _ in range(5):
        change = step(watch, "IN_PROGRESS", at=100.0, channels=BOTH)
        await store.record([change])
        watch = change.watch
    results = [settled(number, DeliveryState.DELIVERED) for number in range(1, 9)]
    await store.settle([*results, settled(9, DeliveryState.FAILED)])

    assert await store.remove_ended(1) == 1
    assert await store.remove_ended(2000) == 2
    assert await store.remove_ended(10**9) == 1
    assert await store.remove_ended(10**9) == 0
    assert len(await store.transitions(KEY)) == 1, "a pending and a failed delivery need it"
    assert (await store.find(KEY.task_id))[0].sequence == 5


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.FAILED])
async def test_no_number_of_an_event_that_was_removed_is_used_again(
    store: Store, state: DeliveryState
) -> None:
    for number in range(1, 4):
        watch = await add_watch(store, f"task_{number}")
        await store.record([step(watch, "COMPLETED")])
        assert [one.id for one in await store.events_after(number - 1, 10)] == [number]
        await store.settle([settled(number, state)])
        await store.prune(before=FOREVER * 1000)
        await store.remove_failed("backend", 1)
        assert await store.events_after(0, 10) == []
        assert await store.last_event_id() == number


async def test_a_write_that_finds_no_room_is_repeated_once_there_is_room(tmp_path: Path) -> None:
    calls = 0
    async with opened(f"sqlite:///{tmp_path}/watcher.db", max_size=LIMIT) as store:
        watch = await add_watch(store)

        async def record(size: int) -> None:
            nonlocal watch
            change = step(watch, "IN_PROGRESS", at=100.0, channels=())
            assert change.event is not None
            event = replace(change.event, body=b"x" * size)
            assert await store.record([replace(change, event=event)]) == [True]
            watch = change.watch

        async def make_room(needed: int) -> None:
            nonlocal calls
            calls += 1
            assert needed >= MEGABYTE
            assert await store.remove_ended(LIMIT) > 0

        for _ in range(15):
            await record(MEGABYTE)
        with pytest.raises(StoreFullError, match=r"store\.max_size allows"):
            await record(MEGABYTE)
        with pytest.raises(StoreFullError):
            await store.ping()
        await store.make_room_with(make_room)
        with pytest.raises(StoreFullError):
            await store.ping()
        assert calls == 0, "a probe removes nothing"
        await record(MEGABYTE)
        assert (calls, watch.sequence) == (1, 16)
        await store.ping()
        with pytest.raises(StoreFullError):
            await record(20 * MEGABYTE)
    assert (tmp_path / "watcher.db").stat().st_size <= LIMIT


async def test_the_size_grows_and_stays_below_the_limit(store: Store) -> None:
    before = await store.size()
    for number in range(5):
        await store.record([step(await add_watch(store, f"task_{number}" * 1000), "QUEUED")])
    after = await store.size()
    assert before.used < after.used
    assert after.limit == before.limit
    if after.limit is None:
        assert after.used_share == 0, "its server has a limit alone"
    else:
        assert after.used < after.limit
        assert 0 < after.used_share < 1


async def test_pruning_removes_what_is_old_and_ended_and_nothing_else(store: Store) -> None:
    for task_id in ("delivered", "pending", "failed", "active"):
        watch = await add_watch(store, task_id)
        await store.record(
            [step(watch, "IN_PROGRESS" if task_id == "active" else "COMPLETED", at=100.0)]
        )
    ids = {
        delivery.task_id: delivery.id
        for delivery in (await store.list_deliveries(None, None, 10, None))[0]
    }
    await store.settle(
        [
            settled(ids["delivered"], DeliveryState.DELIVERED),
            settled(ids["failed"], DeliveryState.FAILED),
            settled(ids["active"], DeliveryState.DELIVERED),
        ]
    )

    assert await store.prune(before=FOREVER * 1000) > 0

    watches = {
        watch.key.task_id for watch in (await store.list_watches(WatchFilter(), 10, None))[0]
    }
    deliveries = {
        delivery.task_id for delivery in (await store.list_deliveries(None, None, 10, None))[0]
    }
    assert watches == {"pending", "active"}
    assert deliveries == {"pending", "failed"}
    assert len(await store.transitions(TaskKey("mixpeek", "active"))) == 1
    assert len(await store.transitions(TaskKey("mixpeek", "delivered"))) == 0
