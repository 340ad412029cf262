"""Which pending deliveries of a channel may be claimed now."""

from collections.abc import Callable

from watcher.core.deliveries import DueDelivery
from watcher.core.interfaces.store import Outbox


class Claims:
    """Reads from the outbox what is not claimed yet. `claimed` returns the IDs of all claims.

    A delivery that is settled during a read may be read as it was before, so those that were
    claimed when the read began are left out.
    """

    def __init__(self, channel: str, store: Outbox, claimed: Callable[[], frozenset[int]]) -> None:
        self._channel = channel
        self._store = store
        self._claimed = claimed

    async def due(self, room: int, now: float) -> list[DueDelivery]:
        """Return up to `room` deliveries that are due."""
        claimed = self._claimed()
        due = await self._store.due(self._channel, now, room + len(claimed))
        return [delivery for delivery in due if delivery.id not in claimed][:room]

    async def never_attempted(self, room: int) -> list[DueDelivery]:
        """Return up to `room` deliveries that were never attempted, due or not."""
        claimed = self._claimed()
        pending = await self._store.due_for_probe(self._channel, room + len(claimed))
        return [
            delivery for delivery in pending if not delivery.attempts and delivery.id not in claimed
        ][:room]

    async def probe(self, now: float) -> list[DueDelivery]:
        """Return the delivery to attempt before it is due, if any; not before its `Retry-After`."""
        claimed = self._claimed()
        pending = await self._store.due_for_probe(self._channel, len(claimed) + 16)
        return [
            delivery
            for delivery in pending
            if delivery.id not in claimed
            and (delivery.not_before is None or delivery.not_before <= now)
        ][:1]
