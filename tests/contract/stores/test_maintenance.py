"""What `Maintenance` promises, for every store."""

import pytest

from tests.contract.stores.harness import FOREVER, add_watch
from tests.support.records import KEY, settled, step
from watcher.core.deliveries import DeliveryState
from watcher.core.interfaces.store import Store
from watcher.core.tasks import TaskKey, WatchFilter

pytestmark = pytest.mark.anyio


async def test_failed_deliveries_are_pruned_on_request(store: Store) -> None:
    await store.record([step(await add_watch(store), "COMPLETED", at=100.0)])
    await store.settle([settled(1, DeliveryState.FAILED)])
    await store.prune(before=FOREVER)
    assert await store.delivery(1) is not None
    await store.prune(before=50.0, failed_too=True)
    assert await store.delivery(1) is not None
    await store.prune(before=FOREVER, failed_too=True)
    assert await store.delivery(1) is None
    assert await store.find(KEY.task_id) == []


async def test_the_size_grows_and_stays_below_the_limit(store: Store) -> None:
    before = await store.size()
    for number in range(5):
        await store.record([step(await add_watch(store, f"task_{number}" * 1000), "QUEUED")])
    after = await store.size()
    assert before.used < after.used < after.limit == before.limit
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
