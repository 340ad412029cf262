"""What a store promises to the pages that people look at. Nothing is written, and no read waits
behind those of the API.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

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


class Reading(Protocol):
    """Lists, batches and histories for pages. Every method may raise `StoreError`; an invalid
    cursor raises `ValueError`.
    """

    async def version(self) -> int:
        """Return a number that differs as soon as anything was stored since the last call that
        pages show; how attempts at other replicas ended, once these have renewed their sessions.
        """
        ...

    async def list_tasks(
        self, selected: TaskSelection, limit: int, cursor: str | None = None
    ) -> TaskPage:
        """Return a page of tasks.

        Those of terminal `statuses` come in the order in which they ended, the last first, unless
        `search`, `lost`, `stalled`, `running` or `batch` is set; all others in the order in which
        they were added, the newest first. A scan takes 0.2 s at most.
        """
        ...

    async def count_newer(self, selected: TaskSelection, top: str, most: int = 100) -> int:
        """Return how many tasks of the list come before the place `top` of a page, at most
        `most`; 0 for a search, which has no such number.
        """
        ...

    async def named(self, text: str) -> ExactMatch:
        """Return what this text is the ID of, and a few tasks whose IDs begin with it."""
        ...

    async def last_batches(self, limit: int) -> Sequence[BatchSummary]:
        """Return the batches to which tasks were added last: those with failures first, then the
        newest first. The result may be a moment old.
        """
        ...

    async def batch(self, batch: str, limit: int, cursor: str | None = None) -> BatchTasks | None:
        """Return a batch with a page of its tasks; None if no task of it is watched."""
        ...

    async def select_deliveries(
        self, selected: DeliverySelection, limit: int, cursor: str | None = None
    ) -> DeliveryPage:
        """Return a page of deliveries, the newest first.

        One with a `reason` takes 0.2 s at most: it may hold fewer than `limit`, or none, and not be
        the last.
        """
        ...

    async def deliveries(self, ids: Sequence[int]) -> Mapping[int, Delivery]:
        """Return those of these deliveries that exist, by ID."""
        ...

    async def last_delivered(self) -> Mapping[str, float]:
        """Return for each channel when the newest of its delivered deliveries was delivered;
        channels without any may be left out. The result may be a moment old.
        """
        ...

    async def failed_deliveries(self, channel: str | None = None) -> Sequence[DeliveryGroup]:
        """Return the failed deliveries by channel and error, the largest groups first. The result
        may be a moment old.
        """
        ...

    async def recent_deliveries(self, channel: str, limit: int) -> Sequence[Delivery]:
        """Return the last deliveries to a channel, the newest first."""
        ...

    async def count_deliveries(self, channel: str, state: DeliveryState) -> DeliveryCount | None:
        """Count the deliveries to a channel in one state; None without any."""
        ...

    async def history(self, key: TaskKey) -> Sequence[TaskEvent]:
        """Return the stored events about a task, in order, with their deliveries."""
        ...
