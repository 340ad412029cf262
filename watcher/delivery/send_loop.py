"""The loop of one sender: takes what is claimed, and hands the results to the settler."""

from collections.abc import Callable, Iterable

import anyio

from watcher.core.deliveries import DueDelivery
from watcher.core.errors import StoreError
from watcher.delivery.claimed_queue import ClaimedQueue
from watcher.delivery.claims import Claims
from watcher.delivery.sender import Sender
from watcher.delivery.settler import RETRY_AFTER, Settler


class SendLoop:
    """`may_send` says whether a claimed delivery may still be sent; `release` gives claims up."""

    def __init__(
        self,
        *,
        queue: ClaimedQueue,
        claims: Claims,
        sender: Sender,
        settler: Settler,
        may_send: Callable[[DueDelivery], bool],
        release: Callable[[Iterable[int]], None],
    ) -> None:
        self._queue = queue
        self._claims = claims
        self._sender = sender
        self._settler = settler
        self._may_send = may_send
        self._release = release

    async def run(self) -> None:
        """Send until cancelled. After an unexpected error nothing stays claimed."""
        while True:
            batch = await self._queue.take()
            kept: set[int] = set()
            try:
                kept = await self._attempt(
                    [delivery for delivery in batch if self._may_send(delivery)]
                )
            except StoreError as error:
                self._settler.store_failed(error)
                await anyio.sleep(RETRY_AFTER)
            finally:
                if released := [delivery.id for delivery in batch if delivery.id not in kept]:
                    self._release(released)

    async def _attempt(self, sendable: list[DueDelivery]) -> set[int]:
        """Send; return the IDs of the deliveries whose results will be settled."""
        if not sendable:
            return set()
        self._claims.attempt_begins()
        results = await self._sender.attempt(sendable)
        self._settler.add(results)
        return {result.delivery_id for result in results}
