"""The tasks of one source in memory, with their place in one of two schedules.

Tasks wait in the common schedule. A task that a list answer did not show, or that upstream does not
know, waits in the `single` schedule: it has to be polled individually.
"""

import sys
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

import anyio
from msgspec.structs import replace

from watcher.core.tasks import (
    SLOW_STATUSES,
    TERMINAL_STATUSES,
    ActiveWatch,
    TaskKey,
    Watch,
    WatchState,
)
from watcher.polling.absence import AbsenceJudge
from watcher.polling.context import PollingContext
from watcher.polling.knowledge import NOTHING, Knowledge, interned
from watcher.polling.last_seen import LastSeenTasks
from watcher.polling.schedule import Coverage, Entry, Outcome, Schedule

_MAX_SHOWN = 16
"""Statuses kept of one run; an upstream that invents more is not protected from regressions."""
_FINISHED_KEPT = 32


class TrackedTask(Entry, kw_only=True, eq=False, gc=False):
    """A task's place in a schedule, and what an answer is compared with (`transitions.Known`).

    A task takes 264 bytes at most, of which 64 are this record: with a field more they would be 80.
    If a task that was removed is added again, it is another `TrackedTask`. `chunk` is the task's
    place in `LastSeenTasks`.
    """

    chunk: int = 0
    known: Knowledge = NOTHING

    @property
    def status(self) -> str | None:
        return self.known.status

    @property
    def shown(self) -> frozenset[str]:
        return self.known.shown

    @property
    def missing_since(self) -> float | None:
        return self.known.missing_since

    @property
    def reopened_at(self) -> float | None:
        return self.known.reopened_at

    @property
    def lost(self) -> bool:
        return self.known.lost

    @property
    def removed(self) -> bool:
        return self.known.removed

    @removed.setter
    def removed(self, value: bool) -> None:
        self.known = interned(replace(self.known, removed=value))

    @property
    def not_in_page(self) -> bool:
        return self.known.not_in_page

    @not_in_page.setter
    def not_in_page(self, value: bool) -> None:
        if self.known.not_in_page is not value:
            self.known = interned(replace(self.known, not_in_page=value))

    @property
    def steady(self) -> bool:
        return self.known.steady

    @steady.setter
    def steady(self, value: bool) -> None:
        self.known = interned(replace(self.known, steady=value))

    def settle(self) -> None:
        """Recompute `steady` from what is known of the task."""
        self.known = interned(self.known.settled())


