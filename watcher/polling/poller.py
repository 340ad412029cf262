"""Polls one source: what is due is fetched, compared, and recorded.

Two loops send requests. The *single* loop polls one task per request, the *list* loop as many as a
page holds; each waits for the request budget of its own endpoint. Both take tasks from the common
schedule; the single loop also takes those that have to be polled individually.

A task counts as missing only if both endpoints agree.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import anyio
import anyio.abc

from watcher.core.errors import SourceError, SourceFailure, StoreError
from watcher.core.interfaces.source import Endpoint, ShowsChanges, Source
from watcher.core.log_fields import about
from watcher.core.tasks import ActiveWatch, TaskKey, Watch
from watcher.core.wakeup import Wakeup
from watcher.polling.absence import AbsenceJudge
from watcher.polling.answers import AnswerProcessor
from watcher.polling.batch_lookup import BatchLookup
from watcher.polling.budget_shares import BudgetShares
from watcher.polling.change_polling import ChangePolling
from watcher.polling.context import PollingContext
from watcher.polling.loop_choice import MAX_IDLE, RECHECK_INTERVAL, LoopChoice
from watcher.polling.outage import SourceOutage
from watcher.polling.poll_requests import PollRequests
from watcher.polling.reachability import Reachability
from watcher.polling.recorder import Recorder
from watcher.polling.schedule import Schedule
from watcher.polling.stalled import StalledTasks
from watcher.polling.watchlist import TrackedTask, TrackedTasks
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import Component
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

IN_FLIGHT = {"single": 32, "shared": 16}
"""Requests of a loop whose answers are not stored yet. Beyond it answers wait upstream, not in
memory: a page of a thousand tasks takes half a megabyte.
"""


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
        self._admitted: set[str] = set()
        self._shares = BudgetShares(self._tasks)
        self._choice = LoopChoice(
            polling,
            single=self._single,
            shared=self._shared,
            tasks=self._tasks,
            absences=self._absences,
            outage=self.outage,
            shares=self._shares,
            admitted=self._admitted,
        )
        self._answers = AnswerProcessor(
            context,
            tasks=self._tasks,
            absences=self._absences,
            outage=self.outage,
            log_throttle=log_throttle,
            list_works=self._choice.list_works,
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
        self._in_flight: Counter[str] = Counter()
        self._wakeup = Wakeup()
        self._scope = anyio.CancelScope()
        loops = ["single"] if self._shared is None else ["single", "shared"]
        self.monitors = {name: LivenessMonitor(anyio.current_time) for name in loops}
        self._changes = self._change_polling(source)

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
        loops = [partial(self._loop, "single", self._single, self._choice.for_single)]
        if self._shared is not None:
            loops.append(partial(self._loop, "shared", self._shared, self._choice.for_shared))
        with self._scope:
            async with anyio.create_task_group() as requests:
                run_stalled = partial(keep_running, Component.STALLED_TASKS, self._stalled.run)
                requests.start_soon(run_stalled, name=f"stalled {name}")
                if self._changes is not None:
                    loops.append(partial(self._changes.run))
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

    async def _loop(
        self,
        name: str,
        endpoint: Endpoint,
        choose: Callable[[float], Schedule[TrackedTask] | None],
        requests: anyio.abc.TaskGroup,
    ) -> None:
        while True:
            self.monitors[name].beat()
            generation = self._wakeup.generation
            now = anyio.current_time()
            if self.outage.review():
                requests.start_soon(self._requests.store_outage)
            schedule = choose(now) if self._in_flight[name] < IN_FLIGHT[name] else None
            if schedule is None:
                with anyio.move_on_after(self._choice.until_next(now)):
                    await self._wakeup.wait(generation)
            elif name not in self._admitted:
                # Tasks are chosen after admission: one that is added during the wait comes first.
                with anyio.move_on_after(MAX_IDLE):
                    await endpoint.admit()
                    self._admitted.add(name)
            else:
                self._admitted.discard(name)
                self.outage.request_sent()
                fill = endpoint.capacity > 1
                ahead = fill and self._choice.ahead()
                tasks = schedule.take(now, endpoint.capacity, fill=fill, ahead=ahead)
                if fill:
                    self._shares.page_sent()
                self._wakeup.set()  # the other loop may poll what is left
                self._in_flight[name] += 1
                task_name = f"fetch {self._context.source_name}"
                requests.start_soon(self._poll, name, endpoint, tasks, name=task_name)

    # One request

    async def _poll(self, name: str, endpoint: Endpoint, tasks: Sequence[TrackedTask]) -> None:
        try:
            await self._requests.poll(endpoint, tasks, individually=endpoint is self._single)
        finally:
            self._in_flight[name] -= 1
            self._wakeup.set()
        await self._requests.store_outage()
