"""Claims pending deliveries of a channel: which may be attempted now, and which as a probe."""

import math
from dataclasses import replace

from watcher.core.clock import monotonic
from watcher.core.deliveries import DueDelivery
from watcher.core.event_forms import summary
from watcher.delivery.claimed_queue import ClaimedQueue
from watcher.delivery.context import DeliveryContext

PROBE_INTERVAL = 45.0
"""Seconds without any attempt after which a pending delivery is attempted early, as a probe."""
_PROBE_CANDIDATES = 16


class Claims:
    """Reads the outbox and adds what may be attempted to `queue`. Methods may raise `StoreError`.

    A delivery that is settled during a read may be read in its earlier state. Those that were
    claimed when the read began are therefore left out.
    """

    def __init__(self, context: DeliveryContext, queue: ClaimedQueue) -> None:
        self._context = context
        self._queue = queue
        self.attempted_at = monotonic()
        """Monotonic time at which the last attempt or the last search for a probe began."""

    def attempt_begins(self) -> None:
        self.attempted_at = monotonic()

    @property
    def probe_due(self) -> bool:
        """Whether the last attempt is long enough ago for a probe."""
        return monotonic() - self.attempted_at >= PROBE_INTERVAL

    async def due(self, room: int, now: float) -> bool:
        """Claim up to `room` due deliveries; return whether there were any."""
        claimed = self._queue.ids()
        due = await self._context.store.due(self._context.name, now, room + len(claimed))
        return await self._add([delivery for delivery in due if delivery.id not in claimed][:room])

    async def never_attempted(self, room: int) -> bool:
        """Claim up to `room` deliveries without an attempt, due or not; return whether there were
        any.
        """
        claimed = self._queue.ids()
        pending = await self._pending(room + len(claimed))
        fresh = [
            delivery for delivery in pending if not delivery.attempts and delivery.id not in claimed
        ]
        return await self._add(fresh[:room])

    async def probe(self) -> bool:
        """Claim one delivery before it is due, but not before its `Retry-After`; return whether
        there was one.
        """
        self.attempt_begins()
        now, claimed = self._context.wall(), self._queue.ids()
        candidates = [
            delivery
            for delivery in await self._pending(len(claimed) + _PROBE_CANDIDATES)
            if delivery.id not in claimed and _may_be_attempted(delivery, now)
        ]
        return await self._add(candidates[:1])

    async def seconds_until_next(self, claimed_at: float, alert_due_at: float | None) -> float:
        """Return the seconds until a delivery or an alert is due; infinity without either."""
        next_due_at = await self._context.store.next_due_at(self._context.name, claimed_at)
        moments = [moment for moment in (next_due_at, alert_due_at) if moment is not None]
        return max(min(moments, default=math.inf) - self._context.wall(), 0.0)

    async def _pending(self, limit: int) -> list[DueDelivery]:
        return list(await self._context.store.due_for_probe(self._context.name, limit))

    async def _add(self, deliveries: list[DueDelivery]) -> bool:
        if self._queue.combines:
            deliveries = [await self._summarized(delivery) for delivery in deliveries]
        self._queue.add(deliveries)
        return bool(deliveries)

    async def _summarized(self, delivery: DueDelivery) -> DueDelivery:
        """Return a delivery by which it can be decided what to combine."""
        if not delivery.is_large:
            return delivery
        body = await self._context.store.body(delivery.id)
        return delivery if body is None else replace(delivery, body=summary(body))


def _may_be_attempted(delivery: DueDelivery, now: float) -> bool:
    """Return whether its `Retry-After` is over, or void because the clock was set back."""
    attempted_at, not_before = delivery.last_attempt_at, delivery.not_before
    return not_before is None or not_before <= now or (attempted_at or 0.0) > now
