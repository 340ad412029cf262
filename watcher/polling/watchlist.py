"""The tasks of one source in memory, with their place in one of two schedules.

Tasks wait in the common schedule. A task that a list answer did not show, or that upstream does not
know, waits in the `single` schedule: it has to be polled individually.
"""

import sys
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

import anyio
import msgspec

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
from watcher.polling.last_seen import LastSeenTasks
from watcher.polling.schedule import Coverage, Entry, Outcome, Schedule

_MAX_SHOWN = 16
"""Statuses kept of one run; an upstream that invents more is not protected from regressions."""
_MAX_PASTS = 1000
_FINISHED_KEPT = 32


_LOST, _REMOVED, _NOT_IN_PAGE, _STEADY = 1, 2, 4, 8
"""Bits of `TrackedTask.flags`: a field of its own would take 8 bytes of every task."""


class Past(msgspec.Struct, frozen=True, gc=False):
    """What is known of a task beside its status; most tasks have it in common, so they share it.

    `shown` are the statuses that this run of the task has shown. `missing_since` is in Unix
    seconds, `reopened_at` in monotonic seconds.
    """

    shown: frozenset[str] = frozenset()
    missing_since: float | None = None
    reopened_at: float | None = None


_NOTHING = Past()


class TrackedTask(Entry, kw_only=True, eq=False, gc=False):
    """A task's place in a schedule, and what an answer is compared with (`transitions.Known`).

    A task takes 280 bytes at most. `removed` is set once the task has left the watchlist; if it is
    added again, it is another `TrackedTask`. `not_in_page` is set if the last list answer did not
    show the task, so that it has to be polled individually. While `steady`, an answer with the same
    status changes nothing. `chunk` is the task's place in `LastSeenTasks`.
    """

    status: str | None = None
    flags: int = _STEADY
    chunk: int = 0
    past: Past = _NOTHING

    @property
    def shown(self) -> frozenset[str]:
        return self.past.shown

    @property
    def missing_since(self) -> float | None:
        return self.past.missing_since

    @property
    def reopened_at(self) -> float | None:
        return self.past.reopened_at

    @property
    def lost(self) -> bool:
        return bool(self.flags & _LOST)

    @lost.setter
    def lost(self, value: bool) -> None:
        self._set(_LOST, value)

    @property
    def removed(self) -> bool:
        return bool(self.flags & _REMOVED)

    @removed.setter
    def removed(self, value: bool) -> None:
        self._set(_REMOVED, value)

    @property
    def not_in_page(self) -> bool:
        return bool(self.flags & _NOT_IN_PAGE)

    @not_in_page.setter
    def not_in_page(self, value: bool) -> None:
        self._set(_NOT_IN_PAGE, value)

    @property
    def steady(self) -> bool:
        return bool(self.flags & _STEADY)

    @steady.setter
    def steady(self, value: bool) -> None:
        self._set(_STEADY, value)

    def _set(self, flag: int, value: bool) -> None:
        self.flags = self.flags | flag if value else self.flags & ~flag

    def settle(self) -> None:
        """Recompute `steady` from what is known of the task."""
        self.steady = self.missing_since is None and not self.lost and self.reopened_at is None


class TrackedTasks:
    """All tracked tasks of one source by ID, how many have each status, and when each is due.

    `finished` are the IDs of the last tasks that have ended. `coverage` are the intervals of tasks
    that `last_seen` covers.
    """

    def __init__(self, context: PollingContext, absences: AbsenceJudge) -> None:
        self._by_id: dict[str, TrackedTask] = {}
        self._counts: Counter[str | None] = Counter()
        self._pasts: dict[frozenset[str], Past] = {}
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
        self._counts[task.status] -= 1
        # One string object for all tasks with this status, wherever it came from.
        task.status = None if watch.status is None else sys.intern(watch.status)
        self._counts[task.status] += 1
        runs_again = task.lost and watch.lost_at is None  # or it would not have been gone
        task.lost = watch.lost_at is not None
        reopened_at = None
        if _is_reopened(watch):
            now = anyio.current_time()
            reopened_at = now if task.reopened_at is None else task.reopened_at
        shown = frozenset[str]() if runs_again else task.shown
        if task.status is not None and task.status not in shown:
            shown = _with_status(shown, task.status)
        task.past = self._past(Past(shown, watch.missing_since, reopened_at))
        task.settle()
        self.last_seen.place(task)
        missing = task.missing_since is not None
        self._absences.remember(task.task_id, missing=missing, lost=task.lost)

    def _adopt(self, watch: Watch | ActiveWatch, task_id: str) -> TrackedTask:
        task = self._by_id[task_id] = TrackedTask(task_id=task_id)
        self._counts[None] += 1
        self.update(task, watch)
        return task

    def _adopt_running(self, watch: ActiveWatch, task_id: str) -> TrackedTask:
        """Adopt one of which nothing is known but its status, as nearly all are at start."""
        status = None if watch.status is None else sys.intern(watch.status)
        past = _NOTHING if status is None else self._past(Past(frozenset({status})))
        task = self._by_id[task_id] = TrackedTask(task_id=task_id, status=status, past=past)
        self._counts[status] += 1
        self.last_seen.place(task)
        return task

    def _past(self, past: Past) -> Past:
        """Return an equal record, one object for all tasks that have shown the same statuses and
        are neither missing nor reopened.
        """
        if past.missing_since is not None or past.reopened_at is not None:
            return past
        if len(self._pasts) >= _MAX_PASTS:
            self._pasts.clear()
        return self._pasts.setdefault(past.shown, past)

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


def _with_status(shown: frozenset[str], status: str) -> frozenset[str]:
    return shown | {status} if len(shown) < _MAX_SHOWN else frozenset({status})


def _is_reopened(watch: Watch | ActiveWatch) -> bool:
    """Return whether an active watch has ended before and may run again."""
    return watch.status in TERMINAL_STATUSES
