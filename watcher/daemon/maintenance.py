"""Removes records older than the retention, and earlier if the store comes close to its limit."""

import logging
from collections.abc import Callable
from typing import Protocol

import anyio

from watcher.core.clock import Clock
from watcher.core.errors import StoreError
from watcher.core.interfaces.store import Maintenance, Watchlist
from watcher.core.tasks import TaskKey

logger = logging.getLogger(__name__)

PRUNE_INTERVAL = 600.0
"""Seconds between two removals of records older than the retention."""
SIZE_CHECK_INTERVAL = 30.0
"""Seconds between two checks of the store's size."""
FULL_SHARE = 0.8
"""Share of the limit above which ended records are removed early."""

_MIN_RETENTION = 60.0  # seconds


class PrunedStore(Maintenance, Watchlist, Protocol):
    """The part of the store that maintenance uses."""


async def maintain(
    store: PrunedStore, retention: float, forget: Callable[[TaskKey], None], wall: Clock
) -> None:
    """Prune until cancelled; call `forget` for each lost task whose watch was removed."""
    pruned_at = -PRUNE_INTERVAL
    while True:
        try:
            if anyio.current_time() - pruned_at >= PRUNE_INTERVAL:
                pruned_at = anyio.current_time()
                before = wall() - retention
                await store.prune(before)
                for key in await store.prune_lost(before):
                    forget(key)
            await _make_room(store, retention, wall)
        except StoreError as error:
            logger.error("%s; records older than the retention are kept for now", error)
        await anyio.sleep(SIZE_CHECK_INTERVAL)


async def _make_room(store: Maintenance, retention: float, wall: Clock) -> None:
    """Halve the retention until the store has room again; then do so for failed deliveries too."""
    removed = 0
    for failed_too in (False, True):
        kept_for = retention
        while (await store.size()).used_share > FULL_SHARE and kept_for > _MIN_RETENTION:
            kept_for = max(kept_for / 2, _MIN_RETENTION)
            removed += await store.prune(wall() - kept_for, failed_too=failed_too)
    if removed:
        logger.warning(
            "the store is close to store.max_size: %d ended records were removed early; "
            "raise store.max_size, or shorten store.retention",
            removed,
        )
