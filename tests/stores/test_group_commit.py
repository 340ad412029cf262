"""Group commit: each caller gets its own result, and a cancelled one harms no other."""

from dataclasses import replace

import anyio
import pytest

from tests.stores.harness import NOW
from tests.support.records import request, step
from watcher.core.errors import StoreError
from watcher.stores.sqlite import store as sqlite

pytestmark = pytest.mark.anyio


async def test_only_the_operation_at_fault_fails(url: str) -> None:
    async with sqlite.create(url) as store:
        results: dict[str, object] = {}

        async def add(task_id: str) -> None:
            results[task_id] = (await store.add([request(task_id)], NOW)).added

        async def store_an_event_id_twice() -> None:
            (watch,) = (await store.add([request("bad")], NOW)).watches
            change = step(watch, "IN_PROGRESS")
            await store.record([change])
            with pytest.raises(StoreError):
                await store.record([replace(change, expected_sequence=1)])
            results["bad"] = "failed"

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store_an_event_id_twice)
            for number in range(10):
                tasks.start_soon(add, f"task_{number}")

        assert results == {"bad": "failed", **{f"task_{number}": 1 for number in range(10)}}


async def test_cancellation_leaves_the_connection_outside_a_transaction(url: str) -> None:
    async with sqlite.create(url) as store:
        for delay in (0.0, 0.0002, 0.0005, 0.001, 0.002):
            with anyio.move_on_after(delay):
                await store.add([request(f"task_{delay}_{number}") for number in range(500)], NOW)
            assert not store._database.writer.in_transaction
        await store.ping()
