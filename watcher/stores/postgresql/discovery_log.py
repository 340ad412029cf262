"""What discovery rules have found, in the PostgreSQL store."""

from collections.abc import Mapping, Sequence

from watcher.core.ownership import source_group
from watcher.core.tasks import Added, DiscoveredTask
from watcher.stores._discovery import Additions, not_known
from watcher.stores.postgresql import log_queries, rows
from watcher.stores.postgresql.database import StorePart
from watcher.stores.postgresql.schema import Connection
from watcher.stores.postgresql.signals import signal_tasks
from watcher.stores.postgresql.watchlist import add_watches, insert_watches


class PostgresqlDiscoveryLog(StorePart):
    """Implements `watcher.core.interfaces.store.DiscoveryLog`."""

    async def rule_ran(self, rule: str) -> bool:
        return bool(await self._database.read(log_queries.RULE_RAN, rows.clean(rule)))

    async def discover(
        self,
        rule: str,
        source: str,
        listed: Sequence[DiscoveredTask],
        labels: Mapping[str, str],
        now: float,
        *,
        silent: bool,
    ) -> tuple[int, Added]:
        additions = Additions(source=source, labels=labels, now=now, silent=silent)
        tasks = [task._replace(task_id=rows.clean_text(task.task_id)) for task in listed]
        parameters = (rows.clean(rule), [task.task_id for task in tasks], now)

        async def store(connection: Connection) -> tuple[int, Added]:
            found = await connection.fetch(log_queries.STORE_LISTED, *parameters)
            added = {row[0] for row in found}
            new = not_known(tasks, {task.task_id for task in tasks} - added)
            await insert_watches(connection, additions.done(new))
            watched = await add_watches(connection, additions.requests(new), now)
            await signal_tasks(self._database, connection, (one.key for one in watched.watches))
            return len(new), watched

        grants = self._database.fence.grants(source_group(source))
        return await self._database.write(store, grants)

    async def done_among(self, source: str, task_ids: Sequence[str]) -> Sequence[str]:
        found = await self._database.read(log_queries.DONE_AMONG, source, rows.cleaned(task_ids))
        return [row[0] for row in found]

    async def rule_finished(self, rule: str, now: float, forget_before: float | None) -> None:
        name = rows.clean(rule)

        async def finish(connection: Connection) -> None:
            await connection.execute(log_queries.STORE_RULE, name, now)
            if forget_before is not None:
                await connection.execute(log_queries.FORGET_UNLISTED, name, forget_before)

        await self._database.write(finish)
