"""The watchlist of the SQLite store."""

import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence

import aiosqlite

from watcher.core.errors import TooManyLabelsError
from watcher.core.events import StoredEvent
from watcher.core.ownership import slot
from watcher.core.tasks import (
    TERMINAL_STATUSES,
    ActiveWatch,
    Added,
    TaskKey,
    Watch,
    WatchFilter,
    WatchRequest,
)
from watcher.stores._merging import Merged, merged, selection
from watcher.stores._pages import next_cursor, page_start
from watcher.stores._task_lists import Condition, TaskListReader, has_status, joined
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.database import StorePart
from watcher.stores.sqlite.task_lists import DIALECT, has_labels

_ACTIVE_BATCH = 5000
_UNCHANGED_BATCH = 500
_PRUNE_BATCH = 1000
_FEW = 2000
"""Watches that are found by an index and put in order in a millisecond."""


_WATCH = 1024
"""Bytes that a new watch takes, about."""


class SqliteWatchlist(StorePart):
    """Implements `watcher.core.interfaces.store.Watchlist`."""

    async def add(self, requests: Sequence[WatchRequest], now: float) -> Added:
        async def store(connection: aiosqlite.Connection) -> Added | TooManyLabelsError:
            watches = await _merged(connection, requests, now)
            if watches.overfull is not None:
                # Not raised here: others share the transaction.
                return TooManyLabelsError(watches.overfull)
            return await _store(connection, watches)

        added = await self._database.write(store, _WATCH * len(requests))
        if isinstance(added, TooManyLabelsError):
            raise added
        return added

    async def remove(self, key: TaskKey) -> bool:
        async def delete(connection: aiosqlite.Connection) -> bool:
            return (await connection.execute(queries.DELETE_WATCH, key)).rowcount > 0

        return await self._database.write(delete)

    async def watches(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Watch]:
        found = await self._database.read(queries.WATCHES_BY_KEY, rows.json_keys(keys))
        return {watch.key: watch for watch in map(rows.watch, found)}

    async def find(self, task_id: str) -> Sequence[Watch]:
        found = await self._database.read(queries.WATCHES_BY_TASK_ID, task_id)
        return [rows.watch(row) for row in found]

    async def list_watches(
        self, selected: WatchFilter, limit: int, cursor: str | None
    ) -> tuple[Sequence[Watch], str | None]:
        if selected.is_scanned:
            tasks = TaskListReader(self._database.pages, DIALECT, time.monotonic)
            page = await tasks.page(selection(selected), limit, cursor)
            return page.watches, page.next_cursor
        conditions = joined(" AND ", [await self._of_statuses(selected), *_conditions(selected)])
        query = f"{queries.WATCHES_PAGE} AND {conditions.sql} {queries.PAGE_END}"
        parameters = (page_start(cursor), *conditions.parameters, limit + 1)
        found = await self._database.read(query, *parameters)
        return [rows.watch(row[1:]) for row in found[:limit]], next_cursor(found, limit)

    async def _of_statuses(self, selected: WatchFilter) -> Condition:
        """Return the condition of the statuses, so that rare ones are found by their index."""
        if not selected.statuses:
            return Condition("true")
        wanted = has_status(selected.statuses)
        if not TERMINAL_STATUSES.intersection(selected.statuses):
            return Condition(f"state = 'active' AND {wanted.sql}", wanted.parameters)
        if "COMPLETED" in selected.statuses:
            return wanted
        ended = queries.ENDED_WITH.format(wanted.sql)
        few = await self._database.read(f"{ended} LIMIT {_FEW}", *wanted.parameters)
        if len(few) == _FEW:  # then they are not far apart
            return wanted
        either = f"id IN ({ended} UNION ALL {queries.ACTIVE_WITH.format(wanted.sql)})"
        return Condition(either, 2 * wanted.parameters)

    async def active_watches(
        self, slots: Mapping[str, Collection[int] | None]
    ) -> AsyncIterator[Sequence[ActiveWatch]]:
        last_id = 0
        while found := await self._database.read(queries.ACTIVE_WATCHES, last_id, _ACTIVE_BATCH):
            last_id = found[-1][-1]
            yield [
                ActiveWatch(*row)
                for *row, _ in found
                if row[0] in slots and _is_in(slots[row[0]], row[1])
            ]

    async def active_elsewhere(self, sources: Collection[str]) -> int:
        names = rows.as_json(list(sources))
        ((count,),) = await self._database.read(queries.ACTIVE_ELSEWHERE, names)
        return int(count)

    async def unchanged_watches(self, source: str, before: float) -> AsyncIterator[Sequence[Watch]]:
        changed_at, last_id = 0.0, 0
        while found := await self._database.read(
            queries.UNCHANGED_WATCHES, source, before, changed_at, last_id, _UNCHANGED_BATCH
        ):
            watches = [rows.watch(row[:-1]) for row in found]
            changed_at, last_id = watches[-1].changed_at or 0.0, found[-1][-1]
            yield watches

    async def transitions(self, key: TaskKey) -> Sequence[StoredEvent]:
        found = await self._database.read(queries.TRANSITIONS, *key)
        return [rows.stored_event(row) for row in found]

    async def prune_lost(self, before: float) -> Sequence[TaskKey]:
        async def delete(connection: aiosqlite.Connection) -> Sequence[TaskKey]:
            deleted = await connection.execute_fetchall(queries.PRUNE_LOST, (before, _PRUNE_BATCH))
            return [TaskKey(source, task_id) for source, task_id in deleted]

        return await self._database.write(delete)


async def add_watches(
    connection: aiosqlite.Connection, requests: Sequence[WatchRequest], now: float
) -> Added:
    """Add or merge watches within the caller's transaction, as `Watchlist.add` does.

    A watch that would have too many labels keeps those that it has.
    """
    return await _store(connection, await _merged(connection, requests, now))


async def _merged(
    connection: aiosqlite.Connection, requests: Sequence[WatchRequest], now: float
) -> Merged:
    keys = rows.json_keys(request.key for request in requests)
    found = await connection.execute_fetchall(queries.WATCHES_BY_KEY, (keys,))
    return merged(requests, {watch.key: watch for watch in map(rows.watch, found)}, now)


async def _store(connection: aiosqlite.Connection, watches: Merged) -> Added:
    await connection.executemany(
        queries.INSERT_WATCH, [rows.watch_row(watch) for watch in watches.new]
    )
    await connection.executemany(
        queries.MERGE_WATCH,
        [
            (watch.namespace, rows.as_json(watch.labels), watch.state, *watch.key)
            for watch in watches.changed
        ],
    )
    return watches.result


def _is_in(slots: Collection[int] | None, task_id: str) -> bool:
    return slots is None or slot(task_id) in slots


def _conditions(selected: WatchFilter) -> Iterator[Condition]:
    if selected.state is not None:
        yield Condition("state = ?", (selected.state,))
    yield from has_labels(selected.labels)
