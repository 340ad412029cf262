"""Stores the results of attempts in batches. A result is kept until it is stored."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence

import anyio

from watcher.core.clock import monotonic
from watcher.core.deliveries import AttemptResult
from watcher.core.errors import StoreError
from watcher.core.interfaces.store import Outbox
from watcher.core.log_fields import about
from watcher.core.wakeup import Wakeup

logger = logging.getLogger(__name__)

SHARED_WITHIN = 0.01
"""Seconds from one settlement to the next: what ends meanwhile shares a transaction. After a pause
a result is stored at once.
"""
RETRY_AFTER = 1.0
"""Seconds until a failed store operation is repeated."""


class Settler:
    """`settled` receives the IDs of deliveries whose results are stored. `enough` results are
    stored at once, because so many senders would soon have nothing to send.
    """

    def __init__(
        self,
        channel: str,
        store: Outbox,
        settled: Callable[[Iterable[int]], None],
        enough: int,
    ) -> None:
        self._channel = channel
        self._store = store
        self._settled = settled
        self._enough = enough
        self._results: list[AttemptResult] = []
        self._added = Wakeup()
        self._shared_until = 0.0
        self._store_works = True

    def add(self, results: Sequence[AttemptResult]) -> None:
        first = not self._results
        self._results += results
        if first or len(self._results) >= self._enough:
            self._added.set()

    async def run(self) -> None:
        """Store results as they come, until cancelled."""
        while True:
            generation = self._added.generation
            wait = self._shared_until - monotonic() if self._results else math.inf
            if wait > 0 and len(self._results) < self._enough:
                with anyio.move_on_after(wait):
                    await self._added.wait(generation)
            else:
                self._shared_until = monotonic() + SHARED_WITHIN
                await self._settle_batch()

    async def settle_last(self) -> None:
        """Store the remaining results when the dispatcher ends; log if that fails."""
        if not self._results:
            return
        try:
            await self._store.settle(self._results)
        except StoreError as error:
            logger.error(
                "%s; %d deliveries will be repeated after the next start",
                error,
                len(self._results),
                extra=about(channel=self._channel),
            )

    def store_failed(self, error: StoreError) -> None:
        """Log a failure of the store, once until it works again."""
        if self._store_works:
            logger.error(
                "channel %r: %s; will retry",
                self._channel,
                error,
                extra=about(channel=self._channel),
            )
        self._store_works = False

    async def _settle_batch(self) -> None:
        batch = list(self._results)
        try:
            await self._store.settle(batch)
        except StoreError as error:
            # The results are kept and their deliveries stay claimed, so that none is sent again.
            self.store_failed(error)
            await anyio.sleep(RETRY_AFTER)
            return
        del self._results[: len(batch)]
        self._store_works = True
        self._settled(result.delivery_id for result in batch)
