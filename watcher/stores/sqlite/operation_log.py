"""The operations that were sent to sources, in the SQLite store."""

from collections.abc import Mapping, Sequence

import aiosqlite

from watcher.core.tasks import Added, OperationScope, WatchRequest
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.database import StorePart
from watcher.stores.sqlite.watchlist import add_watches


class SqliteOperationLog(StorePart):
    """Implements `watcher.core.interfaces.store.OperationLog`."""

    async def claim_operations(
        self, scope: OperationScope, keys: Sequence[str], now: float
    ) -> Mapping[str, str | None]:
        async def claim(connection: aiosqlite.Connection) -> Mapping[str, str | None]:
            found = await connection.execute_fetchall(
                queries.KNOWN_OPERATIONS, (*scope, rows.as_json(keys))
            )
            known: dict[str, str | None] = {row[0]: row[1] for row in found}
            new = [(*scope, key, now) for key in keys if key not in known]
            await connection.executemany(queries.CLAIM_OPERATION, new)
            return known

        return await self._database.write(claim)

    async def release_operations(self, scope: OperationScope, keys: Sequence[str]) -> None:
        async def release(connection: aiosqlite.Connection) -> None:
            await connection.execute(queries.RELEASE_OPERATIONS, (*scope, rows.as_json(keys)))

        await self._database.write(release)

    async def complete_operations(
        self, scope: OperationScope, keys: Sequence[str], started: WatchRequest, now: float
    ) -> Added:
        parameters = (*scope, rows.as_json(keys), started.key.task_id, now)

        async def complete(connection: aiosqlite.Connection) -> Added:
            await connection.execute(queries.COMPLETE_OPERATIONS, parameters)
            return await add_watches(connection, [started], now)

        return await self._database.write(complete)
