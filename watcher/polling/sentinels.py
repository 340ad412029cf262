"""Tasks whose status is known to differ from that of a request: an answer that was read whole shows
them.
"""

from collections.abc import Collection, Iterable

from watcher.core.errors import StoreError
from watcher.core.tasks import TERMINAL_STATUSES, WatchFilter, WatchState
from watcher.polling.context import PollingContext
from watcher.polling.watchlist import TrackedTasks

_STORED = 1000
"""Ended watches read at the start."""
_MOST_UNKNOWN = 3
"""Sentinels in a row that upstream does not show, before the condition counts as the cause."""


class Sentinels:
    """Finished tasks of one source; where there are none, tasks in another status.

    `unknown` is how many were not known upstream, one after the other.
    """

    def __init__(self, context: PollingContext, tasks: TrackedTasks) -> None:
        self._context = context
        self._tasks = tasks
        self._random = context.random
        self._unknown = 0

    async def restore(self) -> None:
        """Read finished tasks from the store, the last added ones."""
        selected = WatchFilter(state=WatchState.DONE, statuses=tuple(sorted(TERMINAL_STATUSES)))
        try:
            watches, _ = await self._context.store.list_watches(selected, _STORED, None)
        except StoreError:
            return  # tasks will end
        source = self._context.source_name
        self._tasks.finished.extend(
            watch.key.task_id
            for watch in reversed(watches)
            if watch.key.source == source and watch.lost_at is None
        )

    def choose(self, status: str, used: Collection[str]) -> str | None:
        """Return a task that is not in `status`, and not `used`; None without one."""
        for task_id in reversed(self._tasks.finished):
            if task_id not in used:
                return task_id
        last_seen = self._tasks.last_seen
        for chunk in last_seen.chunks():
            if chunk.status != status and chunk.count:
                task_id = self._random.choice(last_seen.members(chunk)).task_id
                if task_id not in used:
                    return task_id
        return None

    def worked(self) -> None:
        self._unknown = 0

    def unknown(self, task_ids: Iterable[str]) -> bool:
        """Note that upstream does not know these any more; return whether that is odd by now."""
        known = self._tasks.finished
        for task_id in task_ids:
            self._unknown += 1
            if task_id in known:
                known.remove(task_id)
        return self._unknown >= _MOST_UNKNOWN
