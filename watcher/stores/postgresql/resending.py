"""Sending again by hand, in the PostgreSQL store: in bulk, by today's routes, and counted first."""

from collections.abc import Sequence

from watcher.core.deliveries import DeliveryState
from watcher.core.events import EventFilter, StoredEvent
from watcher.stores import _rows
from watcher.stores.postgresql import outbox_queries as queries
from watcher.stores.postgresql import rows
from watcher.stores.postgresql.database import StorePart, affected
from watcher.stores.postgresql.schema import Connection
from watcher.stores.postgresql.signals import signal_channel
from watcher.stores.postgresql.watch_queries import SIZE, STORED_EVENT

_FAILED = """
channel = $1 AND state = 'failed'
    AND ($3::text IS NULL OR strpos(lower(coalesce(last_error, '')), lower($3)) > 0)
"""
_RETRY_FAILED = f"""
UPDATE deliveries SET {queries.RESTART}, is_head = false, bypassed = false WHERE {_FAILED}
"""
_COUNT_FAILED = f"SELECT count(*) FROM deliveries WHERE {_FAILED} AND $2::text IS NULL"
_COUNT_PURGED = """
SELECT count(*) FROM deliveries WHERE channel = $1 AND state = $2 AND created_at < $3
"""
_COUNT_REPLAYED = f"""
SELECT count(*) FROM events
WHERE $2::double precision IS NOT NULL AND {queries.SELECTED} AND (
    EXISTS (
        SELECT 1 FROM deliveries
        WHERE event = events.id AND channel = $1 AND state <> 'pending')
    OR ($1 = ANY(channels) AND {queries.NOT_QUEUED}))
"""
_NOT_ROUTED = f"""
{STORED_EVENT} WHERE $2::double precision IS NOT NULL AND id > $7 AND {queries.SELECTED}
    AND $1 <> ALL(channels)
ORDER BY id LIMIT $8
"""
_ADD_ROUTE = """
UPDATE events SET channels = channels || $1::text
WHERE event_id = ANY($2::text[]) AND $1 <> ALL(channels)
"""
_QUEUE_NEW = f"""
INSERT INTO deliveries (event, channel, order_key, slot, created_at, next_attempt_at, size)
SELECT id, $1, order_key, slot, at, $3, {SIZE} FROM events
WHERE event_id = ANY($2::text[]) AND $1 <> ALL(channels)
ORDER BY id
"""


class PostgresqlResending(StorePart):
    """Implements `watcher.core.interfaces.resending.Resending`."""

    async def retry_failed(self, channel: str, error: str | None, now: float) -> int:
        name, part = rows.clean(channel), rows.clean(error)

        async def queue(connection: Connection) -> int:
            self._database.due_floors.note(channel)
            queued = await connection.execute(_RETRY_FAILED, name, now, part)
            await connection.execute(queries.RESET_HEADS, name)
            await signal_channel(self._database, connection, channel, attempt=True)
            return affected(queued)

        return await self._database.write(queue)

    async def count_failed(self, channel: str, error: str | None) -> int:
        return await self._count(_COUNT_FAILED, rows.clean(channel), None, rows.clean(error))

    async def count_purged(self, channel: str, state: DeliveryState, before: float) -> int:
        return await self._count(_COUNT_PURGED, rows.clean(channel), state, before)

    async def count_replayed(self, channel: str, selected: EventFilter, now: float) -> int:
        return await self._count(
            _COUNT_REPLAYED, *rows.selection_parameters(channel, selected, now)
        )

    async def not_routed(
        self, channel: str, selected: EventFilter, now: float, after: int, limit: int
    ) -> Sequence[StoredEvent]:
        parameters = (*rows.selection_parameters(channel, selected, now), after, limit)
        found = await self._database.read(_NOT_ROUTED, *parameters)
        return [_rows.stored_event(row) for row in found]

    async def queue_new(self, channel: str, event_ids: Sequence[str], now: float) -> int:
        name, events = rows.clean(channel), rows.cleaned(event_ids)

        async def queue(connection: Connection) -> int:
            self._database.due_floors.note(channel)
            queued = await connection.execute(_QUEUE_NEW, name, events, now)
            await connection.execute(_ADD_ROUTE, name, events)
            await connection.execute(queries.RESET_HEADS, name)
            await signal_channel(self._database, connection, channel)
            return affected(queued)

        return await self._database.write(queue)

    async def _count(self, query: str, *parameters: object) -> int:
        ((count,),) = await self._database.read(query, *parameters)
        return int(count)
