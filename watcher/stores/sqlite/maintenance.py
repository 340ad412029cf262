"""Retention, size and readiness of the SQLite store."""

import aiosqlite

from watcher.core.interfaces.store import StoreSize
from watcher.stores.sqlite import maintenance_queries as queries
from watcher.stores.sqlite.database import StorePart

_BATCH = 1000
_VACUUM_PAGES = 1000
_PRUNED = (
    queries.PRUNE_DELIVERED,
    queries.PRUNE_DONE,
    queries.PRUNE_EVENTS,
    queries.PRUNE_OPERATIONS,
    queries.PRUNE_NOTES,
)
"""In this order: events are pruned after the deliveries and watches that need them."""


class SqliteMaintenance(StorePart):
    """Implements `watcher.core.interfaces.store.Maintenance`."""

    async def prune(self, before: float, *, failed_too: bool = False) -> int:
        pruned = 0
        for query in (queries.PRUNE_FAILED, *_PRUNED) if failed_too else _PRUNED:
            while count := await self._delete_batch(query, before):
                pruned += count
        await self._vacuum()
        return pruned

    async def size(self) -> StoreSize:
        ((used, limit),) = await self._database.read(queries.SIZE)
        return StoreSize(used=used, limit=limit)

    async def ping(self) -> None:
        now = self._wall()

        async def write(connection: aiosqlite.Connection) -> None:
            await connection.execute(queries.PROBE, (now,))

        await self._database.write(write)

    async def _delete_batch(self, query: str, before: float) -> int:
        async def delete(connection: aiosqlite.Connection) -> int:
            return (await connection.execute(query, (before, _BATCH))).rowcount

        return await self._database.write(delete)

    async def _vacuum(self) -> None:
        async def shrink(connection: aiosqlite.Connection) -> None:
            await connection.execute_fetchall(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")

        await self._database.write(shrink)
