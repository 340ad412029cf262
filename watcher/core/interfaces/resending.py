"""What a store promises about sending again by hand: in bulk, by today's routes, and counted first.

A count is what the operation with the same arguments would return now.
"""

from collections.abc import Sequence
from typing import Protocol

from watcher.core.deliveries import DeliveryState
from watcher.core.events import EventFilter, StoredEvent


class Resending(Protocol):
    """Bulk operations of the outbox, and their counts."""

    async def retry_failed(self, channel: str, error: str | None, now: float) -> int:
        """Queue the failed deliveries of a channel again, in order, with their whole schedule;
        return how many.

        `error` selects those whose last error contains it, regardless of case; None selects all.
        """
        ...

    async def count_failed(self, channel: str, error: str | None) -> int:
        """Count for `retry_failed`."""
        ...

    async def count_purged(self, channel: str, state: DeliveryState, before: float) -> int:
        """Count for `Outbox.purge`."""
        ...

    async def count_replayed(self, channel: str, selected: EventFilter, now: float) -> int:
        """Count for `Outbox.replay`."""
        ...

    async def not_routed(
        self, channel: str, selected: EventFilter, now: float, after: int, limit: int
    ) -> Sequence[StoredEvent]:
        """Return selected events that were not routed to `channel`, with a number greater than
        `after`, in ascending order.
        """
        ...

    async def queue_new(self, channel: str, event_ids: Sequence[str], now: float) -> int:
        """Route stored events to `channel` as well, and queue a delivery of each; return how many.

        Events that were routed to it before are left as they are.
        """
        ...
