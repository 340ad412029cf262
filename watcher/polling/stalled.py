"""Tasks that run but have not changed for too long: told once each, until they change.

How long is too long is a matter of the task's type. Nothing is kept in memory for it: the store is asked now and then
for what has not changed, which an index answers.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import anyio

from watcher.core.clock import Clock, ClockJumpDetector
from watcher.core.errors import StoreError
from watcher.core.events import Change, new_event_id, task_alert_event
from watcher.core.interfaces.store import Store
from watcher.core.routing import Routing
from watcher.core.tasks import TaskKey, Watch
from watcher.core.wakeup import Wakeup

logger = logging.getLogger(__name__)

_SHARE = 0.1  # of the shortest time allowed, between two looks
_SOONEST = 1.0
_LATEST = 30.0


def allowed(stalled_after: Mapping[str, float | None], task_type: str | None) -> float | None:
    """Return the seconds that a task of this type may stay as it is, None for ever.

    Of several patterns that match, the longest counts, for it says most.
    """
    matching = [
        pattern
        for pattern in stalled_after
        if fnmatchcase((task_type or "").lower(), pattern.lower())
    ]
    return stalled_after[max(matching, key=len)] if matching else None


class StalledTasks:
    """Looks for the stalled tasks of one source.

    `answered_at` is when upstream last answered for a task, in Unix seconds.
    """

    def __init__(
        self,
        *,
        source_name: str,
        store: Store,
        routing: Routing,
        stalled_after: Mapping[str, float | None],
        answered_at: Callable[[TaskKey], float | None],
        outbox: Wakeup,
        wall: Clock,
    ) -> None:
        self._source = source_name
        self._store = store
        self._routing = routing
        self._stalled_after = stalled_after
        self._answered_at = answered_at
        self._outbox = outbox
        self._wall = wall
        self._steadiness = ClockJumpDetector(wall, anyio.current_time)

    async def run(self) -> None:
        """Look every now and then; returns at once where no task may ever be called stalled."""
        limits = [limit for limit in self._stalled_after.values() if limit is not None]
        while limits:
            await anyio.sleep(min(max(min(limits) * _SHARE, _SOONEST), _LATEST))
            self._steadiness.since()  # so that a jump is noticed when it happens, and not when it matters
            try:
                async for watches in self._store.unchanged_watches(
                    self._source, self._wall() - min(limits)
                ):
                    await self._tell(watches)
            except StoreError as error:
                logger.warning("%s; stalled tasks are told later", error)

    async def _tell(self, watches: Sequence[Watch]) -> None:
        now = self._wall()
        changes = [
            self._change(watch, limit, now) for watch in watches if (limit := self._exceeded(watch))
        ]
        if changes:
            await self._store.record(changes)
            self._outbox.set()

    def _exceeded(self, watch: Watch) -> float | None:
        """Return the limit that a task has exceeded for sure: upstream has shown it unchanged after that time."""
        limit = allowed(self._stalled_after, watch.task_type)
        answered_at = self._answered_at(watch.key)
        if limit is None or answered_at is None or watch.changed_at is None:
            return None
        if anyio.current_time() < self._steadiness.since() + limit:
            return None
        return limit if answered_at > watch.changed_at + limit else None

    def _change(self, watch: Watch, limit: float, now: float) -> Change:
        unchanged_for = now - (watch.changed_at or now)
        event = task_alert_event(
            watch,
            "task.stalled",
            reason=f"{watch.status} for {unchanged_for:.0f} s, longer than {limit:.0f} s",
            at=now,
            event_id=new_event_id(),
            channels=self._routing.for_task_alert(watch, "task.stalled"),
        )
        return Change(
            watch=replace(watch, stalled_at=now), expected_sequence=watch.sequence, event=event
        )
