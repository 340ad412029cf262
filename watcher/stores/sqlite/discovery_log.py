"""What discovery rules have found, in the SQLite store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiosqlite

from watcher.core.tasks import (
    TERMINAL_STATUSES,
    Added,
    DiscoveredTask,
    TaskKey,
    Watch,
    WatchRequest,
    WatchState,
)
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
        additions = _Additions(source=source, labels=labels, now=now)

        async def store(connection: aiosqlite.Connection) -> tuple[int, Added]:
            new = await _store_listed(connection, rule, listed, now)
            done = {task for task in new if silent and task.status in TERMINAL_STATUSES}
            await connection.executemany(
                queries.INSERT_WATCH_IF_NEW,
                [rows.watch_row(additions.done_watch(task)) for task in new if task in done],
            )
            requests = [additions.request(task) for task in new if task not in done]
            return len(new), await add_watches(connection, requests, now)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Additions:
    """How the tasks of one list are added to the watchlist."""

    source: str
    labels: Mapping[str, str]
    now: float

    def request(self, task: DiscoveredTask) -> WatchRequest:
        return WatchRequest(key=TaskKey(self.source, task.task_id), labels=self.labels)

    def done_watch(self, task: DiscoveredTask) -> Watch:
        return Watch(
            key=TaskKey(self.source, task.task_id),
            labels=self.labels,
            state=WatchState.DONE,
            status=task.status,
            task_type=task.task_type,
            added_at=self.now,
            first_seen_at=self.now,
            changed_at=self.now,
        )


async def _store_listed(
    connection: aiosqlite.Connection, rule: str, listed: Sequence[DiscoveredTask], now: float
) -> list[DiscoveredTask]:
    """Store what a rule listed, and return each task that it had not listed before, once."""
    ids = rows.as_json([task.task_id for task in listed])
    known = {row[0] for row in await connection.execute_fetchall(queries.KNOWN_TASKS, (rule, ids))}
    new = {task.task_id: task for task in listed if task.task_id not in known}
    await connection.execute(queries.STILL_LISTED, (rule, ids, now))
    await connection.executemany(
        queries.STORE_DISCOVERED, [(rule, task_id, now) for task_id in new]
    )
    return list(new.values())
