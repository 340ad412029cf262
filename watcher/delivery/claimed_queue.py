"""Deliveries claimed from the outbox that wait for a sender. Forms digests and limits the rate.

A claim is in memory only: the lock on the store excludes other processes, so no lease is needed.
After `kill -9` all deliveries in flight are due again.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import anyio

from watcher.core.deliveries import DueDelivery, Message
from watcher.core.interfaces.channel import Digesting

CLAIMED_PER_SENDER = 16
"""Deliveries claimed ahead for each sender, so that none waits for the store: a page with a hundred
changes is one claim, where there are eight senders.
"""
CLOCK_SKEW_MARGIN = 1.05
"""Factor by which messages are further apart than the rate requires, because the receiver measures
with its own clock behind a network.
"""


class ClaimedQueue:
    """A FIFO queue. `rate` is in messages per second; None means no limit. `digesting` is the
    channel if it combines events in digests.
    """

    def __init__(self, *, senders: int, rate: float | None, digesting: Digesting | None) -> None:
        self._rate = rate
        self._digesting = digesting
        self._claimed: set[int] = set()
        self._sent_singly: set[int] = set()
        self._queue: deque[DueDelivery] = deque()
        self._available = anyio.Semaphore(0, fast_acquire=True)
        self._rate_limit_lock = anyio.Lock()
        self._free_at = 0.0
        self.limit = senders * CLAIMED_PER_SENDER
        """Deliveries that may be claimed at once."""
        if digesting is not None:
            self.limit = max(self.limit, 2 * digesting.digest_most)

    @property
    def combines(self) -> bool:
        """Whether several events may become one message."""
        return self._digesting is not None

    def __len__(self) -> int:
        """Return the number of claims, waiting and in flight."""
        return len(self._claimed)

    def ids(self) -> frozenset[int]:
        return frozenset(self._claimed)

    def add(self, deliveries: Sequence[DueDelivery]) -> None:
        for delivery in deliveries:
            self._claimed.add(delivery.id)
            self._queue.append(delivery)
            self._available.release()

    def release(self, ids: Iterable[int]) -> None:
        """Give up the claims of deliveries that are settled or must not be sent now."""
        self._claimed.difference_update(ids)

    def send_singly(self, deliveries: Sequence[DueDelivery]) -> None:
        """Keep deliveries out of digests until they are delivered."""
        self._sent_singly.update(delivery.id for delivery in deliveries)

    def delivered(self, deliveries: Sequence[DueDelivery]) -> None:
        self._sent_singly.difference_update(delivery.id for delivery in deliveries)

    async def take(self) -> list[DueDelivery]:
        """Wait until a message may be sent; return its delivery, or those of one digest."""
        if self._rate is None:
            await self._available.acquire()
            return self._next_batch()
        # Nothing is taken before the rate allows a message, so that later deliveries join its
        # digest.
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
                break  # the others belong to senders that already wait for one each
            batch.append(delivery)
        ids = {delivery.id for delivery in batch}
        self._queue = deque(delivery for delivery in self._queue if delivery.id not in ids)
        return batch


def message_of(delivery: DueDelivery, body: bytes | None = None) -> Message:
    """Return the message with this body, else with what was claimed of it."""
    return Message(
        event_id=delivery.event_id,
        type=delivery.type,
        body=body or delivery.body or b"",
        watched_for=delivery.watched_for,
        sent_again=bool(delivery.sent_again),
    )
