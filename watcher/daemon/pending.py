"""What the log says about pending deliveries after a reload and at the end."""

import logging
from collections.abc import Container, Sequence

from watcher.core.deliveries import OutboxDepth
from watcher.core.errors import StoreError
from watcher.core.interfaces.store import Outbox
from watcher.core.log_fields import about

logger = logging.getLogger(__name__)


async def warn_of_orphans(outbox: Outbox, channels: Container[str]) -> None:
    """Warn of pending deliveries to channels that are not configured."""
    for depth in await _depths(outbox):
        if depth.pending and depth.channel not in channels:
            logger.warning(
                "%d pending deliveries kept until channel %r is configured again",
                depth.pending,
                depth.channel,
                extra=about(channel=depth.channel),
            )


async def log_pending(outbox: Outbox) -> None:
    """Log what remains when the daemon stops."""
    for depth in await _depths(outbox):
        if depth.pending:
            logger.info(
                "%d deliveries to %r are pending and will be sent later",
                depth.pending,
                depth.channel,
                extra=about(channel=depth.channel),
            )


async def _depths(outbox: Outbox) -> Sequence[OutboxDepth]:
    try:
        return await outbox.outbox()
    except StoreError:  # logged already by the last writer
        return ()
