"""Which of the two loops of a poller polls which tasks now, and when it looks again."""

from watcher.core.interfaces.source import Endpoint
from watcher.core.settings import PollingSettings
from watcher.polling.absence import AbsenceJudge
from watcher.polling.budget_shares import BudgetShares
from watcher.polling.outage import SourceOutage
from watcher.polling.schedule import Schedule
from watcher.polling.watchlist import TrackedTask, TrackedTasks

FEW = 3
"""Up to so many tasks due within a second are polled individually rather than with a page."""
DUE_TOGETHER = 1.0
"""Seconds within which due tasks count as due together."""
MIN_WAIT = 0.001
"""Seconds. Rounding could keep a loop with a shorter wait from ever reaching its moment."""
MAX_IDLE = 10.0
"""Seconds after which a waiting loop reports that it is alive."""
RECHECK_INTERVAL = 1.0
"""Seconds after which a loop looks again for tasks that the other one may have left."""


class LoopChoice:
    """Chooses for the loops of one source.

    While the source does not answer, one probe goes out at a time, to either endpoint in turn: one
    of them may answer before the other.
    """

    def __init__(
        self,
        polling: PollingSettings,
        *,
        single: Endpoint,
        shared: Endpoint | None,
        tasks: TrackedTasks,
        absences: AbsenceJudge,
        outage: SourceOutage,
        shares: BudgetShares,
    ) -> None:
        self._mode = polling.mode
        self._min_interval = polling.min_interval
        self._single = single
        self._shared = shared
        self._tasks = tasks
        self._absences = absences
        self._outage = outage
        self._shares = shares
        self.admitted: set[str] = set()
        """The loops whose next request is admitted, as they note it."""

    def list_works(self) -> bool:
        return self._shared is not None and self._shared.capacity > 0

    def for_single(self, now: float) -> Schedule[TrackedTask] | None:
        """Return the schedule to poll individually now, if any."""
        if not self._outage.answering and (now < self._outage.probe_at or self._list_is_next(now)):
            return None
        due = [self._tasks.single] if self._tasks.single.due(now) else []
        alone = not self.list_works() or not self._outage.answering or self._few(now)
        if alone and self._tasks.common.due(now):
            due.append(self._tasks.common)
        return max(due, key=lambda schedule: schedule.late(now), default=None)

    def for_shared(self, now: float) -> Schedule[TrackedTask] | None:
        """Return the schedule to poll with list requests now, if any."""
        common = self._tasks.common
        if not self.list_works():
            return None
        if not self._outage.answering:
            return common if now >= self._outage.probe_at and self._list_is_next(now) else None
        if not self._shares.allow_page(now):
            return None
        if self.ahead():
            return common if now >= self._ahead_at() or common.due(now) else None
        return None if not common.due(now) or self._few(now) else common

    def ahead(self) -> bool:
        """Return whether tasks are polled with list requests before they are due: a poll of all
        takes several requests, and a budget that is not used is lost.
        """
        if self._requests() < 2 or not self._outage.answering or self._shares.covered:
            return False
        return self.list_works() and self._tasks.common.next_due_at() is not None

    def _requests(self) -> int:
        """Return how many list requests of the budget a poll of all tasks takes."""
        return 0 if self._shared is None else self._shared.requests_for(len(self._tasks))

    def _ahead_at(self) -> float:
        """Return when the next tasks may be polled before they are due: none is polled more often
        than at the shortest interval.
        """
        return self._tasks.common.taken_at + self._min_interval / max(self._requests(), 1)

    def until_next(self, now: float) -> float:
        """Return the seconds until a loop without a choice looks again."""
        if not self._outage.answering:
            return min(max(self._outage.probe_at - now, 0.0), MAX_IDLE) or RECHECK_INTERVAL
        due_at = self._tasks.next_due_at()
        if due_at is None:
            return MAX_IDLE
        if self.ahead():
            due_at = min(due_at, max(self._ahead_at(), now))
        return max(min(due_at - now, MAX_IDLE), MIN_WAIT) if due_at > now else RECHECK_INTERVAL

    def _list_is_next(self, now: float) -> bool:
        """Return whether the next probe goes to the list."""
        return self._outage.probes % 2 == 1 and self.list_works() and self._tasks.common.due(now)

    def _few(self, now: float) -> bool:
        """Return whether few enough tasks are due to poll them individually, within the budget.

        Not while a task is missing: the list may show it, and both have to be polled before it is
        lost.
        """
        if self._mode != "auto" or self._absences.missing:
            return False
        if "single" not in self.admitted and self._single.wait() > 0:
            return False
        return self._tasks.common.count(now + DUE_TOGETHER, FEW) <= FEW
