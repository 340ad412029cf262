"""Steps become changes, each stored with its event and deliveries in one transaction.

What is in memory of a task moves on only after the store took the change. A change that could not
be stored is detected again with the next answer.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import anyio

from watcher.core.durations import format_duration
from watcher.core.errors import StoreError, StoreFullError
from watcher.core.events import (
    Change,
    batch_of,
    bounded_name,
    namespace_of,
    task_alert_event,
    task_event,
)
from watcher.core.log_fields import about
from watcher.core.tasks import (
    KNOWN_STATUSES,
    SLOW_STATUSES,
    TERMINAL_STATUSES,
    Observation,
    Watch,
    WatchState,
)
from watcher.polling.change_log import log_change
from watcher.polling.context import PollingContext
from watcher.polling.schedule import Outcome
from watcher.polling.transitions import Step
from watcher.polling.watchlist import TrackedTask, TrackedTasks
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

_STORED_AT_ONCE = 250
"""Steps of one transaction: what those of a page of new tasks would take of memory stays taken."""
_STATUSES_LOGGED = 100
"""Unknown statuses that are logged, once each: upstream may invent any number."""


class PendingStep(NamedTuple):
    """A step to record, with what upstream showed, or with why a rejected task is lost."""

    task: TrackedTask
    step: Step
    observation: Observation | None = None
    reason: str | None = None


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
        self._unknown_statuses: set[str] = set()

    async def record(self, steps: Sequence[PendingStep]) -> None:
        """Store steps; if the store fails, poll their tasks again."""
        unchanged = [step.task for step in steps if step.step is Step.UNCHANGED]
        self._tasks.reschedule(unchanged, anyio.current_time())
        changed = [step for step in steps if step.step is not Step.UNCHANGED]
        for start in range(0, len(changed), _STORED_AT_ONCE):
            await self._store_steps(changed[start : start + _STORED_AT_ONCE])

    async def _store_steps(self, steps: Sequence[PendingStep]) -> None:
        at = self._context.wall()
        tasks = [step.task for step in steps]
        try:
            stored = await self._store.watches([self._context.key(task.task_id) for task in tasks])
            changes = {
                step.task.task_id: self._change(watch, step, at)
                for step in steps
                if (watch := stored.get(self._context.key(step.task.task_id))) is not None
                and not _is_recorded(watch, step)
            }
            results = await self._store.record(list(changes.values()))
        except StoreError as error:
            await self._not_stored(steps, error)
            return
        self._store_fails = False
        applied = dict(zip(changes, results, strict=True))
        for task, step, observation, _ in steps:
            if applied.get(task.task_id):
                self._note(changes[task.task_id])
                self._advance(task, changes[task.task_id].watch, step, observation)
            else:
                self._tasks.reschedule([task], anyio.current_time())
                await self._resynchronise(task)
        self._context.outbox.set()

    async def _not_stored(self, steps: Sequence[PendingStep], error: StoreError) -> None:
        """Divide what was too large for the room that is left: a page of large tasks may be. After
        any other error poll the tasks again.
        """
        if isinstance(error, StoreFullError) and len(steps) > 1:
            for part in (steps[: len(steps) // 2], steps[len(steps) // 2 :]):
                await self._store_steps(part)
            return
        if not self._store_fails and self._log_throttle.ready("record"):
            logger.error(
                "%s; changes will be detected again",
                error,
                extra=about(source=self._context.source_name),
            )
        self._store_fails = True
        self._tasks.reschedule([step.task for step in steps], anyio.current_time())

    def _note(self, change: Change) -> None:
        """Log and count the event of a stored change, if it has one."""
        log_change(change)
        if change.event is not None:
            self._context.metrics.event_stored(change.event.type)

    async def attempt(self, operation: Callable[[], Awaitable[None]]) -> None:
        """Run a store operation that a later one repeats if it fails."""
        try:
            await operation()
        except StoreError as error:
            if self._log_throttle.ready("store"):
                logger.warning("%s", error, extra=about(source=self._context.source_name))

    def _change(self, watch: Watch, pending: PendingStep, at: float) -> Change:
        if pending.step is Step.TRANSITION and pending.observation is not None:
            return self._transition(watch, pending.observation, at)
        if pending.step is Step.LOST:
            return self._loss(watch, pending.reason, at)
        if pending.step is Step.ENDED:
            after = replace(watch, state=WatchState.DONE)
        else:
            after = replace(watch, missing_since=at if pending.step is Step.MISSING else None)
        return Change(watch=after, expected_sequence=watch.sequence)

    def _loss(self, watch: Watch, reason: str | None, at: float) -> Change:
        missing_since = at if watch.missing_since is None else watch.missing_since
        event = task_alert_event(
            watch,
            "task.lost",
            reason=reason or f"upstream has answered 404 for {format_duration(at - missing_since)}",
            at=at,
            event_id=self._context.new_event_id(),
            channels=self._context.routing.for_task_alert(watch, "task.lost"),
        )
        after = replace(watch, lost_at=at)
        return Change(watch=after, expected_sequence=watch.sequence, event=event)

    def _transition(self, watch: Watch, observation: Observation, at: float) -> Change:
        status, task_type = observation.status, bounded_name(observation.task_type)
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
            batch=batch_of(watch, observation),
        )
        lasted = None if watch.changed_at is None else max(at - watch.changed_at, 0.0)
        return Change(
            watch=after, expected_sequence=watch.sequence, event=event, unchanged_for=lasted
        )

    def _advance(
        self, task: TrackedTask, watch: Watch, step: Step, observation: Observation | None
    ) -> None:
        """Take over a stored change, and schedule the next poll."""
        if step is Step.TRANSITION and observation is not None:
            self._report(watch, observation)
        if task.removed:
            return
        self._tasks.update(task, watch)
        now = anyio.current_time()
        if watch.state is WatchState.DONE:
            self._tasks.end(task.task_id)
        elif step is Step.TRANSITION and task.status not in SLOW_STATUSES:
            self._tasks.common.add(task, Outcome.CHANGED, now)
        else:
            self._tasks.reschedule([task], now)

    def _report(self, watch: Watch, observation: Observation) -> None:
        """Count a transition, and log once what is odd about it."""
        metrics, source = self._context.metrics, self._context.source_name
        metrics.transitioned(watch.task_type, observation.status)
        self._report_duration(watch)
        if observation.status not in KNOWN_STATUSES:
            metrics.unmapped_status()
            if self._is_new(observation.status):
                logger.warning(
                    "source %r: unknown status %r counts as active; if tasks end with it, add it "
                    "to the source's statuses",
                    source,
                    observation.status,
                    extra=about(source=source, task_id=watch.key.task_id),
                )
        if paths := observation.detail().unreadable:
            logger.warning(
                "source %r: task %r holds values that cannot be represented, sent as null: %s",
                source,
                watch.key.task_id,
                ", ".join(paths),
                extra=about(source=source, task_id=watch.key.task_id),
            )

    def _report_duration(self, watch: Watch) -> None:
        """Record how long a task took that was seen before it ended."""
        began, ended, status = watch.first_seen_at, watch.changed_at, watch.status
        if watch.state is WatchState.DONE and watch.sequence > 1 and began and ended and status:
            self._context.metrics.ended(watch.task_type, status, ended - began)

    def _is_new(self, status: str) -> bool:
        """Return whether an unknown status is seen for the first time."""
        if status in self._unknown_statuses or len(self._unknown_statuses) >= _STATUSES_LOGGED:
            return False
        self._unknown_statuses.add(status)
        return True

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


def _is_recorded(watch: Watch, pending: PendingStep) -> bool:
    """Return whether the store is at this step already, which memory has missed."""
    return (
        pending.step is Step.TRANSITION
        and pending.observation is not None
        and pending.observation.status == watch.status
        and watch.lost_at is None
    )
