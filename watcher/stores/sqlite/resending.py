"""Sending again by hand, in the SQLite store: in bulk, by today's routes, and counted first."""

from collections.abc import Sequence

import aiosqlite

from watcher.core.deliveries import DeliveryState
from watcher.core.events import EventFilter, StoredEvent
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.database import StorePart

_FAILED = """
channel = ?1 AND state = 'failed'
    AND (?3 IS NULL OR instr(lower(coalesce(last_error, '')), lower(?3)) > 0)
"""
_RETRY_FAILED = f"""
UPDATE deliveries SET {queries.RESTART}, is_head = 0, bypassed = 0 WHERE {_FAILED}
"""
_COUNT_FAILED = f"SELECT count(*) FROM deliveries WHERE {_FAILED} AND ?2 IS NULL"
_COUNT_PURGED = "SELECT count(*) FROM deliveries WHERE channel = ? AND state = ? AND created_at < ?"
_ROUTED = "EXISTS (SELECT 1 FROM json_each(events.channels) WHERE value = ?1)"
_COUNT_REPLAYED = f"""
SELECT count(*) FROM events
WHERE ?2 IS NOT NULL AND {queries.SELECTED} AND (
    EXISTS (
        SELECT 1 FROM deliveries
        WHERE event = events.id AND channel = ?1 AND state <> 'pending')
    OR ({_ROUTED}
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id AND channel = ?1)))
"""
_NOT_ROUTED = f"""
{queries.STORED_EVENT} WHERE ?2 IS NOT NULL AND id > ?7 AND {queries.SELECTED} AND NOT {_ROUTED}
ORDER BY id LIMIT ?8
"""
_ADD_ROUTE = f"""
UPDATE events SET channels = json_insert(channels, '$[#]', ?1)
WHERE ?3 IS NOT NULL AND event_id IN (SELECT value FROM json_each(?2)) AND NOT {_ROUTED}
"""
_QUEUE_NEW = f"""
INSERT INTO deliveries (event, channel, order_key, created_at, next_attempt_at, size)
SELECT id, ?1, order_key, at, ?3, {queries.SIZE} FROM events
WHERE event_id IN (SELECT value FROM json_each(?2)) AND NOT {_ROUTED}
ORDER BY id
"""


class SqliteResending(StorePart):
    """Implements `watcher.core.interfaces.resending.Resending`."""

    async def retry_failed(self, channel: str, error: str | None, now: float) -> int:
        async def queue(connection: aiosqlite.Connection) -> int:
            queued = (await connection.execute(_RETRY_FAILED, (channel, now, error))).rowcount
            await connection.execute(queries.RESET_HEADS, (channel,))
            return queued

        return await self._database.write(queue)

    async def count_failed(self, channel: str, error: str | None) -> int:
        return await self._count(_COUNT_FAILED, channel, None, error)

    async def count_purged(self, channel: str, state: DeliveryState, before: float) -> int:
        return await self._count(_COUNT_PURGED, channel, state, before)

    async def count_replayed(self, channel: str, selected: EventFilter, now: float) -> int:
        return await self._count(
            _COUNT_REPLAYED, *rows.selection_parameters(channel, selected, now)
        )

    async def not_routed(
        self, channel: str, selected: EventFilter, now: float, after: int, limit: int
    ) -> Sequence[StoredEvent]:
        parameters = (*rows.selection_parameters(channel, selected, now), after, limit)
        found = await self._database.read(_NOT_ROUTED, *parameters)
        return [rows.stored_event(row) for row in found]

    async def queue_new(self, channel: str, event_ids: Sequence[str], now: float) -> int:
        parameters = (channel, rows.as_json(list(event_ids)), now)

        async def queue(connection: aiosqlite.Connection) -> int:
            queued = (await connection.execute(_QUEUE_NEW, parameters)).rowcount
            await connection.execute(_ADD_ROUTE, parameters)
            await connection.execute(queries.RESET_HEADS, (channel,))
            return queued

        return await self._database.write(queue)

    async def _count(self, query: str, *parameters: object) -> int:
        ((count,),) = await self._database.read(query, *parameters)
        return int(count)
