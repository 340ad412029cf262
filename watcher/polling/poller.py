"""Polls one source: what is due is fetched, compared, and recorded.

Two loops send requests. The *single* loop polls one task per request, the *list* loop as many as a
page holds; each waits for the request budget of its own endpoint. Both take tasks from the common
schedule; the single loop also takes those that have to be polled individually.

A task counts as missing only if both endpoints agree.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing

import anyio
import anyio.abc

from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import Endpoint, Source
from watcher.core.tasks import ActiveWatch, TaskKey, Watch
from watcher.core.wakeup import Wakeup
from watcher.polling.absence import AbsenceJudge
from watcher.polling.answers import AnswerProcessor
from watcher.polling.context import PollingContext
from watcher.polling.outage import SourceOutage
from watcher.polling.reachability import Reachability
from watcher.polling.recorder import Recorder
from watcher.polling.schedule import Schedule
from watcher.polling.stalled import StalledTasks
from watcher.polling.watchlist import TrackedTask, TrackedTasks
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

FEW = 3
"""Up to so many tasks due within a second are polled individually rather than with a page."""
IN_FLIGHT = 32
"""Requests of one loop whose answers are not stored yet. Beyond it answers wait upstream, not in
memory.
"""

DUE_TOGETHER = 1.0
"""Seconds within which due tasks count as due together."""
MIN_WAIT = 0.001
"""Seconds. Rounding could keep a loop with a shorter wait from ever reaching its moment."""
MAX_IDLE = 10.0
"""Seconds after which a waiting loop reports that it is alive."""
RECHECK_INTERVAL = 1.0
"""Seconds after which a loop looks again for tasks that the other one may have left."""


class Poller:
    """Polls the tasks of one source, each when it is due, and records changes. Runs until
    `close`.
    """

    def __init__(self, source: Source, context: PollingContext) -> None:
        polling = context.polling
        self._context = context
        self._single = source.single
        self._shared = None if polling.mode == "get" else source.shared
        self._log_throttle = LogThrottle(anyio.current_time)
        reachability = Reachability(context.unreachable_after)
        self._absences = AbsenceJudge(polling.lost_after, reachability)
        self._tasks = TrackedTasks(context, self._absences)
        self._outage = SourceOutage(context, reachability, lambda: len(self._tasks))
        self._recorder = Recorder(context, self._tasks, self._log_throttle)
        self._answers = AnswerProcessor(
            context,
            tasks=self._tasks,
            absences=self._absences,
            outage=self._outage,
            log_throttle=self._log_throttle,
            list_works=self._list_works,
        )
        self._stalled = StalledTasks(context, lambda key: self.times(key)[0])
        self._admitted: set[str] = set()
        self._in_flight: Counter[str] = Counter()
        self._wakeup = Wakeup()
        self._scope = anyio.CancelScope()
        loops = ("single",) if self._shared is None else ("single", "shared")
        self.monitors = {name: LivenessMonitor(anyio.current_time) for name in loops}

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

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        """Return when the task was last answered for and when it is due, in Unix seconds or
        None.
        """
        return self._tasks.times(key, anyio.current_time())

    def counts(self) -> Mapping[str | None, int]:
        """Return how many tasks have each status; None until upstream has shown the task."""
        return self._tasks.counts()

    def behind(self) -> float:
        """Return for how many seconds the most overdue task has been due."""
        return self._tasks.late(anyio.current_time())

    @property
    def reason(self) -> SourceFailure | None:
        """Why the source is down; None while it is up."""
        return self._outage.reason

    @property
    def probing(self) -> bool:
        """Whether the source does not answer and gets probes only."""
        return not self._outage.answering and len(self._tasks) > 0

    @property
    def last_answer_at(self) -> float | None:
        """When the source last answered, in Unix seconds."""
        return self._outage.last_answer_at

    # The loops

    async def run(self) -> None:
        """Poll until `close`."""
        await self._outage.restore()
        name = self._context.source_name
        with self._scope:
            async with anyio.create_task_group() as requests:
                requests.start_soon(self._stalled.run, name=f"stalled {name}")
                requests.start_soon(self._loop, "single", self._single, self._for_single, requests)
                if self._shared is not None:
                    requests.start_soon(
                        self._loop, "shared", self._shared, self._for_shared, requests
                    )

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
            schedule = choose(now) if self._in_flight[name] < IN_FLIGHT else None
            if schedule is None:
                with anyio.move_on_after(self._until_next(now)):
                    await self._wakeup.wait(generation)
            elif name not in self._admitted:
                # Tasks are chosen after admission: one that is added during the wait comes first.
                with anyio.move_on_after(MAX_IDLE):
                    await endpoint.admit()
                    self._admitted.add(name)
            else:
                self._admitted.discard(name)
                self._outage.request_sent()
                tasks = schedule.take(now, endpoint.capacity, fill=endpoint.capacity > 1)
                self._wakeup.set()  # the other loop may poll what is left
                self._in_flight[name] += 1
                task_name = f"fetch {self._context.source_name}"
                requests.start_soon(self._poll, name, endpoint, tasks, name=task_name)

    def _until_next(self, now: float) -> float:
        if not self._outage.answering:
            return min(max(self._outage.probe_at - now, 0.0), MAX_IDLE) or RECHECK_INTERVAL
        due_at = self._tasks.next_due_at()
        if due_at is None:
            return MAX_IDLE
        return max(min(due_at - now, MAX_IDLE), MIN_WAIT) if due_at > now else RECHECK_INTERVAL

    # Which loop polls what

    def _for_single(self, now: float) -> Schedule[TrackedTask] | None:
        """Return the schedule to poll individually now, if any."""
        if not self._outage.answering and now < self._outage.probe_at:
            return None
        due = [self._tasks.single] if self._tasks.single.due(now) else []
        alone = not self._list_works() or not self._outage.answering or self._few(now)
        if alone and self._tasks.common.due(now):
            due.append(self._tasks.common)
        return max(due, key=lambda schedule: schedule.late(now), default=None)

    def _for_shared(self, now: float) -> Schedule[TrackedTask] | None:
        """Return the schedule to poll with list requests now, if any."""
        common = self._tasks.common
        if self._list_works() and self._outage.answering and common.due(now) and not self._few(now):
            return common
        return None

    def _list_works(self) -> bool:
        return self._shared is not None and self._shared.capacity > 0

    def _few(self, now: float) -> bool:
        """Return whether few enough tasks are due to poll them individually, within the budget.

        Not while a task is missing: the list may show it, and both have to be polled before it is
        lost.
        """
        if self._context.polling.mode != "auto" or self._absences.missing:
            return False
        if "single" not in self._admitted and self._single.wait() > 0:
            return False
        return self._tasks.common.count(now + DUE_TOGETHER, FEW) <= FEW

    # One request

    async def _poll(self, name: str, endpoint: Endpoint, tasks: Sequence[TrackedTask]) -> None:
        waiting = {task.task_id: task for task in tasks}
        try:
            async with aclosing(endpoint.fetch(list(waiting))) as parts:
                async for answers in parts:
                    if pending := self._answers.process(waiting, answers):
                        await self._recorder.record(pending)
            self._tasks.reschedule(waiting.values(), anyio.current_time())
        except SourceError as error:
            self._answers.unanswered(list(waiting.values()), error)
        except Exception:
            if self._log_throttle.ready("unexpected"):
                logger.warning(
                    "unexpected error while polling %r; polling goes on",
                    self._context.source_name,
                    exc_info=True,
                )
            left = [task for task in tasks if task.slot is None]
            self._tasks.reschedule(left, anyio.current_time())
        finally:
            self._in_flight[name] -= 1
            self._wakeup.set()
        await self._recorder.attempt(self._store_outage)

    async def _store_outage(self) -> None:
        if await self._outage.store_changes():
            self._context.outbox.set()
