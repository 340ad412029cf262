"""Retention, size and readiness of the SQLite store."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import aiosqlite

from watcher.core.events import bounded_name
from watcher.core.interfaces.maintenance import StoreSize
from watcher.stores._removal import until_freed
from watcher.stores.sqlite import maintenance_queries as queries
from watcher.stores.sqlite import rows
from watcher.stores.sqlite.database import StorePart

_BATCH = 1000
_FILLED = 200
_VACUUM_PAGES = 1000
_VACUUM_STEPS = 16
_MIN_PROBE = 64 * 1024
_PRUNED = (
    queries.PRUNE_DELIVERED,
    queries.PRUNE_DONE,
    queries.PRUNE_EVENTS,
    queries.PRUNE_OPERATIONS,
    queries.PRUNE_NOTES,
)
"""In this order: events are pruned after the deliveries and watches that need them."""


class SqliteMaintenance(StorePart):
    """Implements `watcher.core.interfaces.maintenance.Maintenance`."""

    async def prune(self, before: float) -> int:
        pruned = 0
        for query in _PRUNED:
            delete = partial(_delete_batch, query=query, before=before)
            while count := await self._database.write_reserved(delete):
                pruned += count
        await self._vacuum()
        return pruned

    async def remove_failed(self, channel: str, size: int) -> int:
        removed = freed = 0
        while freed < size and (
            found := await self._database.read(queries.OLDEST_FAILED, channel, _BATCH)
        ):
            batch = until_freed(size - freed, found)
            await self._database.write_reserved(
                partial(_delete_failed, ids=[row[0] for row in batch])
            )
            removed += len(batch)
            freed += sum(row[1] for row in batch)
        return removed

    async def remove_ended(self, size: int) -> int:
        removed = freed = last_id = 0
        while freed < size and (
            found := await self._database.read(queries.OLDEST_ENDED, last_id, _BATCH)
        ):
            batch = until_freed(size - freed, found)
            last_id = batch[-1][0]
            removed += await self._database.write_reserved(
                partial(_delete_ended, ids=[row[0] for row in batch])
            )
            freed += sum(row[1] for row in batch)
        return removed

    async def fill_in(self) -> bool:
        found = await self._database.read(queries.WITHOUT_BATCH, _FILLED)
        if not found:
            return False
        batches = [(row[0], bounded_name(row[1])) for row in found if row[1] is not None]
        await self._database.try_write(partial(_fill_in, batches=batches, below=found[-1][0]))
        return True

    async def size(self) -> StoreSize:
        await self._database.follow_volume()
        ((used, limit),) = await self._database.read(queries.SIZE)
        log, log_limit = self._database.log_size()
        free = self._database.free_space()
        return StoreSize(used=used, limit=limit, log=log, log_limit=log_limit, free=free)

    async def make_room_with(self, make_room: Callable[[int], Awaitable[None]] | None) -> None:
        self._database.make_room = make_room

    async def check_files(self) -> None:
        self._database.check_files()

    async def ping(self) -> None:
        self._database.check_files()
        now, wanted = self._wall(), self._database.wanted

        async def fill(connection: aiosqlite.Connection) -> None:
            await connection.execute(queries.PROBE_ROOM, (wanted,))

        async def write(connection: aiosqlite.Connection) -> None:
            await connection.execute("SAVEPOINT probe")
            await connection.execute(queries.PROBE_ROOM, (_MIN_PROBE,))
            await connection.execute("ROLLBACK TO probe")
            await connection.execute("RELEASE probe")
            await connection.execute(queries.PROBE, (now,))

        if wanted:  # to the disk: what is rolled back shows only what `max_size` allows
            await self._database.try_write(fill)
        await self._database.try_write(write)
        if self._database.wanted == wanted:
            self._database.wanted = 0

    async def _vacuum(self) -> None:
        """Return free pages to the file system, in steps."""
        for _ in range(_VACUUM_STEPS):
            ((free,),) = await self._database.read("PRAGMA freelist_count")
            if free == 0:
                return
            await self._database.write_reserved(_shrink)


async def _delete_batch(connection: aiosqlite.Connection, *, query: str, before: float) -> int:
    return (await connection.execute(query, (before, _BATCH))).rowcount


async def _delete_failed(connection: aiosqlite.Connection, *, ids: Sequence[int]) -> None:
    deleted = await connection.execute_fetchall(queries.DELETE_FAILED, (rows.as_json(ids),))
    events = rows.as_json([row[0] for row in deleted])
    await connection.execute(queries.DELETE_EVENTS, (events,))


async def _delete_ended(connection: aiosqlite.Connection, *, ids: Sequence[int]) -> int:
    """Delete these events, unless one was queued again meanwhile."""
    events = rows.as_json(ids)
    await connection.execute(queries.DELETE_DELIVERED, (events,))
    return (await connection.execute(queries.DELETE_EVENTS, (events,))).rowcount


async def _fill_in(
    connection: aiosqlite.Connection, *, batches: Sequence[tuple[int, str | None]], below: int
) -> None:
    await connection.execute(queries.FILL_IN_BATCHES, (rows.as_json(batches),))
    await connection.execute(queries.FILLED_IN_BELOW, (below,))


async def _shrink(connection: aiosqlite.Connection) -> None:
    await connection.execute_fetchall(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