class TrackedTasks:
    """All tracked tasks of one source by ID, how many have each status, and when each is due.

    `finished` are the IDs of the last tasks that have ended. `coverage` are the intervals of tasks
    that `last_seen` covers.
    """

    def __init__(self, context: PollingContext, absences: AbsenceJudge) -> None:
        self._by_id: dict[str, TrackedTask] = {}
        self._counts: Counter[str | None] = Counter()
        self._running = NOTHING
        """What is known of the running task that was adopted last: most others are alike."""
        self._absences = absences
        self._wall = context.wall
        polling, random, lagged = context.polling, context.random, context.metrics.lagged
        self.common: Schedule[TrackedTask] = Schedule(polling, random, lagged)
        self.single: Schedule[TrackedTask] = Schedule(polling, random, lagged)
        self.last_seen: LastSeenTasks[TrackedTask] = LastSeenTasks(anyio.current_time)
        self.finished: deque[str] = deque(maxlen=_FINISHED_KEPT)
        self.coverage = Coverage(polling.max_interval, polling.max_interval)

    def __len__(self) -> int:
        return len(self._by_id)

    # Tasks come and go

    def restore(self, watches: Iterable[ActiveWatch], now: float) -> None:
        """Track stored watches at start, their first polls spread over the longest interval."""
        for watch in watches:
            if watch.task_id not in self._by_id:
                known = watch.missing_since is None and watch.lost_at is None
                running = known and not _is_reopened(watch)
                task = (self._adopt_running if running else self._adopt)(watch, watch.task_id)
                (self.common if known else self.single).add(task, Outcome.RESTORED, now)

    def track(self, watches: Iterable[Watch], now: float) -> None:
        """Poll these tasks at once, except those that are done or being polled now."""
        for watch in watches:
            task_id = watch.key.task_id
            known = self._by_id.get(task_id)
            if watch.state is not WatchState.ACTIVE:
                continue
            if known is not None and _is_reopened(watch) and known.reopened_at is None:
                self.forget(task_id)  # its end is being recorded
                known = None
            if known is None or known.slot is not None:
                self.common.add(known or self._adopt(watch, task_id), Outcome.NEW, now)

    def forget(self, task_id: str) -> None:
        """Stop polling a task."""
        self._absences.forget(task_id)
        if (task := self._by_id.pop(task_id, None)) is not None:
            task.removed = True
            self.last_seen.leave(task)
            self._counts[task.status] -= 1
            self.common.remove(task)

    def compact(self) -> None:
        """Free the memory of many forgotten tasks, which schedules would drop later and a
        dictionary never.
        """
        self._by_id = dict(self._by_id)
        self.common.compact()
        self.single.compact()
        self.last_seen.compact()

    def end(self, task_id: str) -> None:
        """Stop polling a task that has ended."""
        self.finished.append(task_id)
        self.forget(task_id)

    def update(self, task: TrackedTask, watch: Watch | ActiveWatch) -> None:
        """Take over what is stored of a task."""
        before = task.known
        # One string object for all tasks with this status, wherever it came from.
        status = None if watch.status is None else sys.intern(watch.status)
        self._counts[before.status] -= 1
        self._counts[status] += 1
        lost = watch.lost_at is not None
        runs_again = before.lost and not lost  # one run of a task is never gone and back
        reopened_at = None
        if _is_reopened(watch):
            now = anyio.current_time()
            reopened_at = now if before.reopened_at is None else before.reopened_at
        known = replace(
            before,
            status=status,
            shown=_with_status(frozenset() if runs_again else before.shown, status),
            missing_since=watch.missing_since,
            reopened_at=reopened_at,
            lost=lost,
        )
        task.known = interned(known.settled())
        self.last_seen.place(task)
        self._absences.remember(task.task_id, missing=known.missing_since is not None, lost=lost)

    def _adopt(self, watch: Watch | ActiveWatch, task_id: str) -> TrackedTask:
        task = self._by_id[task_id] = TrackedTask(task_id=task_id)
        self._counts[None] += 1
        self.update(task, watch)
        return task

    def _adopt_running(self, watch: ActiveWatch, task_id: str) -> TrackedTask:
        """Adopt one of which nothing is known but its status, as nearly all are at start."""
        known = self._running
        if known.status != watch.status:
            status = None if watch.status is None else sys.intern(watch.status)
            known = interned(Knowledge(status=status, shown=_with_status(frozenset(), status)))
            self._running = known
        task = self._by_id[task_id] = TrackedTask(task_id=task_id, known=known)
        self._counts[known.status] += 1
        self.last_seen.place(task)
        return task

    # When a task is polled next

    def reschedule(self, tasks: Iterable[TrackedTask], now: float) -> None:
        """Poll tasks again in due time: nothing about them has changed."""
        unchanged: list[TrackedTask] = []
        missing: list[TrackedTask] = []
        for task in tasks:
            if task.removed:
                continue
            if task.lost:
                self.single.add(task, Outcome.LOST, now)
            elif task.missing_since is not None:
                missing.append(task)
            elif task.status in SLOW_STATUSES:
                self.common.add(task, Outcome.SLOW, now)
            else:
                unchanged.append(task)
        self.single.add_unchanged(missing, now)
        self.unchanged(unchanged, now)

    def unchanged(self, tasks: Sequence[TrackedTask], now: float) -> None:
        """Poll tasks again after an answer without a change."""
        if not self.last_seen.covered:
            self.common.add_unchanged(tasks, now)
            return
        covered = [task for task in tasks if task.chunk]  # all chunks are covered
        if len(covered) < len(tasks):
            self.common.add_unchanged([task for task in tasks if not task.chunk], now)
        self.common.add_unchanged(covered, now, self.coverage)

    def slow_down(self, tasks: Iterable[TrackedTask], now: float) -> None:
        """Poll tasks at the longest interval."""
        for task in tasks:
            if not task.removed:
                self.common.add(task, Outcome.SLOW, now)

    # What is shown of it

    def times(self, key: TaskKey, now: float) -> tuple[float | None, float | None]:
        """Return when the task was last answered for and when it is due, in Unix seconds."""
        if (task := self._by_id.get(key.task_id)) is None:
            return None, None
        offset = self._wall() - now
        answered_at = None if task.answered_at is None else task.answered_at + offset
        return answered_at, None if task.due_at is None else task.due_at + offset

    def ids(self) -> Iterable[str]:
        """Return the IDs of all tracked tasks."""
        return self._by_id.keys()

    def get(self, task_id: str) -> TrackedTask | None:
        return self._by_id.get(task_id)

    @property
    def unseen(self) -> bool:
        """Whether there are tasks that upstream has not shown yet."""
        return self._counts[None] > 0

    def counts(self) -> Mapping[str | None, int]:
        """Return how many tasks have each status; None until upstream has shown the task."""
        return +self._counts

    def late(self, now: float) -> float:
        """Return for how many seconds the most overdue task has been due."""
        return max(self.common.late(now), self.single.late(now))

    def next_due_at(self) -> float | None:
        """Return the monotonic time at which the next task is due; None without tasks."""
        moments = (self.common.next_due_at(), self.single.next_due_at())
        return min((moment for moment in moments if moment is not None), default=None)


def _with_status(shown: frozenset[str], status: str | None) -> frozenset[str]:
    if status is None or status in shown:
        return shown
    return shown | {status} if len(shown) < _MAX_SHOWN else frozenset({status})


def _is_reopened(watch: Watch | ActiveWatch) -> bool:
    """Return whether an active watch has ended before and may run again."""
    return watch.status in TERMINAL_STATUSES
