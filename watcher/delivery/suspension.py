"""A suspended channel: paused by an operator, stopped by its receiver (410), or off.

A suspension is stored, so it survives a restart. A stop and its event are one transaction.
"""

import logging

from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.events import Event
from watcher.core.log_fields import about
from watcher.core.outage import Outage
from watcher.delivery.context import DeliveryContext

logger = logging.getLogger(__name__)


class ChannelSuspension:
    """The suspension of one channel, if there is one. Methods that store may raise `StoreError`."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context
        self._suspension: Suspension | None = None
        self._changes = 0

    @property
    def current(self) -> Suspension | None:
        return self._suspension

    async def load(self) -> None:
        """Read the stored suspension; a pause that is stored during the read stays."""
        changes = self._changes
        suspensions = {stored.channel: stored for stored in await self._context.store.suspensions()}
        if changes == self._changes:
            self._set(suspensions.get(self._context.name))

    async def pause(self, reason: str) -> None:
        """Send nothing until `lift`, even after a restart."""
        suspension = self._new(SuspensionKind.PAUSED, reason)
        await self._context.store.suspend(suspension, None, None)
        self._set(suspension)
        name = self._context.name
        logger.info("channel %r paused: %s", name, reason, extra=about(channel=name))

    async def stop(self, kind: SuspensionKind, reason: str, outage: Outage, event: Event) -> None:
        """Store the suspension with its outage and its `channel.stopped` event."""
        suspension = self._new(kind, reason)
        if await self._context.store.suspend(suspension, event, outage):
            self._context.metrics.event_stored(event.type)
        self._set(suspension)
        name = self._context.name
        logger.error("channel %r is %s: %s", name, kind, reason, extra=about(channel=name))

    async def lift(self) -> None:
        await self._context.store.lift_suspension(self._context.name)
        if self._suspension is not None:
            name = self._context.name
            logger.info("channel %r resumed", name, extra=about(channel=name))
        self._set(None)

    def _new(self, kind: SuspensionKind, reason: str) -> Suspension:
        now = self._context.wall()
        return Suspension(channel=self._context.name, kind=kind, reason=reason, since=now)

    def _set(self, suspension: Suspension | None) -> None:
        self._suspension = suspension
        self._changes += 1
        self._context.metrics.held(None if suspension is None else suspension.kind)
