"""What requests to sources may hold, in the SQLite store."""

import aiosqlite

from watcher.stores.sqlite import queries
from watcher.stores.sqlite.database import StorePart


class SqliteListSizes(StorePart):
    """Implements `watcher.core.interfaces.store.ListSizes`."""

    async def list_size(self, source: str) -> int | None:
        found = await self._database.read(queries.LIST_SIZE, source)
        return int(found[0][0]) if found else None

    async def store_list_size(self, source: str, task_ids: int) -> None:
        async def store(connection: aiosqlite.Connection) -> None:
            await connection.execute(queries.STORE_LIST_SIZE, (source, task_ids))

        await self._database.write(store)
