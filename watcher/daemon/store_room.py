"""Makes room in the store, so that the backlog of one channel takes no space that others need.

Each channel has a share of `store.max_size`; beyond it, its oldest deliveries end as failed. Above
`FULL_SHARE` records are removed, those first that matter least. Active watches are never removed.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import anyio

from watcher.core.clock import Clock
from watcher.core.deliveries import OutboxDepth
from watcher.core.errors import StoreError
from watcher.core.fair_share import fair_level
from watcher.core.interfaces.maintenance import Maintenance
from watcher.core.interfaces.store import Outbox
from watcher.core.log_fields import about
from watcher.delivery.overflow import ChannelOverflow, overflow_reason
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

FULL_SHARE = 0.8
"""Share of the limit above which records are removed."""
BACKLOG_SHARE = 0.5
"""Share of the limit that the pending deliveries of all channels may take together."""
MIN_BACKLOG_SHARE = 0.1
"""Share of the limit that they keep, even if the watchlist needs the rest."""

_MIN_RETENTION = 60.0  # seconds
_OVERHEAD = 1.1
"""What a large event takes in the store for each of its bytes, at most."""
_PAUSE = 0.2
"""Seconds between attempts to make room that find nothing to remove; more if they take long."""


class RoomyStore(Maintenance, Outbox, Protocol):
    """The part of the store that is used here."""


class StoreRoom:
    """`overflows` returns those of configured channels; `overflowed` counts the deliveries of any
    other channel that failed.
    """

    def __init__(
        self,
        store: RoomyStore,
        *,
        retention: float,
        overflows: Callable[[], Mapping[str, ChannelOverflow]],
        overflowed: Callable[[str, int], None],
        wall: Clock,
    ) -> None:
        self._store = store
        self._retention = retention
        self._overflows = overflows
        self._overflowed = overflowed
        self._wall = wall
        self._log_throttle = LogThrottle(anyio.current_time)
        self._lock = anyio.Lock()
        self._next_try_at = -math.inf
        self._needed = 0

    async def make(self, needed: int = 0) -> None:
        """Make room for `needed` bytes after a write has found none. Logs if the store fails."""
        if anyio.current_time() < self._next_try_at:
            return
        began = anyio.current_time()
        try:
            if not await self._make(needed):
                took = anyio.current_time() - began
                self._next_try_at = began + max(_PAUSE, 10 * took)
        except StoreError as error:
            if self._log_throttle.ready("make"):
                logger.error("%s; no room could be made", error)

    async def keep(self) -> None:
        """Apply the shares, and make room if the store is close to its limit."""
        await self._make()
        if any(overflow.since is not None for overflow in self._overflows().values()):
            # An ordinary write, which may itself wait for `make`.
            await self._end_overflows()

    async def _make(self, needed: int = 0) -> int:
        """Return how many deliveries failed and how many records were removed."""
        async with self._lock:
            size = await self._store.size()
            if size.limit is None:
                return 0
            # Up to half of the store: a larger write is divided by its caller.
            self._needed = min(int(needed * _OVERHEAD), size.limit // 2)
            failed = await self._apply_shares(int(size.limit * BACKLOG_SHARE))
            return failed + (await self._remove() if await self._excess() > 0 else 0)

    async def _remove(self) -> int:
        removed = 0
        for step in (
            self._remove_failed_beyond_shares,
            self._remove_old,
            self._remove_failed,
            self._remove_ended,
            self._shrink_backlogs,
        ):
            removed += await step()
        if removed and self._log_throttle.ready("removed"):
            logger.warning(
                "the store is close to store.max_size: %d ended records were removed early; "
                "raise store.max_size, or shorten store.retention",
                removed,
            )
        return removed

    # Shares

    async def _apply_shares(self, budget: int) -> int:
        """Fail the oldest deliveries of backlogs above their share of `budget`; return how many."""
        depths = await self._store.outbox()
        share = fair_level([depth.pending_bytes for depth in depths], budget)
        failed = 0
        for depth in depths:
            if (excess := depth.pending_bytes - share) > 0:
                failed += await self._fail_oldest(depth.channel, excess, share)
        return failed

    async def _fail_oldest(self, channel: str, excess: int, share: int) -> int:
        if (overflow := self._overflows().get(channel)) is not None:
            return await overflow.fail_oldest(excess, share)
        if (oldest := await self._store.oldest_pending(channel, excess, math.inf)) is None:
            return 0
        reason = overflow_reason(oldest, share)
        failed = await self._store.fail_oldest(oldest, reason)
        self._overflowed(channel, failed)
        if self._log_throttle.ready(channel):
            logger.error(
                "channel %r, which is not configured: %s",
                channel,
                reason,
                extra=about(channel=channel),
            )
        return failed

    async def _end_overflows(self) -> None:
        depths = {depth.channel: depth.pending_bytes for depth in await self._store.outbox()}
        share = fair_level(depths.values(), await self._part(BACKLOG_SHARE))
        for channel, overflow in self._overflows().items():
            if depths.get(channel, 0) <= share / 2:
                await overflow.backlog_is_small()

    # Removal, in the order of `_remove`; each returns how many records it removed

    async def _remove_failed_beyond_shares(self) -> int:
        """Remove the oldest failed deliveries of channels that take more than their share."""
        depths = await self._store.outbox()
        sizes = {depth.channel: depth.pending_bytes + depth.failed_bytes for depth in depths}
        share = fair_level(sizes.values(), await self._part(BACKLOG_SHARE))
        return await self._remove_failed_down_to(share, depths)

    async def _remove_old(self) -> int:
        """Halve the retention until there is room."""
        removed, kept_for = 0, self._retention
        while kept_for > _MIN_RETENTION and await self._excess() > 0:
            kept_for = max(kept_for / 2, _MIN_RETENTION)
            removed += await self._store.prune(self._wall() - kept_for)
        return removed

    async def _remove_failed(self) -> int:
        return await self._remove_failed_down_to(0, await self._store.outbox())

    async def _remove_ended(self) -> int:
        """Remove the oldest events that were delivered to all channels, however young."""
        excess = await self._excess()
        return await self._store.remove_ended(excess) if excess > 0 else 0

    async def _shrink_backlogs(self) -> int:
        """Reduce the shares: what is left over are active watches and pending deliveries."""
        removed, least = 0, await self._part(MIN_BACKLOG_SHARE)
        self._needed = 0  # no delivery fails for the size of one write
        while (excess := await self._excess()) > 0:
            pending = sum(depth.pending_bytes for depth in await self._store.outbox())
            if not await self._apply_shares(max(pending - excess, least)):
                break
            removed += await self._remove_failed()
        return removed

    async def _remove_failed_down_to(self, share: int, depths: Sequence[OutboxDepth]) -> int:
        """Remove failed deliveries of channels that take more than `share`, largest first, while
        the store is close to its limit.
        """
        removed = 0
        for depth in sorted(depths, key=lambda depth: -depth.failed_bytes):
            size = min(depth.failed_bytes, depth.pending_bytes + depth.failed_bytes - share)
            if size > 0 and (excess := await self._excess()) > 0:
                removed += await self._store.remove_failed(depth.channel, min(size, excess))
        return removed

    async def _part(self, share: float) -> int:
        return int(((await self._store.size()).limit or 0) * share)

    async def _excess(self) -> int:
        """Return the bytes above `FULL_SHARE`, or above what leaves room for what is needed."""
        size = await self._store.size()
        limit = size.limit or 0
        return size.used - min(int(limit * FULL_SHARE), limit - self._needed)
