"""What discovery rules have found, in the SQLite store."""

from collections.abc import Mapping, Sequence

import aiosqlite

from watcher.core.tasks import Added, DiscoveredTask
from watcher.stores._discovery import Additions, not_known
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.database import StorePart
from watcher.stores.sqlite.watchlist import add_watches


class SqliteDiscoveryLog(StorePart):
    """Implements `watcher.core.interfaces.store.DiscoveryLog`."""

    async def rule_ran(self, rule: str) -> bool:
        return bool(await self._database.read(queries.RULE_RAN, rule))

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

        async def store(connection: aiosqlite.Connection) -> tuple[int, Added]:
            new = await _store_listed(connection, rule, listed, now)
            await connection.executemany(
                queries.INSERT_WATCH_IF_NEW,
                [rows.watch_row(watch) for watch in additions.done(new)],
            )
            return len(new), await add_watches(connection, additions.requests(new), now)

        return await self._database.write(store)

    async def done_among(self, source: str, task_ids: Sequence[str]) -> Sequence[str]:
        found = await self._database.read(queries.DONE_AMONG, source, rows.as_json([*task_ids]))
        return [row[0] for row in found]

    async def rule_finished(self, rule: str, now: float, forget_before: float | None) -> None:
        async def finish(connection: aiosqlite.Connection) -> None:
            await connection.execute(queries.STORE_RULE, (rule, now))
            if forget_before is not None:
                await connection.execute(queries.FORGET_UNLISTED, (rule, forget_before))

        await self._database.write(finish)


async def _store_listed(
    connection: aiosqlite.Connection, rule: str, listed: Sequence[DiscoveredTask], now: float
) -> list[DiscoveredTask]:
    """Store what a rule listed, and return each task that it had not listed before, once."""
    ids = rows.as_json([task.task_id for task in listed])
    known = {row[0] for row in await connection.execute_fetchall(queries.KNOWN_TASKS, (rule, ids))}
    new = not_known(listed, known)
    await connection.execute(queries.STILL_LISTED, (rule, ids, now))
    await connection.executemany(
        queries.STORE_DISCOVERED, [(rule, task.task_id, now) for task in new]
    )
    return new
