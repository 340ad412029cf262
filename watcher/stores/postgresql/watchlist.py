"""The watchlist of the PostgreSQL store."""

import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence

from watcher.core.errors import TooManyLabelsError
from watcher.core.events import StoredEvent
from watcher.core.ownership import SLOTS, source_group
from watcher.core.tasks import ActiveWatch, Added, TaskKey, Watch, WatchFilter, WatchRequest
from watcher.stores import _rows
from watcher.stores._merging import Merged, merged, selection
from watcher.stores._pages import next_cursor, page_start
from watcher.stores._task_lists import TaskListReader
from watcher.stores.postgresql import rows, watch_queries
from watcher.stores.postgresql.database import StorePart
from watcher.stores.postgresql.event_log import execute_rows
from watcher.stores.postgresql.schema import Connection
from watcher.stores.postgresql.signals import signal_tasks
from watcher.stores.postgresql.task_lists import DIALECT

_ACTIVE_BATCH = 1000
"""More cost no less: five thousand rows would hold three megabytes while they become tasks."""
_UNCHANGED_BATCH = 500
_PRUNE_BATCH = 1000


class PostgresqlWatchlist(StorePart):
    """Implements `watcher.core.interfaces.store.Watchlist`."""

    async def add(self, requests: Sequence[WatchRequest], now: float) -> Added:
        async def store(connection: Connection) -> Added | TooManyLabelsError:
            watches = await _merged(connection, requests, now)
            if watches.overfull is not None:
                # Not raised here: others share the transaction.
                return TooManyLabelsError(watches.overfull)
            added = await _store(connection, watches)
            again = {request.key for request in requests if request.again}
            await signal_tasks(self._database, connection, added.reactivated | again)
            return added

        added = await self._database.write(store)
        if isinstance(added, TooManyLabelsError):
            raise added
        return added

    async def remove(self, key: TaskKey) -> bool:
        async def delete(connection: Connection) -> bool:
            stored = rows.clean_key(key)
            await signal_tasks(self._database, connection, [stored])
            return await connection.fetchval(watch_queries.DELETE_WATCH, *stored) is not None

        return await self._database.write(delete)

    async def watches(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Watch]:
        found = await self._database.read(watch_queries.WATCHES_BY_KEY, *rows.key_arrays(keys))
        return {watch.key: watch for watch in map(rows.watch, found)}

    async def find(self, task_id: str) -> Sequence[Watch]:
        found = await self._database.read(watch_queries.WATCHES_BY_TASK_ID, rows.clean(task_id))
        return [rows.watch(row) for row in found]

    async def list_watches(
        self, selected: WatchFilter, limit: int, cursor: str | None
    ) -> tuple[Sequence[Watch], str | None]:
        if selected.is_scanned:
            tasks = TaskListReader(self._database.pages, DIALECT, time.monotonic)
            page = await tasks.page(selection(selected), limit, cursor)
            return page.watches, page.next_cursor
        found = await self._database.read(
            watch_queries.WATCHES_PAGE,
            page_start(cursor),
            rows.cleaned(selected.statuses) or None,
            selected.state,
            rows.as_json(selected.labels),
            limit + 1,
        )
        return [rows.watch(row[1:]) for row in found[:limit]], next_cursor(found, limit)

    async def active_watches(
        self, slots: Mapping[str, Collection[int] | None]
    ) -> AsyncIterator[Sequence[ActiveWatch]]:
        for source, owned in slots.items():
            for first, last in _ranges(range(SLOTS) if owned is None else owned):
                before = (first, 0)
                while found := await self._database.read(
                    watch_queries.ACTIVE_WATCHES, rows.clean(source), last, *before, _ACTIVE_BATCH
                ):
                    before = found[-1][-2:]
                    yield [ActiveWatch(source, *row[:-2]) for row in found]

    async def active_elsewhere(self, sources: Collection[str]) -> int:
        names = rows.cleaned(sources)
        ((count,),) = await self._database.read(watch_queries.ACTIVE_ELSEWHERE, names)
        return int(count)

    async def unchanged_watches(self, source: str, before: float) -> AsyncIterator[Sequence[Watch]]:
        slots = self._database.fence.slots(source_group(source))
        changed_at, last_id = 0.0, 0
        selected, batch = (source, before), (slots, _UNCHANGED_BATCH)
        while found := await self._database.read(
            watch_queries.UNCHANGED_WATCHES, *selected, changed_at, last_id, *batch
        ):
            watches = [rows.watch(row[:-1]) for row in found]
            changed_at, last_id = watches[-1].changed_at or 0.0, found[-1][-1]
            yield watches

    async def transitions(self, key: TaskKey) -> Sequence[StoredEvent]:
        found = await self._database.read(watch_queries.TRANSITIONS, *rows.clean_key(key))
        return [_rows.stored_event(row) for row in found]

    async def prune_lost(self, before: float) -> Sequence[TaskKey]:
        async def delete(connection: Connection) -> Sequence[TaskKey]:
            deleted = await connection.fetch(watch_queries.PRUNE_LOST, before, _PRUNE_BATCH)
            keys = [TaskKey(source, task_id) for source, task_id in deleted]
            await signal_tasks(self._database, connection, keys)
            return keys

        return await self._database.write(delete)


async def add_watches(
    connection: Connection, requests: Sequence[WatchRequest], now: float
) -> Added:
    """Add or merge watches within the caller's transaction, as `Watchlist.add` does.

    A watch that would have too many labels keeps those that it has.
    """
    return await _store(connection, await _merged(connection, requests, now))


async def insert_watches(connection: Connection, watches: Sequence[Watch]) -> None:
    """Insert those watches that are not on the watchlist, within the caller's transaction."""
    table = [rows.watch_row(watch) for watch in watches]
    await execute_rows(connection, watch_queries.INSERT_WATCHES, table)


def _ranges(slots: Collection[int]) -> Iterator[tuple[int, int]]:
    """Return the first and the last of the slots that follow one another without a gap."""
    for first in sorted(slots):
        if first - 1 not in slots:
            yield first, next(slot for slot in range(first, SLOTS + 1) if slot + 1 not in slots)


async def _merged(connection: Connection, requests: Sequence[WatchRequest], now: float) -> Merged:
    stored = [rows.clean_request(request) for request in requests]
    keys = rows.key_arrays(request.key for request in stored)
    found = await connection.fetch(watch_queries.WATCHES_BY_KEY, *keys)
    return merged(stored, {watch.key: watch for watch in map(rows.watch, found)}, now)


async def _store(connection: Connection, watches: Merged) -> Added:
    await insert_watches(connection, watches.new)
    await execute_rows(
        connection,
        watch_queries.MERGE_WATCHES,
        [
            (*watch.key, watch.namespace, rows.as_json(watch.labels), watch.state)
            for watch in watches.changed
        ],
    )
    return watches.result
