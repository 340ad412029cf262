"""What is stored about channels in the SQLite store."""

from collections.abc import Sequence

import aiosqlite

from watcher.core.channels import Suspension
from watcher.core.events import Event
from watcher.core.outage import Outage
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.database import StorePart
from watcher.stores.sqlite.event_log import store_events, store_outage


class SqliteChannelStates(StorePart):
    """Implements `watcher.core.interfaces.store.ChannelStates`."""

    async def suspensions(self) -> Sequence[Suspension]:
        return [rows.suspension(row) for row in await self._database.read(queries.SUSPENSIONS)]

    async def suspend(
        self, suspension: Suspension, event: Event | None, outage: Outage | None
    ) -> bool:
        async def store(connection: aiosqlite.Connection) -> bool:
            await store_outage(connection, event, outage)
            await connection.execute(queries.STORE_SUSPENSION, rows.suspension_row(suspension))
            return event is not None

        return await store_events(self._database, store, [] if event is None else [event])

    async def lift_suspension(self, channel: str) -> None:
        async def delete(connection: aiosqlite.Connection) -> None:
            await connection.execute(queries.DELETE_SUSPENSION, (channel,))

        await self._database.write(delete)

    async def target(self, channel: str) -> str | None:
        found = await self._database.read(queries.TARGET, channel)
        return str(found[0][0]) if found else None

    async def store_target(self, channel: str, digest: str) -> None:
        async def store(connection: aiosqlite.Connection) -> None:
            await connection.execute(queries.STORE_TARGET, (channel, digest))

        await self._database.write(store)

    async def read_note(self, channel: str, name: str) -> bytes | None:
        found = await self._database.read(queries.NOTE, channel, name)
        return found[0][0] if found else None

    async def write_note(self, channel: str, name: str, value: bytes, now: float) -> None:
        async def store(connection: aiosqlite.Connection) -> None:
            await connection.execute(queries.STORE_NOTE, (channel, name, value, now))

        await self._database.write(store)
