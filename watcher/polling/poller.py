"""Polls one source: what is due is fetched, compared, and recorded.

The loops that send requests are in `poll_loops` and `change_polling`. A task counts as missing only
if both endpoints agree.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import anyio
import anyio.abc

from watcher.core.errors import SourceError, SourceFailure, StoreError
from watcher.core.interfaces.source import ShowsChanges, Source
from watcher.core.log_fields import about
from watcher.core.tasks import ActiveWatch, TaskKey, Watch
from watcher.core.wakeup import Wakeup
from watcher.polling.absence import AbsenceJudge
from watcher.polling.answers import AnswerProcessor
from watcher.polling.batch_lookup import BatchLookup
from watcher.polling.budget_shares import BudgetShares
from watcher.polling.change_polling import ChangePolling
from watcher.polling.context import PollingContext
from watcher.polling.loop_choice import RECHECK_INTERVAL, LoopChoice
from watcher.polling.outage import SourceOutage
from watcher.polling.poll_loops import PollLoops
from watcher.polling.poll_requests import PollRequests
from watcher.polling.reachability import Reachability
from watcher.polling.recorder import Recorder
from watcher.polling.stalled import StalledTasks
from watcher.polling.watchlist import TrackedTasks
from watcher.telemetry.metrics import Component
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)


class Poller:
    """Polls the tasks of one source, each when it is due, and records changes. Runs until
    `close`.
    """

    def __init__(self, source: Source, context: PollingContext) -> None:
        polling = context.polling
        self._context = context
        self._single = source.single
        self._shared = None if polling.mode == "get" else source.shared
        log_throttle = LogThrottle(anyio.current_time)
        reachability = Reachability(context.unreachable_after)
        self._absences = AbsenceJudge(polling.lost_after, reachability)
        self._tasks = TrackedTasks(context, self._absences)
        self.outage = SourceOutage(context, reachability, lambda: len(self._tasks))
        self._shares = BudgetShares(self._tasks)
        choice = self._loop_choice()
        self._answers = AnswerProcessor(
            context,
            tasks=self._tasks,
            absences=self._absences,
            outage=self.outage,
            log_throttle=log_throttle,
            list_works=choice.list_works,
        )
        self._requests = PollRequests(
            context,
            tasks=self._tasks,
            answers=self._answers,
            outage=self.outage,
            batches=BatchLookup(source, context, self._absences),
            recorder=Recorder(context, self._tasks, log_throttle),
        )
        self._stalled = StalledTasks(context, lambda key: self.times(key)[0])
        self._wakeup = Wakeup()
        self._scope = anyio.CancelScope()
        self._loops = self._poll_loops(choice)
        self.monitors = self._loops.monitors
        self._changes = self._change_polling(source)

    def _loop_choice(self) -> LoopChoice:
        return LoopChoice(
            self._context.polling,
            single=self._single,
            shared=self._shared,
            tasks=self._tasks,
            absences=self._absences,
            outage=self.outage,
            shares=self._shares,
        )

    def _poll_loops(self, choice: LoopChoice) -> PollLoops:
        return PollLoops(
            self._context,
            single=self._single,
            shared=self._shared,
            choice=choice,
            requests=self._requests,
            outage=self.outage,
            shares=self._shares,
            wakeup=self._wakeup,
        )

    def _change_polling(self, source: Source) -> ChangePolling | None:
        if self._shared is None or not isinstance(source, ShowsChanges):
            return None
        changes = ChangePolling(
            source.changes,
            self._context,
            shared=self._shared,
            tasks=self._tasks,
            answers=self._answers,
            outage=self.outage,
            shares=self._shares,
            record=self._requests.record,
            answered=self._requests.store_outage,
            wakeup=self._wakeup,
        )
        self.monitors["changes"] = changes.monitor
        return changes

    # The watchlist

    def restore(self, watches: Iterable[ActiveWatch]) -> None:
        """Poll stored watches at start, spread over the longest interval."""
        self._tasks.restore(watches, anyio.current_time())
        self._wakeup.set()

    def track(self, watches: Iterable[Watch]) -> None:
        """Poll these tasks at once, except those that are done or being polled now."""
        self._tasks.track(watches, anyio.current_time())
        self._wakeup.set()

    def forget(self, key: TaskKey) -> None:
        """Stop polling a task."""
        self._tasks.forget(key.task_id)
        self._answers.forget(key.task_id)

    def keep(self, serves: Callable[[str], bool]) -> None:
        """Stop polling the tasks whose IDs this process does not serve."""
        for task_id in [one for one in self._tasks.ids() if not serves(one)]:
            self.forget(TaskKey(self._context.source_name, task_id))
        self._tasks.compact()

    async def discovery_ended(self, error: SourceError | None) -> None:
        """Note how the run of a discovery rule ended. While no task is watched, nothing else shows
        whether the source answers.
        """
        if len(self._tasks) > 0:
            return
        if error is None:
            self.outage.answered(0)
        else:
            self.outage.failed(error)
        await self._requests.store_outage()

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        """Return when the task was last answered for and when it is due, in Unix seconds."""
        return self._tasks.times(key, anyio.current_time())

    def counts(self) -> Mapping[str | None, int]:
        """Return how many tasks have each status; None until upstream has shown the task."""
        return self._tasks.counts()

    def behind(self) -> float:
        """Return for how many seconds the most overdue task has been due."""
        now = anyio.current_time()
        late = self._tasks.late(now)
        return late if self._changes is None else max(late, self._changes.behind(now))

    def silent(self) -> float:
        """Return for how many seconds no poll has succeeded although one was due."""
        return self.outage.silent(self.behind()) if len(self._tasks) else 0.0

    @property
    def reason(self) -> SourceFailure | None:
        """Why the source is down; None while it is up."""
        return self.outage.reason

    @property
    def probing(self) -> bool:
        """Whether the source does not answer and gets probes only."""
        return not self.outage.answering and len(self._tasks) > 0

    # The loops

    async def run(self) -> None:
        """Poll until `close`."""
        await self._restore_outage()
        keep_running, name = self._context.unexpected.keep_running, self._context.source_name
        loops = self._loops.all()
        if self._changes is not None:
            loops.append(self._changes.run)
        with self._scope:
            async with anyio.create_task_group() as requests:
                run_stalled = partial(keep_running, Component.STALLED_TASKS, self._stalled.run)
                requests.start_soon(run_stalled, name=f"stalled {name}")
                for loop in loops:
                    requests.start_soon(keep_running, Component.POLLER, partial(loop, requests))

    async def _restore_outage(self) -> None:
        while True:
            for monitor in self.monitors.values():
                monitor.beat()
            try:
                return await self.outage.restore()
            except StoreError as error:
                logger.error("%s; will retry", error, extra=about(source=self._context.source_name))
                await anyio.sleep(RECHECK_INTERVAL)

    def close(self) -> None:
        """Stop at once; an answer that is being stored is stored."""
        self._scope.cancel()
