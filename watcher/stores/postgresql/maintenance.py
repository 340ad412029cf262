"""Retention, size and readiness of the PostgreSQL store."""

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from watcher.core.interfaces.maintenance import StoreSize
from watcher.stores._removal import until_freed
from watcher.stores.postgresql import maintenance_queries as queries
from watcher.stores.postgresql.database import StorePart, affected
from watcher.stores.postgresql.ownership_queries import PRUNE_SIGNALS
from watcher.stores.postgresql.schema import Connection

_BATCH = 1000


class PostgresqlMaintenance(StorePart):
    """Implements `watcher.core.interfaces.maintenance.Maintenance`.

    The server limits its disk, so the store has no limit of its own, and never makes room.
    """

    async def prune(self, before: float) -> int:
        pruned = 0
        for query in queries.PRUNED:
            last: float | None = -math.inf
            while last is not None:
                delete = partial(_delete_batch, query=query, before=before, since=last)
                count, last = await self._database.write(delete)
                pruned += count
        await self._database.write(_prune_signals)
        return pruned

    async def remove_failed(self, channel: str, size: int) -> int:
        removed = freed = 0
        while freed < size and (
            found := await self._database.read(queries.OLDEST_FAILED, channel, _BATCH)
        ):
            batch = until_freed(size - freed, found)
            await self._database.write(partial(_delete_failed, ids=[row[0] for row in batch]))
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
            ids = [row[0] for row in batch]
            removed += await self._database.write(partial(_delete_ended, ids=ids))
            freed += sum(row[1] for row in batch)
        return removed

    async def fill_in(self) -> bool:
        return False

    async def size(self) -> StoreSize:
        ((used,),) = await self._database.read(queries.SIZE)
        return StoreSize(used=int(used), limit=None)

    async def make_room_with(self, make_room: Callable[[int], Awaitable[None]] | None) -> None:
        """Do nothing: what is deleted returns no space to the server's disk at once."""

    async def check_files(self) -> None:
        """Do nothing: the files are the server's."""

    async def ping(self) -> None:
        known = self._database.schema.known
        if not await self._database.update(queries.PROBE, self._wall(), known):
            raise await self._database.unserved()
        if self._database.lacks_room:
            await self._database.transact(_take_room)
            self._database.lacks_room = False


async def _take_room(connection: Connection) -> None:
    """Write a table of its own, and remove it: any other may have room that it freed itself."""
    await connection.execute(queries.TAKE_ROOM)
    await connection.execute(queries.GIVE_ROOM_BACK)


async def _delete_batch(
    connection: Connection, *, query: str, before: float, since: float
) -> tuple[int, float | None]:
    """Delete the oldest; return how many, and the time of the last, None without any."""
    ((count, last),) = await connection.fetch(query, before, _BATCH, since)
    return int(count), last


async def _prune_signals(connection: Connection) -> None:
    await connection.execute(PRUNE_SIGNALS)


async def _delete_failed(connection: Connection, *, ids: Sequence[int]) -> None:
    deleted = await connection.fetch(queries.DELETE_FAILED, ids)
    await connection.execute(queries.DELETE_EVENTS, [row[0] for row in deleted])


async def _delete_ended(connection: Connection, *, ids: Sequence[int]) -> int:
    """Delete these events, unless one was queued again meanwhile."""
    await connection.execute(queries.DELETE_DELIVERED, ids)
    return affected(await connection.execute(queries.DELETE_EVENTS, ids))
