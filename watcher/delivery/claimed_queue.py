"""Deliveries claimed from the outbox that wait for a sender: digests are formed here, and the rate
kept.

A claim is in memory only: the lock on the store makes it this process's, so a claim needs no lease.
After `kill -9` whatever was in flight is due again.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import anyio

from watcher.core.deliveries import DueDelivery, Message
from watcher.core.interfaces.channel import Digesting

CLAIMED_PER_SENDER = 8
"""Deliveries claimed ahead for each sender, so that none waits for the store."""
CLOCK_SKEW_MARGIN = 1.05
"""The receiver's clock, ours, and the network differ a little, so a rate is kept with this
margin.
"""


class ClaimedQueue:
    """`rate` is in messages per second; None means no limit. `digesting` is the channel if it sends
    digests.
    """

    def __init__(self, *, senders: int, rate: float | None, digesting: Digesting | None) -> None:
        self._rate = rate
        self._digesting = digesting
        self._claimed: set[int] = set()
        self._sent_singly: set[int] = set()
        self._queue: deque[DueDelivery] = deque()
        self._available = anyio.Semaphore(0)
        self._rate_limit_lock = anyio.Lock()
        self._free_at = 0.0
        self.limit = senders * CLAIMED_PER_SENDER
        """Deliveries that may be claimed at once."""
        if digesting is not None:
            self.limit = max(self.limit, 2 * digesting.digest_most)

    def __len__(self) -> int:
        """Return the number of claimed deliveries, waiting and in flight."""
        return len(self._claimed)

    def ids(self) -> frozenset[int]:
        return frozenset(self._claimed)

    def add(self, deliveries: Sequence[DueDelivery]) -> None:
        """Claim deliveries."""
        for delivery in deliveries:
            self._claimed.add(delivery.id)
            self._queue.append(delivery)
            self._available.release()

    def release(self, ids: Iterable[int]) -> None:
        """Give claims up: the deliveries are settled, or must not be sent now."""
        self._claimed.difference_update(ids)

    def send_singly(self, deliveries: Sequence[DueDelivery]) -> None:
        """Keep deliveries out of digests until they are delivered."""
        self._sent_singly.update(delivery.id for delivery in deliveries)

    def delivered(self, deliveries: Sequence[DueDelivery]) -> None:
        self._sent_singly.difference_update(delivery.id for delivery in deliveries)

    async def take(self) -> list[DueDelivery]:
        """Wait for a delivery and for the rate; return it, or several that make one digest."""
        if self._rate is None:
            await self._available.acquire()
            return self._next_batch()
        # A sender that waits for the rate takes nothing that another could add to its digest.
        async with self._rate_limit_lock:
            await self._available.acquire()
            begin = max(anyio.current_time(), self._free_at)
            self._free_at = begin + CLOCK_SKEW_MARGIN / self._rate
            await anyio.sleep_until(begin)
            return self._next_batch()

    def _next_batch(self) -> list[DueDelivery]:
        if self._digesting is None or self._queue[0].id in self._sent_singly:
            return [self._queue.popleft()]
        candidates = [delivery for delivery in self._queue if delivery.id not in self._sent_singly]
        positions = self._digesting.choose([message_of(delivery) for delivery in candidates])
        chosen = [candidates[position] for position in positions]
        batch = chosen[:1]
        for delivery in chosen[1:]:
            try:
                self._available.acquire_nowait()
            except anyio.WouldBlock:
                break  # the rest belongs to senders that wait already
            batch.append(delivery)
        ids = {delivery.id for delivery in batch}
        self._queue = deque(delivery for delivery in self._queue if delivery.id not in ids)
        return batch


def message_of(delivery: DueDelivery) -> Message:
    return Message(
        event_id=delivery.event_id,
        type=delivery.type,
        body=delivery.body,
        watched_for=delivery.watched_for,
    )
