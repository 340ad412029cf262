"""Tasks that run again under the same ID: their watches are done, but a list shows them as running.

A list may be older than the answer that ended the watch, so it must show the task as running twice.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import anyio

from watcher.core.clock import Clock
from watcher.core.interfaces.store import DiscoveryLog, Watchlist
from watcher.core.tasks import RUNNING_STATUSES, DiscoveredTask, TaskKey, Watch, WatchRequest

BELIEVED_AFTER = 2.0
"""Seconds between the two times."""


class DiscoveryStore(DiscoveryLog, Watchlist, Protocol):
    """The part of the store that discovery reads and writes."""


class RunningAgain:
    """Watches such tasks of one rule again; `track` receives their watches."""

    def __init__(
        self,
        *,
        source_name: str,
        labels: Mapping[str, str],
        store: DiscoveryStore,
        track: Callable[[Iterable[Watch]], None],
        wall: Clock,
    ) -> None:
        self._source_name = source_name
        self._labels = labels
        self._store = store
        self._track = track
        self._wall = wall
        self._since: dict[str, float] = {}

    async def look(self, listed: Iterable[DiscoveredTask]) -> None:
        """Compare a page of a list with the store. Raises `StoreError`."""
        running = [task.task_id for task in listed if task.status in RUNNING_STATUSES]
        done = await self._store.done_among(self._source_name, running) if running else ()
        for task_id in {task.task_id for task in listed}.difference(done):
            self._since.pop(task_id, None)
        now = anyio.current_time()
        again = [
            task_id
            for task_id in done
            if now - self._since.setdefault(task_id, now) >= BELIEVED_AFTER
        ]
        if not again:
            return
        requests = [
            WatchRequest(key=TaskKey(self._source_name, task_id), labels=self._labels, again=True)
            for task_id in again
        ]
        added = await self._store.add(requests, self._wall())
        self._track(watch for watch in added.watches if watch.key in added.reactivated)
        for task_id in again:
            del self._since[task_id]
