"""The store's upkeep in virtual time, over a real store that may grow to sixteen megabytes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.daemon.rooms import room_of
from tests.support.records import request, settled, step
from tests.support.stores import opened
from tests.support.virtual_time import VirtualLoop, attentive, wall
from watcher.core.deliveries import DeliveryState
from watcher.core.errors import StoreError
from watcher.core.interfaces.store import Store
from watcher.core.tasks import TaskKey, WatchFilter
from watcher.daemon.maintenance import fill_in, maintain
from watcher.daemon.store_room import FULL_SHARE

pytestmark = pytest.mark.anyio

LIMIT = 16 * 1024**2
DAY = 86400.0
HOUR = 3600.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


async def finish(store: Store, number: int, state: DeliveryState, size: int = 50_000) -> None:
    """Store a task that is done, with an event of that many bytes."""
    (watch,) = (await store.add([request(f"task_{number}")], wall())).watches
    change = step(watch, "FAILED", at=wall())
    assert change.event is not None
    await store.record([replace(change, event=replace(change.event, body=b"x" * size))])
    if state is not DeliveryState.PENDING:
        (delivery, *_), _ = await store.list_deliveries(None, None, 1, None)
        await store.settle([settled(delivery.id, state, at=wall())])


async def count(store: Store, state: DeliveryState) -> int:
    return len((await store.list_deliveries(state, None, 1000, None))[0])


async def upkept(store: Store, seconds: float, retention: float = 7 * DAY) -> set[TaskKey]:
    forgotten: set[TaskKey] = set()
    with anyio.move_on_after(seconds):
        await maintain(store, room_of(store, retention), retention, forgotten.add, wall)
    return forgotten


async def test_what_is_older_than_the_retention_goes(tmp_path: Path) -> None:
    async with opened(tmp_path) as real:
        store = attentive(real)
        await finish(store, 1, DeliveryState.DELIVERED)
        await upkept(store, 5.5 * HOUR, retention=6 * HOUR)
        assert await count(store, DeliveryState.DELIVERED) == 1
        await upkept(store, HOUR, retention=6 * HOUR)
        assert await count(store, DeliveryState.DELIVERED) == 0
        assert (await store.list_watches(WatchFilter(), 10, None))[0] == []


async def test_a_store_that_is_nearly_full_gives_up_what_has_ended_the_oldest_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, max_size=LIMIT) as real:
        store = attentive(real)
        for number in range(280):
            state = (DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.PENDING)[
                number % 3
            ]
            await finish(store, number, state)
            await anyio.sleep(600)
        assert (await store.size()).used_share > FULL_SHARE

        await upkept(store, 60.0)
        assert (await store.size()).used_share <= FULL_SHARE
        assert await count(store, DeliveryState.PENDING) == 93
        # Its share is half of the store; the others of its failed deliveries fit beside that.
        assert 50 < await count(store, DeliveryState.FAILED) < 93
        left, _ = await store.list_deliveries(DeliveryState.DELIVERED, None, 1000, None)
        assert 0 < len(left) < 94
        assert left[0].task_id == "task_279"
    assert sum("close to store.max_size" in record.message for record in caplog.records) == 1


async def test_a_full_store_fails_writes_loses_nothing_and_has_room_again(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, max_size=LIMIT) as real:
        store = attentive(real)
        with pytest.raises(StoreError, match=r"as large as store\.max_size allows"):
            for number in range(400):
                await finish(store, number, DeliveryState.FAILED)
        stored = await count(store, DeliveryState.FAILED)
        assert stored > 250
        assert (tmp_path / "watcher.db").stat().st_size <= LIMIT

        await anyio.sleep(DAY)
        await upkept(store, 60.0)
        assert (await store.size()).used_share <= FULL_SHARE
        await finish(store, 1000, DeliveryState.PENDING)


class Unfilled:
    """A store that has `steps` left to fill in, of which the first fails."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.failed = False

    async def fill_in(self) -> bool:
        if not self.failed:
            self.failed = True
            raise StoreError("the disk is full: nothing was stored")
        self.left -= 1
        return self.left >= 0


async def test_what_an_earlier_version_lacks_is_filled_in_despite_a_full_disk() -> None:
    store: Any = Unfilled(3)
    began = anyio.current_time()
    await fill_in(store)
    assert store.left == -1
    assert anyio.current_time() - began == pytest.approx(60.2)
