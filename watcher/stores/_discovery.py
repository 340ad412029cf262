"""How the tasks that a rule lists come onto the watchlist, for every store."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from watcher.core.tasks import (
    TERMINAL_STATUSES,
    DiscoveredTask,
    TaskKey,
    Watch,
    WatchRequest,
    WatchState,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """How the tasks of one list are added to the watchlist."""

    source: str
    labels: Mapping[str, str]
    now: float
    silent: bool

    def done(self, new: Sequence[DiscoveredTask]) -> Sequence[Watch]:
        """Return the watches of tasks that are stored as done without an event."""
        return [self._done_watch(task) for task in new if self._is_done(task)]

    def requests(self, new: Sequence[DiscoveredTask]) -> Sequence[WatchRequest]:
        """Return the requests for the other tasks."""
        return [
            WatchRequest(key=TaskKey(self.source, task.task_id), labels=self.labels)
            for task in new
            if not self._is_done(task)
        ]

    def _is_done(self, task: DiscoveredTask) -> bool:
        return self.silent and task.status in TERMINAL_STATUSES

    def _done_watch(self, task: DiscoveredTask) -> Watch:
        return Watch(
            key=TaskKey(self.source, task.task_id),
            labels=self.labels,
            state=WatchState.DONE,
            status=task.status,
            task_type=task.task_type,
            added_at=self.now,
            first_seen_at=self.now,
            changed_at=self.now,
        )


def not_known(listed: Sequence[DiscoveredTask], known: Set[str]) -> list[DiscoveredTask]:
    """Return each task whose ID is not among `known`, once."""
    return list({task.task_id: task for task in listed if task.task_id not in known}.values())
