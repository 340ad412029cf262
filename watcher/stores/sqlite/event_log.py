"""The events of the SQLite store, stored with the changes and outages that they report."""

from collections.abc import Sequence

import aiosqlite

from watcher.core.events import Change, Event, StoredEvent
from watcher.core.outage import Outage
from watcher.stores._group_commit import Result
from watcher.stores._recording import StoredPositions, applied, events_of
from watcher.stores.sqlite import batch_queries, queries, rows
from watcher.stores.sqlite.database import Database, Operation, StorePart


class SqliteEventLog(StorePart):
    """Implements `watcher.core.interfaces.store.EventLog`."""

    async def record(self, changes: Sequence[Change]) -> Sequence[bool]:
        async def store(connection: aiosqlite.Connection) -> Sequence[bool]:
            keys = rows.json_keys(change.watch.key for change in changes)
            found = await connection.execute_fetchall(queries.WATCH_SEQUENCES, (keys,))
            positions = StoredPositions(found)
            applies = positions.applicable(changes)
            made = applied(changes, applies)
            await connection.executemany(
                queries.CHANGE_WATCH, [rows.changed_row(change.watch) for change in made]
            )
            if moved := positions.other_batches(made):
                await connection.executemany(
                    queries.SET_BATCH, [(batch, *key) for key, batch in moved.items()]
                )
            await insert_events(connection, events_of(made))
            return applies

        return await store_events(self._database, store, events_of(changes))

    async def record_outage(
        self, event: Event | None, outage: Outage | None, recovered: str | None = None
    ) -> bool:
        async def store(connection: aiosqlite.Connection) -> bool:
            await store_outage(connection, event, outage)
            if recovered is not None:
                await connection.execute(queries.DELETE_OUTAGE, (recovered,))
            return event is not None

        return await store_events(self._database, store, [] if event is None else [event])

    async def outage(self, subject: str) -> Outage | None:
        found = await self._database.read(queries.OUTAGE, subject)
        return rows.outage(found[0]) if found else None

    async def events_after(self, event_id: int, limit: int) -> Sequence[StoredEvent]:
        found = await self._database.read(queries.EVENTS_AFTER, event_id, limit)
        return [rows.stored_event(row) for row in found]

    async def last_event_id(self) -> int:
        found = await self._database.read(queries.LAST_EVENT_ID)
        return int(found[0][0]) if found else 0


async def store_events(
    database: Database, operation: Operation[Result], events: Sequence[Event]
) -> Result:
    """Run `operation`, which stores `events`, in one transaction."""
    return await database.write(operation, sum(len(event.body) for event in events))


async def insert_events(connection: aiosqlite.Connection, events: Sequence[Event]) -> None:
    """Store events, and a delivery for each of their channels, in the caller's transaction."""
    await connection.executemany(queries.INSERT_EVENT, [rows.event_row(event) for event in events])
    routed = [event.event_id for event in events if event.channels]
    if routed:
        await connection.execute(batch_queries.INSERT_DELIVERIES, (rows.as_json(routed),))


async def store_outage(
    connection: aiosqlite.Connection, event: Event | None, outage: Outage | None
) -> None:
    """Store an outage with the event that announces it, in the caller's transaction."""
    if event is not None:
        await insert_events(connection, [event])
    if outage is not None:
        await connection.execute(queries.STORE_OUTAGE, rows.outage_row(outage))
