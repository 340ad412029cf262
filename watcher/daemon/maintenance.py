"""Removes records older than the retention, and keeps room in the store."""

import logging
from collections.abc import Callable
from typing import Protocol

import anyio

from watcher.core.clock import Clock
from watcher.core.errors import StoreError
from watcher.core.interfaces.maintenance import Maintenance
from watcher.core.interfaces.store import Watchlist
from watcher.core.tasks import TaskKey
from watcher.daemon.store_room import StoreRoom

logger = logging.getLogger(__name__)

PRUNE_INTERVAL = 600.0
"""Seconds between two removals of records older than the retention."""
FILL_IN_PAUSE = 0.05
"""Seconds between two steps of filling in what an earlier version has not stored."""
FILL_IN_AGAIN_AFTER = 60.0
"""Seconds after which filling in is tried again where the store failed."""
SIZE_CHECK_INTERVAL = 30.0
"""Seconds between two checks of the store's size. A write that finds no room does not wait."""


class PrunedStore(Maintenance, Watchlist, Protocol):
    """The part of the store that maintenance uses."""


async def fill_in(store: Maintenance) -> None:
    """Fill in what records of an earlier version lack; return when nothing is left."""
    while True:
        try:
            if not await store.fill_in():
                return
        except StoreError as error:
            logger.warning("%s; watches of an earlier version get their batches later", error)
            await anyio.sleep(FILL_IN_AGAIN_AFTER)
        await anyio.sleep(FILL_IN_PAUSE)


async def maintain(
    store: PrunedStore,
    room: StoreRoom,
    retention: float,
    forget: Callable[[TaskKey], None],
    wall: Clock,
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
            await room.keep()
        except StoreError as error:
            logger.error("%s; records older than the retention are kept for now", error)
        await anyio.sleep(SIZE_CHECK_INTERVAL)
