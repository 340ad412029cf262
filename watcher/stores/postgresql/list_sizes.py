"""What requests to sources may hold, in the PostgreSQL store."""

from watcher.stores.postgresql import log_queries
from watcher.stores.postgresql.database import StorePart


class PostgresqlListSizes(StorePart):
    """Implements `watcher.core.interfaces.store.ListSizes`."""

    async def list_size(self, source: str) -> int | None:
        found = await self._database.read(log_queries.LIST_SIZE, source)
        return int(found[0][0]) if found else None

    async def store_list_size(self, source: str, task_ids: int) -> None:
        await self._database.update(log_queries.STORE_LIST_SIZE, source, task_ids)
