"""Steps become changes, each stored with its event and deliveries in one transaction.

What is in memory of a task moves on only after the store took the change. A change that could not
be stored is detected again with the next answer.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import anyio

from watcher.core.errors import StoreError
from watcher.core.events import Change, namespace_of, task_alert_event, task_event
from watcher.core.tasks import (
    SLOW_STATUSES,
    TERMINAL_STATUSES,
    Observation,
    TaskNotFound,
    Watch,
    WatchState,
)
from watcher.polling.context import PollingContext
from watcher.polling.schedule import Outcome
from watcher.polling.transitions import Step
from watcher.polling.watchlist import TrackedTask, TrackedTasks
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

PendingStep = tuple[TrackedTask, Observation | TaskNotFound, Step]


class Recorder:
    """Stores the steps of one source's tasks, and updates the tasks in memory."""

    def __init__(
        self, context: PollingContext, tasks: TrackedTasks, log_throttle: LogThrottle
    ) -> None:
        self._context = context
        self._store = context.store
        self._tasks = tasks
        self._log_throttle = log_throttle
        self._store_fails = False

    async def record(self, steps: Sequence[PendingStep]) -> None:
        """Store steps; if the store fails, poll their tasks again."""
        at = self._context.wall()
        tasks = [task for task, _, _ in steps]
        try:
            stored = await self._store.watches([self._context.key(task.task_id) for task in tasks])
            changes = {
                task.task_id: self._change(
                    stored[self._context.key(task.task_id)], answer, step, at
                )
                for task, answer, step in steps
                if self._context.key(task.task_id) in stored
            }
            results = await self._store.record(list(changes.values()))
        except StoreError as error:
            if not self._store_fails:
                logger.error("%s; changes will be detected again", error)
            self._store_fails = True
            self._tasks.reschedule(tasks, anyio.current_time())
            return
        self._store_fails = False
        applied = dict(zip(changes, results, strict=True))
        for task, _, step in steps:
            if applied.get(task.task_id):
                self._advance(task, changes[task.task_id].watch, step)
            else:
                self._tasks.reschedule([task], anyio.current_time())
                await self._resynchronise(task)
        self._context.outbox.set()

    async def attempt(self, operation: Callable[[], Awaitable[None]]) -> None:
        """Run a store operation that a later one repeats if it fails."""
        try:
            await operation()
        except StoreError as error:
            if self._log_throttle.ready("store"):
                logger.warning("%s", error)

    def _change(
        self, watch: Watch, answer: Observation | TaskNotFound, step: Step, at: float
    ) -> Change:
        if isinstance(answer, Observation) and step is Step.TRANSITION:
            return self._transition(watch, answer, at)
        if step is Step.LOST:
            return self._loss(watch, at)
        missing_since = at if step is Step.MISSING else None
        after = replace(watch, missing_since=missing_since)
        return Change(watch=after, expected_sequence=watch.sequence)

    def _loss(self, watch: Watch, at: float) -> Change:
        missing_since = at if watch.missing_since is None else watch.missing_since
        event = task_alert_event(
            watch,
            "task.lost",
            reason=f"upstream has answered 404 for {at - missing_since:.0f} s",
            at=at,
            event_id=self._context.new_event_id(),
            channels=self._context.routing.for_task_alert(watch, "task.lost"),
        )
        after = replace(watch, lost_at=at)
        return Change(watch=after, expected_sequence=watch.sequence, event=event)

    def _transition(self, watch: Watch, observation: Observation, at: float) -> Change:
        status, task_type = observation.status, observation.task_type
        sequence = watch.sequence + 1
        namespace = namespace_of(watch, observation)
        event = task_event(
            watch,
            observation,
            namespace=namespace,
            sequence=sequence,
            at=at,
            event_id=self._context.new_event_id(),
            channels=self._context.routing.for_transition(watch, status, task_type, namespace),
        )
        after = replace(
            watch,
            state=WatchState.DONE if status in TERMINAL_STATUSES else WatchState.ACTIVE,
            status=status,
            sequence=sequence,
            task_type=task_type,
            error_message=observation.detail().error_message,
            first_seen_at=at if watch.first_seen_at is None else watch.first_seen_at,
            changed_at=at,
            missing_since=None,
            lost_at=None,
            stalled_at=None,
        )
        return Change(watch=after, expected_sequence=watch.sequence, event=event)

    def _advance(self, task: TrackedTask, watch: Watch, step: Step) -> None:
        """Take over a stored change, and schedule the next poll."""
        if step is Step.TRANSITION and watch.status is not None:
            self._context.metrics.transitioned(watch.task_type, watch.status)
        if task.removed:
            return
        self._tasks.update(task, watch)
        now = anyio.current_time()
        if watch.state is WatchState.DONE:
            self._tasks.forget(task.task_id)
        elif step is Step.TRANSITION and task.status not in SLOW_STATUSES:
            self._tasks.common.add(task, Outcome.CHANGED, now)
        else:
            self._tasks.reschedule([task], now)

    async def _resynchronise(self, task: TrackedTask) -> None:
        """Take over what is stored: the watch was removed, or changed by another writer."""

        async def read() -> None:
            key = self._context.key(task.task_id)
            watch = (await self._store.watches([key])).get(key)
            if watch is None or watch.state is WatchState.DONE:
                self._tasks.forget(task.task_id)
            elif not task.removed:
                self._tasks.update(task, watch)

        await self.attempt(read)
