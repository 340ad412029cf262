"""What pages read of a store, in whatever database it is."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

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
from watcher.stores import _batches, _delivery_lists, _histories
from watcher.stores._batches import BatchReader
from watcher.stores._delivery_lists import DeliveryListReader
from watcher.stores._histories import HistoryReader
from watcher.stores._shown_again import ShownAgain
from watcher.stores._task_lists import Dialect, Reader, TaskListReader


class PageReading(ABC):
    """Implements `watcher.core.interfaces.reading.Reading` but for `version`."""

    _dialect: ClassVar[Dialect]
    _batch_statements: ClassVar[_batches.Statements]
    _delivery_statements: ClassVar[_delivery_lists.Statements]
    _history_statements: ClassVar[_histories.Statements]

    @property
    @abstractmethod
    def _page_reader(self) -> Reader:
        """What reads for pages."""

    @cached_property
    def _shown_again(self) -> ShownAgain:
        return ShownAgain()

    async def list_tasks(
        self, selected: TaskSelection, limit: int, cursor: str | None = None
    ) -> TaskPage:
        return await self._tasks().page(selected, limit, cursor)

    async def count_newer(self, selected: TaskSelection, top: str, most: int = 100) -> int:
        return await self._tasks().count_before(selected, top, most)

    async def named(self, text: str) -> ExactMatch:
        return await self._tasks().named(text)

    async def last_batches(self, limit: int) -> Sequence[BatchSummary]:
        reader = self._batches()
        return await self._shown_again.get(("batches", limit), lambda: reader.last(limit))

    async def batch(self, batch: str, limit: int, cursor: str | None = None) -> BatchTasks | None:
        return await self._batches().batch(batch, limit, cursor)

    async def select_deliveries(
        self, selected: DeliverySelection, limit: int, cursor: str | None = None
    ) -> DeliveryPage:
        return await self._deliveries().page(selected, limit, cursor)

    async def deliveries(self, ids: Sequence[int]) -> Mapping[int, Delivery]:
        return await self._deliveries().deliveries(ids)

    async def last_delivered(self) -> Mapping[str, float]:
        return await self._shown_again.get("delivered", self._deliveries().newest_delivered)

    async def failed_deliveries(self, channel: str | None = None) -> Sequence[DeliveryGroup]:
        reader = self._histories()
        return await self._shown_again.get(
            ("failed", channel), lambda: reader.failed_deliveries(channel)
        )

    async def recent_deliveries(self, channel: str, limit: int) -> Sequence[Delivery]:
        page = await self._shown_again.get(
            ("recent", channel, limit),
            lambda: self._deliveries().page(DeliverySelection(channel=channel), limit, None),
        )
        return page.deliveries

    async def count_deliveries(self, channel: str, state: DeliveryState) -> DeliveryCount | None:
        return await self._histories().count_deliveries(channel, state)

    async def history(self, key: TaskKey) -> Sequence[TaskEvent]:
        return await self._histories().of_task(key)

    def _tasks(self) -> TaskListReader:
        return TaskListReader(self._page_reader, self._dialect, time.monotonic)

    def _batches(self) -> BatchReader:
        return BatchReader(self._page_reader, self._batch_statements)

    def _deliveries(self) -> DeliveryListReader:
        return DeliveryListReader(self._page_reader.read, self._delivery_statements, time.monotonic)

    def _histories(self) -> HistoryReader:
        return HistoryReader(self._page_reader, self._history_statements)
