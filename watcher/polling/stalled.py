"""Tasks that run without a change for too long: `task.stalled` is sent once each, until they
change.

The limit depends on the task's type. Nothing is kept in memory for it: the store is queried for
tasks that have not changed, which an index answers.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

import anyio

from watcher.core.clock import ClockJumpDetector
from watcher.core.durations import format_duration
from watcher.core.errors import StoreError
from watcher.core.events import Change, task_alert_event
from watcher.core.log_fields import about
from watcher.core.tasks import TaskKey, Watch
from watcher.polling.change_log import log_change
from watcher.polling.context import PollingContext

logger = logging.getLogger(__name__)

_SHARE = 0.1  # of the shortest limit, between two checks
_MIN_PAUSE = 1.0  # seconds
_MAX_PAUSE = 30.0  # seconds


def allowed(stalled_after: Mapping[str, float | None], task_type: str | None) -> float | None:
    """Return for how many seconds a task of this type may stay unchanged; None means for ever.

    Of several matching patterns the longest applies, because it is the most specific.
    """
    matching = [
        pattern
        for pattern in stalled_after
        if fnmatchcase((task_type or "").lower(), pattern.lower())
    ]
    return stalled_after[max(matching, key=len)] if matching else None


class StalledTasks:
    """Finds the stalled tasks of one source, and sends `task.stalled` once for each.

    `answered_at` returns when upstream last answered for a task, in Unix seconds.
    """

    def __init__(
        self, context: PollingContext, answered_at: Callable[[TaskKey], float | None]
    ) -> None:
        self._context = context
        self._answered_at = answered_at
        self._clock_jumps = ClockJumpDetector(context.wall, anyio.current_time)

    async def run(self) -> None:
        """Check regularly; returns at once if no task can ever be stalled."""
        limits = [limit for limit in self._stalled_after.values() if limit is not None]
        while limits:
            await anyio.sleep(min(max(min(limits) * _SHARE, _MIN_PAUSE), _MAX_PAUSE))
            self._clock_jumps.observe()
            try:
                await self._check(before=self._context.wall() - min(limits))
            except StoreError as error:
                logger.warning(
                    "%s; the check for stalled tasks will be repeated",
                    error,
                    extra=about(source=self._context.source_name),
                )

    @property
    def _stalled_after(self) -> Mapping[str, float | None]:
        return self._context.polling.stalled_after

    async def _check(self, before: float) -> None:
        context = self._context
        async for watches in context.store.unchanged_watches(context.source_name, before):
            now = context.wall()
            changes = [
                self._change(watch, limit, now)
                for watch in watches
                if (limit := self._exceeded_limit(watch)) is not None
            ]
            if changes:
                stored = await context.store.record(changes)
                for change, applied in zip(changes, stored, strict=True):
                    if applied:
                        log_change(change)
                        context.metrics.event_stored("task.stalled")
                context.outbox.set()

    def _exceeded_limit(self, watch: Watch) -> float | None:
        """Return the limit that a task has certainly exceeded: upstream has shown it unchanged
        after it.
        """
        limit = allowed(self._stalled_after, watch.task_type)
        answered_at = self._answered_at(watch.key)
        if limit is None or answered_at is None or watch.changed_at is None:
            return None
        if anyio.current_time() < self._clock_jumps.steady_since + limit:
            return None
        return limit if answered_at > watch.changed_at + limit else None

    def _change(self, watch: Watch, limit: float, now: float) -> Change:
        unchanged_for = format_duration(now - (watch.changed_at or now))
        event = task_alert_event(
            watch,
            "task.stalled",
            reason=f"{watch.status} for {unchanged_for}, longer than {format_duration(limit)}",
            at=now,
            event_id=self._context.new_event_id(),
            channels=self._context.routing.for_task_alert(watch, "task.stalled"),
        )
        after = replace(watch, stalled_at=now)
        return Change(watch=after, expected_sequence=watch.sequence, event=event)
