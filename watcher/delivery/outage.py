"""The outage of a channel, stored with the events that other channels receive."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from watcher.core.clock import rfc3339
from watcher.core.errors import DeliveryError
from watcher.core.event_bodies import ChannelData
from watcher.core.events import Event
from watcher.core.log_fields import about
from watcher.core.outage import Outage, OutageAction, OutageStep, next_step, restored
from watcher.delivery.context import DeliveryContext

logger = logging.getLogger(__name__)


class ChannelOutage:
    """Stores each change with its event, so that a restart neither repeats nor loses an event.

    Methods that store may raise `StoreError` and then have changed nothing. `failing_since` is in
    Unix seconds; None while the channel works.
    """

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context
        self._subject = f"channel {context.name}"
        self._stored: Outage | None = None
        self._alert_now = False
        self._lock = anyio.Lock()

    async def load(self) -> float | None:
        """Read the stored outage; return since when the channel has been failing."""
        async with self._lock:
            stored = await self._context.store.outage(self._subject)
            self._stored = restored(stored, self._context.wall())
            return None if self._stored is None else self._stored.since

    async def follow(self) -> bool:
        """Read what another process has stored of the outage; return whether it has announced the
        end of one that was known here.
        """
        async with self._lock:
            if self._stored is None:
                return False
            stored = await self._context.store.outage(self._subject)
            if stored is None and not self._announced:
                return False
            self._stored = restored(stored, self._context.wall())
            return stored is None

    @property
    def changing(self) -> bool:
        """Whether a change is being stored."""
        return self._lock.locked()

    def alert_now(self) -> None:
        """Send the alert with the next `reconcile`, without waiting for `alert_after`."""
        self._alert_now = True

    def alert_due_at(self, failing_since: float | None) -> float | None:
        if failing_since is None or self._announced:
            return None
        return failing_since + self._context.settings.alert_after

    async def reconcile(self, failing_since: float | None, error: DeliveryError | None) -> None:
        """Store the beginning or the end of the outage, with its event where one is due."""
        async with self._lock:
            await self._reconcile(failing_since, error)

    async def _reconcile(self, failing_since: float | None, error: DeliveryError | None) -> None:
        now = self._context.wall()
        if failing_since is None and self._alert_now:
            failing_since = now
        alert_after = self._context.settings.alert_after
        overdue = failing_since is not None and now >= failing_since + alert_after
        step = next_step(
            self._stored,
            subject=self._subject,
            failing_since=failing_since,
            alert_due=self._alert_now or overdue,
            now=now,
        )
        if step is not None:
            await self._store(step, error)
        # An alert requested during the write stays requested unless this one covers it.
        if self._announced:
            self._alert_now = False

    @asynccontextmanager
    async def stopping(
        self, failing_since: float | None, error: DeliveryError | None
    ) -> AsyncIterator[tuple[Outage, Event]]:
        """Yield the outage of a channel that stops now, with its `channel.stopped` event, for the
        caller to store.
        """
        async with self._lock:
            now = self._context.wall()
            outage = Outage(subject=self._subject, since=failing_since or now, alerted_at=now)
            yield outage, await self._event("channel.stopped", outage, error)
            self._stored, self._alert_now = outage, False

    @asynccontextmanager
    async def overflowing(self, reason: str) -> AsyncIterator[tuple[Outage, Event]]:
        """Yield the outage of a channel whose backlog overflows, with its `channel.failing` event,
        for the caller to store. No other event announces this outage then.
        """
        async with self._lock:
            now = self._context.wall()
            stored = await self._context.store.outage(self._subject)
            outage = stored or Outage(subject=self._subject, since=now)
            outage = replace(outage, alerted_at=now)
            yield outage, await self._event("channel.failing", outage, None, reason)
            self._context.metrics.event_stored("channel.failing")
            self._stored, self._alert_now = outage, False

    @property
    def _announced(self) -> bool:
        return self._stored is not None and self._stored.alerted_at is not None

    async def _store(self, step: OutageStep, error: DeliveryError | None) -> None:
        closed = step.action is OutageAction.CLOSE
        kind = "channel.recovered" if closed else "channel.failing"
        event = await self._event(kind, step.outage, error) if step.send_event else None
        outage = None if closed else step.outage
        recovered = self._subject if closed else None
        announced = await self._context.store.record_outage(event, outage, recovered=recovered)
        self._stored = outage
        if announced:
            self._context.metrics.event_stored(kind)
        if event is not None:
            self._context.outbox.set()
            if closed:
                name = self._context.name
                logger.info("channel %r recovered", name, extra=about(channel=name))

    async def _event(
        self, kind: str, outage: Outage, error: DeliveryError | None, reason: str | None = None
    ) -> Event:
        name = self._context.name
        depths = await self._context.store.outbox()
        data = ChannelData(
            channel=name,
            reason=reason if error is None else error.reason,
            status=None if error is None else error.status,
            error=None if error is None else str(error),
            since=rfc3339(outage.since),
            pending=next((depth.pending for depth in depths if depth.channel == name), 0),
        )
        at = self._context.wall()
        return self._context.system_event(kind, at=at, data=data, subject=self._subject)
