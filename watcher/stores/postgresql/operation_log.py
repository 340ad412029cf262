"""The operations that were sent to sources, in the PostgreSQL store."""

from collections.abc import Mapping, Sequence

from watcher.core.tasks import Added, OperationScope, WatchRequest
from watcher.stores.postgresql import log_queries, rows
from watcher.stores.postgresql.database import StorePart
from watcher.stores.postgresql.schema import Connection
from watcher.stores.postgresql.signals import signal_tasks
from watcher.stores.postgresql.watchlist import add_watches


class PostgresqlOperationLog(StorePart):
    """Implements `watcher.core.interfaces.store.OperationLog`."""

    async def claim_operations(
        self, scope: OperationScope, keys: Sequence[str], now: float
    ) -> Mapping[str, str | None]:
        parameters = (*rows.cleaned(scope), rows.cleaned(keys), now)

        async def claim(connection: Connection) -> Mapping[str, str | None]:
            found = await connection.fetch(log_queries.CLAIM_OPERATIONS, *parameters)
            return {row[0]: row[1] for row in found}

        return await self._database.write(claim)

    async def release_operations(self, scope: OperationScope, keys: Sequence[str]) -> None:
        await self._database.update(
            log_queries.RELEASE_OPERATIONS, *rows.cleaned(scope), rows.cleaned(keys)
        )

    async def complete_operations(
        self, scope: OperationScope, keys: Sequence[str], started: WatchRequest, now: float
    ) -> Added:
        task_id = rows.clean(started.key.task_id)
        parameters = (*rows.cleaned(scope), rows.cleaned(keys), task_id, now)

        async def complete(connection: Connection) -> Added:
            await connection.execute(log_queries.COMPLETE_OPERATIONS, *parameters)
            added = await add_watches(connection, [started], now)
            await signal_tasks(self._database, connection, [started.key])
            return added

        return await self._database.write(complete)
