"""The outbox of the PostgreSQL store."""

import time
from collections.abc import Sequence
from functools import partial

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
from watcher.core.ownership import Grant, channel_group
from watcher.core.reading import DeliverySelection
from watcher.stores import _rows
from watcher.stores._delivery_lists import DeliveryListReader
from watcher.stores.postgresql import outbox_queries as queries
from watcher.stores.postgresql import rows
from watcher.stores.postgresql.database import StorePart, affected
from watcher.stores.postgresql.delivery_lists import STATEMENTS
from watcher.stores.postgresql.event_log import store_outage
from watcher.stores.postgresql.schema import Connection
from watcher.stores.postgresql.signals import signal_channel

_PURGE_BATCH = 1000
_FAIL_BATCH = 5000


class PostgresqlOutbox(StorePart):
    """Implements `watcher.core.interfaces.store.Outbox`."""

    async def due(self, channel: str, now: float, limit: int) -> Sequence[DueDelivery]:
        search = self._database.due_floors.of(channel)
        slots = self._slots(channel)
        begun = search.begin(slots)
        parameters = (channel, slots, now, limit, begun)
        found = await self._database.read(queries.DUE, *parameters)
        due = [_rows.due_delivery(row) for row in found]
        search.searched(begun, now, due)
        return due

    async def body(self, delivery_id: int) -> bytes | None:
        found = await self._database.read(queries.BODY, delivery_id)
        return found[0][0] if found else None

    async def next_due_at(self, channel: str, after: float) -> float | None:
        ((moment,),) = await self._database.read(
            queries.NEXT_DUE_AT, channel, self._slots(channel), after
        )
        return None if moment is None else float(moment)

    async def due_for_probe(self, channel: str, limit: int) -> Sequence[DueDelivery]:
        found = await self._database.read(
            queries.DUE_FOR_PROBE, channel, self._slots(channel), limit
        )
        return [_rows.due_delivery(row) for row in found]

    async def settle(self, results: Sequence[AttemptResult]) -> None:
        now = self._wall()
        await self._database.write_batch(self._settle, [(result, now) for result in results])

    async def unblock_expired(self, channel: str, now: float) -> int:
        # A read costs less than a transaction, and nearly always finds none.
        parameters = (channel, self._slots(channel), now)
        if not await self._database.read(queries.HAS_EXPIRED, *parameters):
            return 0

        async def unblock(connection: Connection) -> int:
            bypassed = await connection.fetch(queries.UNBLOCK_EXPIRED, *parameters)
            return await self._unblock_next(connection, [row[0] for row in bypassed])

        return await self._database.write(unblock, self._grants(channel))

    async def make_due(
        self,
        channel: str,
        attempted_before: float,
        now: float,
        *,
        in_order: bool = False,
        despite_retry_after: bool = False,
    ) -> int:
        owned = (channel, self._slots(channel))

        async def update(connection: Connection) -> int:
            self._database.due_floors.note(channel)
            if despite_retry_after:
                await connection.execute(queries.FORGET_RETRY_AFTER, *owned)
            if in_order:
                await connection.execute(queries.TAKE_PLACES_AGAIN, *owned, now)
                await connection.execute(queries.RESET_HEADS, channel)
            return affected(
                await connection.execute(queries.MAKE_DUE, *owned, attempted_before, now)
            )

        return await self._database.write(update, self._grants(channel))

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
        return _rows.delivery(found[0]), [_rows.attempt(row) for row in attempts]

    async def retry(self, delivery_id: int, now: float) -> Delivery | None:
        async def restart(connection: Connection) -> Delivery | None:
            await connection.execute(queries.RETRY, delivery_id, now)
            # It may have been the head of its queue.
            await self._unblock_next(connection, [delivery_id])
            found = await connection.fetchrow(queries.DELIVERY, delivery_id)
            if found is None:
                return None
            delivery = _rows.delivery(found)
            self._database.due_floors.note(delivery.channel)
            await signal_channel(self._database, connection, delivery.channel, attempt=True)
            return delivery

        return await self._database.write(restart)

    async def purge(self, channel: str, state: DeliveryState, before: float) -> int:
        parameters = (rows.clean(channel), state, before, _PURGE_BATCH)

        async def delete(connection: Connection) -> int:
            self._database.due_floors.note(channel)
            count = affected(await connection.execute(queries.PURGE, *parameters))
            if count < _PURGE_BATCH:
                if state is DeliveryState.PENDING:
                    await connection.execute(queries.RESET_HEADS, rows.clean(channel))
                await signal_channel(self._database, connection, channel)
            return count

        purged = 0
        while count := await self._database.write(delete):
            purged += count
        return purged

    async def oldest_pending(self, channel: str, size: int, before: float) -> OldestPending | None:
        found = await self._database.read(queries.OLDEST_PENDING, channel, size, before)
        return _rows.oldest_pending(found[0]) if found else None

    async def fail_oldest(
        self,
        oldest: OldestPending,
        reason: str,
        event: Event | None = None,
        outages: Sequence[Outage] = (),
    ) -> int:
        error = rows.clean(reason)
        parameters = (oldest.channel, oldest.last_event, _FAIL_BATCH, error, oldest.last_at)

        async def announce(connection: Connection) -> None:
            await store_outage(self._database, connection, event, None)
            for outage in outages:
                await store_outage(self._database, connection, None, outage)

        async def fail(connection: Connection, *, first: bool) -> int:
            if first:
                await announce(connection)
            failed = await connection.fetch(queries.FAIL_OLDEST, *parameters)
            return await self._unblock_next(connection, [row[0] for row in failed])

        total = count = await self._database.write(partial(fail, first=True))
        while count == _FAIL_BATCH:
            count = await self._database.write(partial(fail, first=False))
            total += count
        return total

    async def replay(self, channel: str, selected: EventFilter, now: float) -> int:
        parameters = rows.selection_parameters(channel, selected, now)

        async def queue(connection: Connection) -> int:
            self._database.due_floors.note(channel)
            stored = await connection.execute(queries.REPLAY_STORED, *parameters)
            pruned = await connection.execute(queries.REPLAY_PRUNED, *parameters)
            await connection.execute(queries.RESET_HEADS, parameters[0])
            await signal_channel(self._database, connection, channel)
            return affected(stored) + affected(pruned)

        return await self._database.write(queue)

    async def outbox(self) -> Sequence[OutboxDepth]:
        found = await self._database.read(queries.OUTBOX_DEPTHS)
        return [_rows.outbox_depth(row) for row in found]

    async def _settle(
        self, connection: Connection, results: Sequence[tuple[AttemptResult, float]]
    ) -> None:
        # Two callers may have attempted the same delivery: the last result counts.
        last = {result.delivery_id: rows.settled_row(result, now) for result, now in results}
        for result, _ in results:
            if result.next_attempt_at is not None:
                self._database.due_floors.note(None, result.next_attempt_at)
        if last:
            arrays = rows.arrays(last.values())
            session = self._database.fence.session
            ((kept, ended),) = await connection.fetch(queries.SETTLE, *arrays, session)
            if kept < len(last) and session is not None:
                unowned = await connection.fetchval(queries.UNOWNED, [*last], session)
                self._database.local.fenced += unowned
            if ended:
                await self._unblock_next(connection, ended)

    async def _unblock_next(self, connection: Connection, ended: Sequence[int]) -> int:
        """Make the next delivery the head of each queue whose head ended; return how many ended."""
        for channel, due_at in await connection.fetch(queries.UNBLOCK_NEXT, ended):
            self._database.due_floors.note(channel, due_at)
        return len(ended)

    def _slots(self, channel: str) -> list[int] | None:
        return self._database.fence.slots(channel_group(channel))

    def _grants(self, channel: str) -> Sequence[Grant]:
        return self._database.fence.grants(channel_group(channel))
