"""Removes what is older than the retention, and sooner where the store would grow beyond its size."""

import logging
from collections.abc import Callable

import anyio

from watcher.core.clock import Clock
from watcher.core.errors import StoreError
from watcher.core.interfaces.store import Store
from watcher.core.tasks import TaskKey

logger = logging.getLogger(__name__)

RETIRE_EVERY = 600.0
"""Seconds between two rounds of removing what is older than the retention."""
LOOKED_AT_EVERY = 30.0
"""Seconds between two looks at how full the store is."""
FULL = 0.8
"""The share of its size beyond which what has ended goes before its time."""

_SHORTEST = 60.0


async def keep_up(
    store: Store, retention: float, forget: Callable[[TaskKey], None], wall: Clock
) -> None:
    """Do so until cancelled; `forget` is called for each lost task that is not watched any more."""
    retired_at = -RETIRE_EVERY
    while True:
        try:
            if anyio.current_time() - retired_at >= RETIRE_EVERY:
                retired_at = anyio.current_time()
                before = wall() - retention
                await store.prune(before)
                for key in await store.prune_lost(before):
                    forget(key)
            await _make_room(store, retention, wall)
        except StoreError as error:
            logger.error("%s; what is older than the retention stays for now", error)
        await anyio.sleep(LOOKED_AT_EVERY)


async def _make_room(store: Store, retention: float, wall: Clock) -> None:
    """Shorten the retention by halves until the store has room again; after that, failed deliveries go likewise."""
    gone = 0
    for failed_too in (False, True):
        kept_for = retention
        while (await store.size()).used_share > FULL and kept_for > _SHORTEST:
            kept_for = max(kept_for / 2, _SHORTEST)
            gone += await store.prune(wall() - kept_for, failed_too=failed_too)
    if gone:
        what = f"{gone} records of what has ended went before their time"
        logger.warning(
            "the store has come close to store.max_size: %s; give it more, or shorten store.retention",
            what,
        )
