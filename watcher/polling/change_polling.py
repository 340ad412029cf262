"""Requests only the changed ones among many tasks, in place of polling each of them.

Tasks are requested in chunks by the status last seen. A complete answer shows that no other task of
a chunk has changed, so these need a poll only as a confirmation: that they still exist, and that
the condition sees their status. As soon as requests for changes do not work, all tasks are polled
as before.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import anyio
import anyio.abc
import anyio.lowlevel

from watcher.core.errors import IncompleteAnswerError, SourceError
from watcher.core.interfaces.source import ChangesEndpoint, Endpoint, LastSeen
from watcher.core.wakeup import Wakeup
from watcher.polling.answers import AnswerProcessor
from watcher.polling.budget_shares import CONFIRMATION_SHARE, BudgetShares
from watcher.polling.change_requests import ChangeRequests
from watcher.polling.changed_answers import ChangedAnswers, TaskChunk
from watcher.polling.context import PollingContext
from watcher.polling.list_size import ListSize
from watcher.polling.loop_choice import MAX_IDLE, MIN_WAIT, RECHECK_INTERVAL
from watcher.polling.outage import SourceOutage
from watcher.polling.recorder import PendingStep
from watcher.polling.schedule import Coverage
from watcher.polling.sentinels import Sentinels
from watcher.polling.watchlist import TrackedTask, TrackedTasks
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import Component

CONFIRMED_EVERY = 300.0
"""Seconds between two polls of a task that requests for changes cover, if the budget allows it."""
_IN_FLIGHT = 4
_SLICE = 2000
"""Tasks rescheduled at once: more would block the event loop."""
_FEWER = 0.8
"""Below this share of a page, changes are not requested any more."""


class ChangePolling:
    """Requests the changes of one source's tasks. `shared` is the endpoint for pages.

    `record` stores steps; `answered` is called after each request.
    """

    def __init__(
        self,
        endpoint: ChangesEndpoint,
        context: PollingContext,
        *,
        shared: Endpoint,
        tasks: TrackedTasks,
        answers: AnswerProcessor,
        outage: SourceOutage,
        shares: BudgetShares,
        record: Callable[[Sequence[PendingStep]], Awaitable[None]],
        answered: Callable[[], Awaitable[None]],
        wakeup: Wakeup,
    ) -> None:
        self._endpoint = endpoint
        self._context = context
        self._shared = shared
        self._tasks = tasks
        self._last_seen = tasks.last_seen
        self._last_seen.size = max(endpoint.size, 1)
        self._answers = answers
        self._outage = outage
        self._shares = shares
        self._changes = ChangedAnswers(context, tasks, answers, record)
        self._answered = answered
        self._wakeup = wakeup
        self._sentinels = Sentinels(context, tasks)
        self._requests = ChangeRequests(endpoint, tasks.last_seen, self._sentinels)
        self._size = ListSize(endpoint, context)
        self._many = False
        self._admitted = False
        self.monitor = LivenessMonitor(anyio.current_time)

    def behind(self, now: float) -> float:
        """Return for how many seconds the most overdue request has been due."""
        oldest = self._last_seen.oldest() if self._last_seen.covered else None
        if oldest is None:
            return 0.0
        return max(now - oldest - self._context.polling.max_interval, 0.0)

    async def run(self, requests: anyio.abc.TaskGroup) -> None:
        """Request changes, for ever."""
        await self._sentinels.restore()
        await self._size.restore()
        while True:
            self.monitor.beat()
            await self._size.note()
            generation = self._wakeup.generation
            now = anyio.current_time()
            if self._shares.review(now):
                self._wakeup.set()
            await self._review(now)
            groups, chunks = self._next_request(now)
            if not groups:
                self._withdraw()
                with anyio.move_on_after(self._until_next(now)):
                    await self._wakeup.wait(generation)
            elif not self._admitted:
                with anyio.move_on_after(MAX_IDLE):
                    await self._endpoint.admit()
                    self._admitted = True
            else:
                self._admitted = False
                self._begin(chunks, now)
                name = f"changes {self._context.source_name}"
                requests.start_soon(self._request, groups, chunks, now, name=name)

    # What to request

    async def _review(self, now: float) -> None:
        """Adapt chunks and intervals to what works now."""
        capacity = self._endpoint.capacity
        page = max(self._shared.capacity, 1)
        self._many = self._last_seen.count > page * (_FEWER if self._many else 1)
        usable = self._usable()
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
            every=max(requests * spacing, self._pace()),
            confirmed_every=max(CONFIRMED_EVERY, CONFIRMATION_SHARE * pages * spacing),
        )

    async def _uncover(self, now: float) -> None:
        """Poll all tasks again, as if those of a chunk had last been polled with it. If others are
        polled already, those of a chunk do not come before them.
        """
        all_covered = self._last_seen.covered
        chunks = self._last_seen.uncover()
        if chunks:
            self._wakeup.set()
        for chunk in chunks:
            last = chunk.swept_at + self._context.polling.max_interval
            await self._reschedule(chunk, now if all_covered else last, last)

    def _usable(self) -> bool:
        return self._endpoint.capacity > 0 and self._many and self._outage.answering

    def _pace(self) -> float:
        """Return after how many seconds a chunk is due again."""
        polling = self._context.polling
        return polling.min_interval if self._shares.limited else polling.max_interval

    def _next_request(self, now: float) -> tuple[Sequence[LastSeen], Sequence[TaskChunk]]:
        """Return what to request next, and the chunks that it covers."""
        most = _IN_FLIGHT if self._shares.trusted else 1
        possible = self._usable() and self._shares.changes_in_flight < most
        due = self._last_seen.due(now - self._pace()) if possible else ()
        self._shares.changes_wait = bool(due)
        if not due or not self._shares.allow_changes():
            return (), ()
        return self._requests.next(due)

    def _until_next(self, now: float) -> float:
        oldest = self._last_seen.oldest()
        if oldest is None or not self._many:
            return RECHECK_INTERVAL
        due_in = oldest + self._pace() - now
        longest = RECHECK_INTERVAL if self._shares.changes_in_flight else MAX_IDLE
        return min(max(due_in, MIN_WAIT), longest) if due_in > 0 else RECHECK_INTERVAL

    def _withdraw(self) -> None:
        if self._admitted and not self._shares.changes_wait:
            self._admitted = False
            self._endpoint.withdraw()

    # One request

    def _begin(self, chunks: Sequence[TaskChunk], now: float) -> None:
        self._shares.changes_sent(now)
        for chunk in chunks:
            self._last_seen.requested(chunk)
            late = max(now - chunk.swept_at - self._context.polling.max_interval, 0.0)
            self._context.metrics.lagged(late, chunk.count)

    async def _request(
        self, groups: Sequence[LastSeen], chunks: Sequence[TaskChunk], sent_at: float
    ) -> None:
        worked = False
        try:
            worked = await self._fetch(groups, chunks, sent_at)
        except Exception as error:
            self._context.unexpected.report(Component.POLLER, error)
        finally:
            self._shares.changes_ended(sent_at, worked=worked)
            if not worked:
                for chunk in chunks:
                    self._last_seen.failed(chunk)
        if worked:
            await self._swept(chunks, sent_at)
        self._wakeup.set()
        await self._answered()

    async def _fetch(
        self, groups: Sequence[LastSeen], chunks: Sequence[TaskChunk], sent_at: float
    ) -> bool:
        """Request changes and record them; return whether that works: the answer is complete, and
        came so soon that the next request may follow.
        """
        try:
            async with aclosing(self._endpoint.fetch(groups)) as parts:
                async for shown in parts:
                    self._shares.changes_answered(sent_at)
                    if doubt := await self._changes.take(shown, chunks, sent_at):
                        self._endpoint.distrust(doubt)
                        return False
        except IncompleteAnswerError as error:
            if self._sentinels.unknown(error.unknown):
                self._endpoint.distrust("it does not show tasks that have ended")
                self._sentinels.worked()
            return False
        except SourceError as error:
            self._answers.unanswered((), error, individually=False)
            return False
        self._sentinels.worked()
        self._outage.answered(sum(group.count for group in groups))
        return self._endpoint.capacity > 0

    async def _swept(self, chunks: Sequence[TaskChunk], sent_at: float) -> None:
        for chunk in chunks:
            if self._last_seen.swept(chunk, sent_at):
                now = anyio.current_time()
                await self._reschedule(chunk, now, now + self._tasks.coverage.confirmed_every)

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
