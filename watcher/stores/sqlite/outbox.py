"""The outbox of the SQLite store."""

import time
from collections.abc import Iterable, Sequence
from functools import partial

import aiosqlite

from watcher.core.deliveries import (
    Attempt,
    AttemptResult,
    Delivery,
    DeliveryState,
    DueDelivery,
    OldestPending,
    OutboxDepth,
)
from watcher.core.events import Event, EventFilter
from watcher.core.outage import Outage
from watcher.core.reading import DeliverySelection
from watcher.stores._delivery_lists import DeliveryListReader
from watcher.stores.sqlite import batch_queries, queries, rows
from watcher.stores.sqlite.database import StorePart
from watcher.stores.sqlite.delivery_lists import STATEMENTS
from watcher.stores.sqlite.event_log import store_outage

_PURGE_BATCH = 1000
_FAIL_BATCH = 5000
_SAME_MOMENT = 1.0
"""Seconds. SQLite compares times that it has read from JSON, which may round them otherwise."""


class SqliteOutbox(StorePart):
    """Implements `watcher.core.interfaces.store.Outbox`."""

    async def due(self, channel: str, now: float, limit: int) -> Sequence[DueDelivery]:
        found = await self._database.read(queries.DUE, channel, now, limit)
        return [rows.due_delivery(row) for row in found]

    async def body(self, delivery_id: int) -> bytes | None:
        found = await self._database.read(queries.BODY, delivery_id)
        return found[0][0] if found else None

    async def next_due_at(self, channel: str, after: float) -> float | None:
        ((moment,),) = await self._database.read(queries.NEXT_DUE_AT, channel, after)
        return None if moment is None else float(moment)

    async def due_for_probe(self, channel: str, limit: int) -> Sequence[DueDelivery]:
        found = await self._database.read(queries.DUE_FOR_PROBE, channel, limit)
        return [rows.due_delivery(row) for row in found]

    async def settle(self, results: Sequence[AttemptResult]) -> None:
        now = self._wall()
        await self._database.write_batch(_settle, [(result, now) for result in results])

    async def unblock_expired(self, channel: str, now: float) -> int:
        # A read costs less than a transaction, and nearly always finds none.
        if not await self._database.read(queries.HAS_EXPIRED, channel, now):
            return 0

        async def unblock(connection: aiosqlite.Connection) -> int:
            bypassed = await connection.execute_fetchall(queries.UNBLOCK_EXPIRED, (channel, now))
            return await _unblock_next(connection, bypassed)

        return await self._database.write(unblock)

    async def make_due(
        self,
        channel: str,
        attempted_before: float,
        now: float,
        *,
        in_order: bool = False,
        despite_retry_after: bool = False,
    ) -> int:
        parameters = (channel, attempted_before, now)

        async def update(connection: aiosqlite.Connection) -> int:
            if despite_retry_after:
                await connection.execute(queries.FORGET_RETRY_AFTER, (channel,))
            if in_order:
                await connection.execute(queries.TAKE_PLACES_AGAIN, (channel, now))
                await connection.execute(queries.RESET_HEADS, (channel,))
            return (await connection.execute(queries.MAKE_DUE, parameters)).rowcount

        return await self._database.write(update)

    async def retry_after_ends_at(self, channel: str, now: float) -> float | None:
        ((moment,),) = await self._database.read(queries.RETRY_AFTER_ENDS_AT, channel, now)
        return None if moment is None else float(moment)

    async def list_deliveries(
        self, state: DeliveryState | None, channel: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Delivery], str | None]:
        reader = DeliveryListReader(self._database.read, STATEMENTS, time.monotonic)
        page = await reader.page(DeliverySelection(state=state, channel=channel), limit, cursor)
        return page.deliveries, page.next_cursor

    async def delivery(self, delivery_id: int) -> tuple[Delivery, Sequence[Attempt]] | None:
        found = await self._database.read(queries.DELIVERY, delivery_id)
        if not found:
            return None
        attempts = await self._database.read(queries.ATTEMPTS, delivery_id)
        return rows.delivery(found[0]), [rows.attempt(row) for row in attempts]

    async def retry(self, delivery_id: int, now: float) -> Delivery | None:
        async def restart(connection: aiosqlite.Connection) -> Delivery | None:
            await connection.execute(queries.RETRY, (delivery_id, now))
            # It may have been the head of its queue.
            await _unblock_next(connection, [(delivery_id,)])
            found = list(await connection.execute_fetchall(queries.DELIVERY, (delivery_id,)))
            return rows.delivery(found[0]) if found else None

        return await self._database.write(restart)

    async def purge(self, channel: str, state: DeliveryState, before: float) -> int:
        parameters = (channel, state, before, _PURGE_BATCH)

        async def delete(connection: aiosqlite.Connection) -> int:
            count = (await connection.execute(queries.PURGE, parameters)).rowcount
            if state is DeliveryState.PENDING and count < _PURGE_BATCH:
                await connection.execute(queries.RESET_HEADS, (channel,))
            return count

        purged = 0
        while count := await self._database.write(delete):
            purged += count
        return purged

    async def oldest_pending(self, channel: str, size: int, before: float) -> OldestPending | None:
        found = await self._database.read(queries.OLDEST_PENDING, channel, size, before)
        return rows.oldest_pending(found[0]) if found else None

    async def fail_oldest(
        self,
        oldest: OldestPending,
        reason: str,
        event: Event | None = None,
        outages: Sequence[Outage] = (),
    ) -> int:
        parameters = (oldest.channel, oldest.last_event, _FAIL_BATCH, reason, oldest.last_at)

        async def announce(connection: aiosqlite.Connection) -> None:
            await store_outage(connection, event, None)
            for outage in outages:
                await store_outage(connection, None, outage)

        async def fail(connection: aiosqlite.Connection, *, first: bool) -> int:
            if first:
                await announce(connection)
            failed = await connection.execute_fetchall(queries.FAIL_OLDEST, parameters)
            return await _unblock_next(connection, failed)

        total = count = await self._database.write_reserved(partial(fail, first=True))
        while count == _FAIL_BATCH:
            count = await self._database.write_reserved(partial(fail, first=False))
            total += count
        return total

    async def replay(self, channel: str, selected: EventFilter, now: float) -> int:
        parameters = rows.selection_parameters(channel, selected, now)

        async def queue(connection: aiosqlite.Connection) -> int:
            queued = [
                *await connection.execute_fetchall(queries.REPLAY_STORED, parameters),
                *await connection.execute_fetchall(queries.REPLAY_PRUNED, parameters),
            ]
            await connection.execute(queries.RESET_HEADS, (channel,))
            return len(queued)

        return await self._database.write(queue)

    async def outbox(self) -> Sequence[OutboxDepth]:
        return [rows.outbox_depth(row) for row in await self._database.read(queries.OUTBOX_DEPTHS)]


async def _settle(
    connection: aiosqlite.Connection, results: Sequence[tuple[AttemptResult, float]]
) -> None:
    settled = rows.as_json([rows.settle_row(result, now) for result, now in results])
    await connection.execute(batch_queries.SETTLE, (settled,))
    attempts = rows.as_json([rows.attempt_row(result) for result, _ in results])
    await connection.execute(batch_queries.STORE_ATTEMPTS, (attempts,))
    ended = [(result.delivery_id,) for result, _ in results if _may_end(result)]
    if ended:
        await _unblock_next(connection, ended)


def _may_end(result: AttemptResult) -> bool:
    """Return whether a delivery may have ended or be bypassed by this result."""
    if result.state is not DeliveryState.PENDING or result.unblocks_at is None:
        return True
    return result.unblocks_at < result.attempted_at + _SAME_MOMENT


async def _unblock_next(connection: aiosqlite.Connection, ended: Iterable[rows.Row]) -> int:
    """Make the next delivery the head of each queue whose head ended; return how many ended."""
    ids = [row[0] for row in ended]
    await connection.execute(queries.UNBLOCK_NEXT, (rows.as_json(ids),))
    return len(ids)
