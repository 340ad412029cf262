"""Requests only the changed ones among many tasks, in place of polling each of them.

Tasks are requested in chunks by the status last seen. A complete answer shows that no other task of
a chunk has changed, so these need a poll only as a confirmation: that they still exist, and that
the condition sees their status (`change_coverage`).
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import anyio
import anyio.abc

from watcher.core.errors import IncompleteAnswerError, SourceError
from watcher.core.interfaces.source import ChangesEndpoint, Endpoint, LastSeen
from watcher.core.wakeup import Wakeup
from watcher.polling.answers import AnswerProcessor
from watcher.polling.budget_shares import BudgetShares
from watcher.polling.change_coverage import ChangeCoverage
from watcher.polling.change_requests import ChangeRequests
from watcher.polling.changed_answers import ChangedAnswers, TaskChunk
from watcher.polling.context import PollingContext
from watcher.polling.list_size import ListSize
from watcher.polling.loop_choice import MAX_IDLE, MIN_WAIT, RECHECK_INTERVAL
from watcher.polling.outage import SourceOutage
from watcher.polling.recorder import PendingStep
from watcher.polling.sentinels import Sentinels
from watcher.polling.watchlist import TrackedTasks
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import Component

_IN_FLIGHT = 4
"""Requests for changes at once, if they work and are answered soon; else one."""


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
        self._last_seen = tasks.last_seen
        self._answers = answers
        self._outage = outage
        self._shares = shares
        self._changes = ChangedAnswers(context, tasks, answers, record)
        self._answered = answered
        self._wakeup = wakeup
        self._sentinels = Sentinels(context, tasks)
        self._requests = ChangeRequests(endpoint, tasks.last_seen, self._sentinels)
        self._size = ListSize(endpoint, context)
        self._coverage = ChangeCoverage(
            endpoint,
            context,
            shared=shared,
            tasks=tasks,
            outage=outage,
            shares=shares,
            wakeup=wakeup,
        )
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
            await self._coverage.review(now)
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

    def _next_request(self, now: float) -> tuple[Sequence[LastSeen], Sequence[TaskChunk]]:
        """Return what to request next, and the chunks that it covers."""
        most = _IN_FLIGHT if self._shares.trusted else 1
        possible = self._coverage.usable() and self._shares.changes_in_flight < most
        due = self._last_seen.due(now - self._coverage.pace()) if possible else ()
        self._shares.changes_wait = bool(due)
        if not due or not self._shares.allow_changes():
            return (), ()
        return self._requests.next(due)

    def _until_next(self, now: float) -> float:
        oldest = self._last_seen.oldest()
        if oldest is None or not self._coverage.needed:
            return RECHECK_INTERVAL
        due_in = oldest + self._coverage.pace() - now
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
            await self._coverage.extend(chunks, sent_at)
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
