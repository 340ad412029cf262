"""A page of changes that is larger than the room in the store."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from tests.polling.harness import Harness, names, running
from tests.support.records import observation
from watcher.core.errors import StoreFullError
from watcher.core.events import Change
from watcher.core.tasks import Answer

pytestmark = pytest.mark.anyio


class Narrow:
    """The store; there is room for two changes at once, and never for `too_large`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.too_large = "task_3"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def record(self, changes: Sequence[Change]) -> Any:
        if len(changes) > 2 or self.too_large in {one.watch.key.task_id for one in changes}:
            raise StoreFullError("there is no room")
        return await self._store.record(changes)


class Pages:
    """An endpoint for many tasks."""

    capacity = 1000

    def requests_for(self, tasks: int) -> int:
        return 0

    def wait(self) -> float:
        return 0.0

    async def admit(self) -> None:
        await anyio.sleep(1.0)

    async def fetch(self, task_ids: Sequence[str]) -> Any:
        answers: list[Answer] = [observation(task_id, "FAILED") for task_id in task_ids]
        yield answers


async def test_a_page_without_room_is_stored_in_parts_and_nothing_of_it_is_lost(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.store = narrow = Narrow(harness.store)
    harness.source.shared = Pages()  # type: ignore[assignment]
    harness.source.shown = dict.fromkeys(names(20), "FAILED")
    harness.poller = harness.new_poller()
    async with running(harness.poller):
        await harness.watch(*names(20))
        await anyio.sleep(120)
        assert len(await harness.types()) == 19
        narrow.too_large = ""
        await anyio.sleep(120)
    assert len(await harness.types()) == 20
    assert len(caplog.records) == 1


async def test_a_page_of_new_tasks_is_stored_in_parts_that_take_little_memory(
    harness: Harness,
) -> None:
    class Noting(Narrow):
        async def record(self, changes: Sequence[Change]) -> Any:
            sizes.append(len(changes))
            return await self._store.record(changes)

    sizes: list[int] = []
    harness.store = Noting(harness.store)
    harness.source.shared = Pages()  # type: ignore[assignment]
    harness.poller = harness.new_poller()
    async with running(harness.poller):
        await harness.watch(*names(600))
        await anyio.sleep(20)
    assert (max(sizes), sum(sizes)) == (250, 600)
    assert len(await harness.types()) == 600
