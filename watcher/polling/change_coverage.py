"""Which tasks requests for changes cover, and when a page polls each task.

A complete answer shows that no other task of a chunk has changed, so a covered task is polled only
as a confirmation. As soon as requests for changes do not work, all tasks are polled as before.
"""

import math
from collections.abc import Sequence

import anyio
import anyio.lowlevel

from watcher.core.interfaces.source import ChangesEndpoint, Endpoint
from watcher.core.wakeup import Wakeup
from watcher.polling.budget_shares import CONFIRMATION_SHARE, BudgetShares
from watcher.polling.changed_answers import TaskChunk
from watcher.polling.context import PollingContext
from watcher.polling.outage import SourceOutage
from watcher.polling.schedule import Coverage
from watcher.polling.watchlist import TrackedTask, TrackedTasks

CONFIRMED_EVERY = 300.0
"""Seconds between two polls of a task that requests for changes cover, if the budget allows it."""
_SLICE = 2000
"""Tasks rescheduled at once: more would block the event loop."""
_FEWER = 0.8
"""Below this share of a page, changes are not requested any more."""


class ChangeCoverage:
    """The coverage of one source's tasks. `endpoint` requests changes, `shared` pages."""

    def __init__(
        self,
        endpoint: ChangesEndpoint,
        context: PollingContext,
        *,
        shared: Endpoint,
        tasks: TrackedTasks,
        outage: SourceOutage,
        shares: BudgetShares,
        wakeup: Wakeup,
    ) -> None:
        self._endpoint = endpoint
        self._context = context
        self._shared = shared
        self._tasks = tasks
        self._last_seen = tasks.last_seen
        self._last_seen.size = max(endpoint.size, 1)
        self._outage = outage
        self._shares = shares
        self._wakeup = wakeup
        self.needed = False
        """Whether there are more tasks than a page holds."""

    def usable(self) -> bool:
        """Return whether changes may be requested in place of pages."""
        return self._endpoint.capacity > 0 and self.needed and self._outage.answering

    def pace(self) -> float:
        """Return after how many seconds a chunk is due again."""
        polling = self._context.polling
        return polling.min_interval if self._shares.limited else polling.max_interval

    async def review(self, now: float) -> None:
        """Adapt chunks and intervals to what works now."""
        capacity = self._endpoint.capacity
        page = max(self._shared.capacity, 1)
        self.needed = self._last_seen.count > page * (_FEWER if self.needed else 1)
        usable = self.usable()
        self._context.metrics.list_size(capacity if usable else page)
        self._shares.all_pages = pages = math.ceil(self._last_seen.count / page)
        if not usable:
            self._shares.changes_wait = False
            await self._uncover(now)
            return
        self._last_seen.size = capacity
        self._last_seen.fit()
        spacing = self._endpoint.spacing
        self._shares.limited = spacing > 0
        requests = math.ceil(self._last_seen.count / capacity)
        self._tasks.coverage = Coverage(
            every=max(requests * spacing, self.pace()),
            confirmed_every=max(CONFIRMED_EVERY, CONFIRMATION_SHARE * pages * spacing),
        )

    async def extend(self, chunks: Sequence[TaskChunk], sent_at: float) -> None:
        """Cover the chunks of a request that has worked: their tasks are only confirmed."""
        for chunk in chunks:
            if self._last_seen.swept(chunk, sent_at):
                now = anyio.current_time()
                await self._reschedule(chunk, now, now + self._tasks.coverage.confirmed_every)

    async def _uncover(self, now: float) -> None:
        """Poll all tasks again, those of a chunk as if its last complete answer had polled them.
        They are due from now on if all tasks were covered, but never before tasks that were not.
        """
        all_covered = self._last_seen.covered
        chunks = self._last_seen.uncover()
        if chunks:
            self._wakeup.set()
        for chunk in chunks:
            last = chunk.swept_at + self._context.polling.max_interval
            await self._reschedule(chunk, now if all_covered else last, last)

    async def _reschedule(self, chunk: TaskChunk, first: float, last: float) -> None:
        """Make the tasks of a chunk due between two times, the longest unanswered first."""
        tasks = sorted(self._last_seen.members(chunk), key=_answered_at)
        seconds = (last - first) / max(len(tasks), 1)
        for start in range(0, len(tasks), _SLICE):
            some = tasks[start : start + _SLICE]
            begins = first + start * seconds
            self._tasks.common.spread(
                (task for task in some if task.chunk == chunk.number and not task.not_in_page),
                begins,
                begins + len(some) * seconds,
            )
            await anyio.lowlevel.checkpoint()


def _answered_at(task: TrackedTask) -> float:
    return -math.inf if task.answered_at is None else task.answered_at
