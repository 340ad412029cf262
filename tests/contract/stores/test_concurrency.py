"""What every method promises to concurrent and cancelled callers, for every store."""

import anyio
import pytest

from tests.contract.stores.harness import NOW
from tests.support.records import request
from watcher.core.interfaces.store import Store

pytestmark = pytest.mark.anyio


async def test_a_caller_that_is_cancelled_leaves_the_store_working(store: Store) -> None:
    async def add(number: int) -> None:
        await store.add([request(f"task_{number}")], NOW)

    for deadline in (0.0, 0.0001, 0.001):
        with anyio.move_on_after(deadline):
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(add, number)

    added = await store.add([request("after")], NOW)
    assert added.added == 1


async def test_concurrent_writers_each_get_their_own_result(store: Store) -> None:
    results: dict[int, int] = {}

    async def add(number: int) -> None:
        results[number] = (await store.add([request(f"task_{number % 10}")], NOW)).added

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(add, number)

    assert sum(results.values()) == 10
