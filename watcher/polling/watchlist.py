"""What is kept in memory of the tasks of one source, at no more than 300 bytes each."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping

from watcher.core.tasks import ActiveWatch, Watch
from watcher.polling.schedule import Entry


class Tracked(Entry, kw_only=True, eq=False, gc=False):
    """A task's place in the schedule, and enough to compare an answer with (`watcher.diff.Known`).

    `gone` says that it was taken off the watchlist (and is another `Tracked` now, where it was added again).
    `unlisted` says that the last shared answer did not show it, so that it was to be asked for by itself.
    """

    status: str | None = None
    missing_since: float | None = None
    lost: bool = False
    gone: bool = False
    unlisted: bool = False


class TrackedTasks:
    """All of them by ID, with how many have which status, and which upstream does not know."""

    def __init__(self) -> None:
        self._by_id: dict[str, Tracked] = {}
        self._counts: Counter[str | None] = Counter()
        self.missing: set[str] = set()
        self.lost: set[str] = set()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Tracked]:
        return iter(self._by_id.values())

    def get(self, task_id: str) -> Tracked | None:
        """Return the task with this ID, None where it is not tracked."""
        return self._by_id.get(task_id)

    def adopt(self, watch: Watch | ActiveWatch, task_id: str) -> Tracked:
        """Track a task as it is stored."""
        entry = self._by_id[task_id] = Tracked(task_id=task_id)
        self._counts[None] += 1
        self.follow(entry, watch)
        return entry

    def follow(self, entry: Tracked, watch: Watch | ActiveWatch) -> None:
        """Take over what is stored."""
        self._counts[entry.status] -= 1
        # One text for all who have the status, wherever it came from.
        entry.status = None if watch.status is None else sys.intern(watch.status)
        self._counts[entry.status] += 1
        entry.missing_since = watch.missing_since
        entry.lost = watch.lost_at is not None
        _put(self.lost, entry.task_id, entry.lost)
        _put(self.missing, entry.task_id, entry.missing_since is not None and not entry.lost)

    def pop(self, task_id: str) -> Tracked | None:
        """Stop tracking a task, and return what it was."""
        entry = self._by_id.pop(task_id, None)
        if entry is not None:
            entry.gone = True
            self._counts[entry.status] -= 1
        self.missing.discard(task_id)
        self.lost.discard(task_id)
        return entry

    def counts(self) -> Mapping[str | None, int]:
        """Return how many have each status; None is one that upstream has not shown yet."""
        return +self._counts


def _put(members: set[str], task_id: str, belongs: bool) -> None:
    if belongs:
        members.add(task_id)
    else:
        members.discard(task_id)
