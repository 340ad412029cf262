"""The events of the PostgreSQL store, stored with the changes and outages that they report."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from watcher.core.events import Change, Event, StoredEvent
from watcher.core.outage import Outage
from watcher.core.ownership import Grant, channel_group, source_group
from watcher.core.tasks import TaskKey
from watcher.stores import _rows
from watcher.stores._recording import StoredPositions, applied, events_of
from watcher.stores.postgresql import rows, watch_queries
from watcher.stores.postgresql.database import Database, StorePart
from watcher.stores.postgresql.schema import Connection
from watcher.stores.postgresql.signals import signal_channel


class PostgresqlEventLog(StorePart):
    """Implements `watcher.core.interfaces.store.EventLog`."""

    async def record(self, changes: Sequence[Change]) -> Sequence[bool]:
        recording = _Recording(changes)
        grants = self._grants_for(changes)
        if grants:
            await self._database.write(partial(self._record_all, recordings=[recording]), grants)
        else:
            await self._database.write_batch(self._record_all, [recording])
        return recording.applies

    async def _record_all(self, connection: Connection, recordings: Sequence["_Recording"]) -> None:
        made = await _record(self._database, connection, recordings)
        for event in events_of(made):
            for channel in event.channels:
                self._database.due_floors.note(channel, event.at)

    def _grants_for(self, changes: Sequence[Change]) -> Sequence[Grant]:
        """Return the grants for the tasks that have changed. Raises `NotOwnerError`."""
        by_source: dict[str, list[str]] = {}
        for change in changes:
            source, task_id = change.watch.key
            by_source.setdefault(source, []).append(task_id)
        return [
            grant
            for source, task_ids in by_source.items()
            for grant in self._database.fence.grants(source_group(source), task_ids)
        ]

    async def record_outage(
        self, event: Event | None, outage: Outage | None, recovered: str | None = None
    ) -> bool:
        async def store(connection: Connection) -> bool:
            if self._database.fence.session is None:
                await store_outage(self._database, connection, event, outage)
                await _end_outage(connection, recovered)
                return event is not None
            return await self._record_shared(connection, event, outage, recovered)

        return await self._database.write(store)

    async def _record_shared(
        self,
        connection: Connection,
        event: Event | None,
        outage: Outage | None,
        recovered: str | None,
    ) -> bool:
        """Store what one of several replicas has seen of an outage; return whether its event is
        stored. Beginning and end are announced once each, whichever replica sees them first. An
        announced outage stays until a replica that knows of the announcement ends it.
        """
        subject = (recovered if outage is None else outage.subject) or ""
        kind, _, name = subject.partition(" ")
        stored = await _stored_outage(connection, subject)
        announced = stored is not None and stored.alerted_at is not None
        ends = outage is None
        if announced != ends:  # announced before, or the end of what was never announced
            event = None
        if stored is not None and outage is not None:
            since, alerted_at = min(stored.since, outage.since), stored.alerted_at
            outage = replace(outage, since=since, alerted_at=alerted_at or outage.alerted_at)
        await store_outage(self._database, connection, event, outage)
        if event is not None or not announced or kind not in ("source", "channel"):
            await _end_outage(connection, recovered)
        if event is not None and kind == "channel":
            await signal_channel(self._database, connection, name)
        return event is not None

    async def outage(self, subject: str) -> Outage | None:
        found = await self._database.read(watch_queries.OUTAGE, rows.clean(subject))
        return _rows.outage(found[0]) if found else None

    async def events_after(self, event_id: int, limit: int) -> Sequence[StoredEvent]:
        found = await self._database.read(watch_queries.EVENTS_AFTER, event_id, limit)
        return [_rows.stored_event(row) for row in found]

    async def last_event_id(self) -> int:
        ((last,),) = await self._database.read(watch_queries.LAST_EVENT_ID)
        return int(last)


@dataclass(slots=True)
class _Recording:
    """The changes of one caller; `applies` is set in the transaction."""

    changes: Sequence[Change]
    applies: Sequence[bool] = field(default_factory=list)


async def _record(
    database: Database, connection: Connection, recordings: Sequence[_Recording]
) -> list[Change]:
    """Store the changes of several callers with the statements of one; return those that apply."""
    changes = [change for recording in recordings for change in recording.changes]
    keys = {rows.clean_key(change.watch.key): change.watch.key for change in changes}
    found = await connection.fetch(watch_queries.WATCH_SEQUENCES, *rows.key_arrays(keys))
    positions = StoredPositions((*keys[TaskKey(*row[:2])], *row[2:]) for row in found)
    made: list[Change] = []
    for recording in recordings:
        recording.applies = positions.applicable(recording.changes)
        made += applied(recording.changes, recording.applies)
    moved = positions.other_batches(made)
    # Of several changes of one watch the last is what it becomes.
    last = {change.watch.key: change.watch for change in made}
    await execute_rows(
        connection,
        watch_queries.CHANGE_WATCHES,
        [rows.changed_row(watch, moved.get(key)) for key, watch in last.items()],
    )
    await insert_events(database, connection, events_of(made))
    return made


async def execute_rows(connection: Connection, statement: str, table: Sequence[Any]) -> None:
    """Run a statement on rows, each of whose columns is a parameter; without rows, run nothing."""
    if table:
        await connection.execute(statement, *rows.arrays(table))


async def insert_events(
    database: Database, connection: Connection, events: Sequence[Event]
) -> None:
    """Store events, and a delivery for each of their channels, in the caller's transaction. Other
    replicas get a hint if they own one.
    """
    table = [rows.event_row(event) for event in events]
    await execute_rows(connection, watch_queries.INSERT_EVENTS, table)
    slots: dict[str, set[int]] = {}
    for event, (*_, slot) in zip(events, table, strict=True):
        for channel in event.channels:
            slots.setdefault(channel, set()).add(slot)
    if not all(database.fence.owns_all(channel_group(name), of) for name, of in slots.items()):
        database.hints.want()


async def _stored_outage(connection: Connection, subject: str) -> Outage | None:
    found = await connection.fetchrow(watch_queries.OUTAGE, rows.clean(subject))
    return None if found is None else _rows.outage(found)


async def _end_outage(connection: Connection, subject: str | None) -> None:
    if subject is not None:
        await connection.execute(watch_queries.DELETE_OUTAGE, rows.clean(subject))


async def store_outage(
    database: Database, connection: Connection, event: Event | None, outage: Outage | None
) -> None:
    """Store an outage with the event that announces it, in the caller's transaction."""
    if event is not None:
        await insert_events(database, connection, [event])
    if outage is not None:
        values = rows.cleaned(_rows.outage_row(outage))
        await connection.execute(watch_queries.STORE_OUTAGE, *values)
