"""What pages read of the SQLite store."""

import time
from collections.abc import Mapping, Sequence
from functools import cached_property

from watcher.core.deliveries import Delivery, DeliveryState
from watcher.core.reading import (
    BatchSummary,
    BatchTasks,
    DeliveryCount,
    DeliveryGroup,
    DeliveryPage,
    DeliverySelection,
    ExactMatch,
    TaskEvent,
    TaskPage,
    TaskSelection,
)
from watcher.core.tasks import TaskKey
from watcher.stores.sqlite.batches import BatchReader
from watcher.stores.sqlite.database import StorePart
from watcher.stores.sqlite.delivery_lists import DeliveryListReader
from watcher.stores.sqlite.histories import HistoryReader
from watcher.stores.sqlite.shown_again import ShownAgain
from watcher.stores.sqlite.task_lists import TaskListReader


class SqliteReading(StorePart):
    """Implements `watcher.core.interfaces.reading.Reading`."""

    @cached_property
    def _shown_again(self) -> ShownAgain:
        return ShownAgain()

    async def version(self) -> int:
        ((version,),) = await self._database.pages.read("PRAGMA data_version")
        return int(version)

    async def list_tasks(
        self, selected: TaskSelection, limit: int, cursor: str | None = None
    ) -> TaskPage:
        return await self._tasks().page(selected, limit, cursor)

    async def count_newer(self, selected: TaskSelection, top: str, most: int = 100) -> int:
        return await self._tasks().count_before(selected, top, most)

    async def named(self, text: str) -> ExactMatch:
        return await self._tasks().named(text)

    async def last_batches(self, limit: int) -> Sequence[BatchSummary]:
        reader = BatchReader(self._database.pages)
        return await self._shown_again.get(("batches", limit), lambda: reader.last(limit))

    async def batch(self, batch: str, limit: int, cursor: str | None = None) -> BatchTasks | None:
        return await BatchReader(self._database.pages).batch(batch, limit, cursor)

    async def select_deliveries(
        self, selected: DeliverySelection, limit: int, cursor: str | None = None
    ) -> DeliveryPage:
        return await self._deliveries().page(selected, limit, cursor)

    async def deliveries(self, ids: Sequence[int]) -> Mapping[int, Delivery]:
        return await self._deliveries().deliveries(ids)

    async def last_delivered(self) -> Mapping[str, float]:
        return await self._shown_again.get("delivered", self._deliveries().newest_delivered)

    async def failed_deliveries(self, channel: str | None = None) -> Sequence[DeliveryGroup]:
        reader = HistoryReader(self._database.pages)
        return await self._shown_again.get(
            ("failed", channel), lambda: reader.failed_deliveries(channel)
        )

    async def recent_deliveries(self, channel: str, limit: int) -> Sequence[Delivery]:
        selected = DeliverySelection(channel=channel)
        return (await self._deliveries().page(selected, limit, None)).deliveries

    async def count_deliveries(self, channel: str, state: DeliveryState) -> DeliveryCount | None:
        return await HistoryReader(self._database.pages).count_deliveries(channel, state)

    async def history(self, key: TaskKey) -> Sequence[TaskEvent]:
        return await HistoryReader(self._database.pages).of_task(key)

    def _tasks(self) -> TaskListReader:
        return TaskListReader(self._database.pages, time.monotonic)

    def _deliveries(self) -> DeliveryListReader:
        return DeliveryListReader(self._database.pages.read, time.monotonic)
