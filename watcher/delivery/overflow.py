"""A backlog that exceeds its channel's share of the store: its oldest deliveries end as failed."""

import logging
import math
from collections.abc import Callable

from watcher.core.clock import rfc3339
from watcher.core.deliveries import OldestPending
from watcher.core.log_fields import about
from watcher.core.outage import Outage
from watcher.delivery.context import DeliveryContext
from watcher.delivery.outage import ChannelOutage

logger = logging.getLogger(__name__)

GRACE = 60.0
"""Seconds that a delivery to a channel that works may wait, whatever space it takes."""


def overflow_reason(oldest: OldestPending, share: int) -> str:
    """Return what is stored, sent and logged about deliveries that fail for want of space."""
    return (
        f"backlog exceeds its share of the store ({share / 2**20:.1f} MiB): {oldest.count} oldest "
        f"deliveries failed, from {rfc3339(oldest.first_at)} to {rfc3339(oldest.last_at)}"
    )


class ChannelOverflow:
    """Announces an overflow once, until the backlog is small and the channel works; a restart
    changes nothing.

    `works` says whether the channel neither fails nor is suspended. `since` is when the overflow
    began, None without one.
    Methods may raise `StoreError` and then have changed nothing.
    """

    def __init__(
        self, context: DeliveryContext, outage: ChannelOutage, works: Callable[[], bool]
    ) -> None:
        self._context = context
        self._outage = outage
        self._works = works
        self._subject = f"backlog {context.name}"
        self.since: float | None = None

    async def load(self) -> None:
        """Read the overflow that was stored before a restart."""
        if self.since is None and (stored := await self._context.store.outage(self._subject)):
            self.since = stored.since

    async def fail_oldest(self, size: int, share: int) -> int:
        """End the oldest deliveries as failed that take `size` bytes, because the backlog exceeds
        its `share`; return how many.

        If the channel works, those younger than `GRACE` stay: a burst is not a backlog. None fail
        while a change of the outage is being stored: it may wait for the very room that this makes.
        """
        store, name = self._context.store, self._context.name
        before = self._context.wall() - GRACE if self._works() else math.inf
        oldest = await store.oldest_pending(name, size, before)
        if oldest is None:
            return 0
        await self.load()
        reason = overflow_reason(oldest, share)
        if self.since is not None:
            failed = await store.fail_oldest(oldest, reason)
            logger.info("channel %r: %s", name, reason, extra=about(channel=name))
        elif self._outage.changing:
            return 0
        else:
            failed = await self._announce(oldest, reason)
        self._context.metrics.overflowed(failed)
        return failed

    async def _announce(self, oldest: OldestPending, reason: str) -> int:
        now = self._context.wall()
        overflow = Outage(subject=self._subject, since=now, alerted_at=now)
        async with self._outage.overflowing(reason) as (outage, event):
            failed = await self._context.store.fail_oldest(
                oldest, reason, event, (overflow, outage)
            )
            self.since = now
        self._context.outbox.set()
        name = self._context.name
        logger.error("channel %r: %s", name, reason, extra=about(channel=name))
        return failed

    async def backlog_is_small(self) -> None:
        """Note that the backlog is far below its share: an overflow ends if the channel works."""
        if self.since is None or not self._works():
            return
        await self._context.store.record_outage(None, None, recovered=self._subject)
        self.since = None
        self._context.outbox.set()
        logger.info(
            "channel %r: its backlog is within its share again",
            self._context.name,
            extra=about(channel=self._context.name),
        )
