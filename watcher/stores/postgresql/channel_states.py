"""What is stored about channels in the PostgreSQL store."""

from collections.abc import Sequence

from watcher.core.channels import Suspension
from watcher.core.events import Event
from watcher.core.outage import Outage
from watcher.stores import _rows
from watcher.stores.postgresql import log_queries, rows
from watcher.stores.postgresql.database import StorePart
from watcher.stores.postgresql.event_log import store_outage
from watcher.stores.postgresql.schema import Connection
from watcher.stores.postgresql.signals import signal_channel


class PostgresqlChannelStates(StorePart):
    """Implements `watcher.core.interfaces.store.ChannelStates`."""

    async def suspensions(self) -> Sequence[Suspension]:
        return [_rows.suspension(row) for row in await self._database.read(log_queries.SUSPENSIONS)]

    async def suspend(
        self, suspension: Suspension, event: Event | None, outage: Outage | None
    ) -> bool:
        async def store(connection: Connection) -> bool:
            values = rows.cleaned(_rows.suspension_row(suspension))
            known = (suspension.channel, suspension.kind)
            # Of owners that see it at the same time, one announces it.
            announces = not self._database.local.in_fleet or not await connection.fetchval(
                log_queries.IS_SUSPENDED, *known
            )
            announced = event if announces else None
            await store_outage(self._database, connection, announced, outage)
            await connection.execute(log_queries.STORE_SUSPENSION, *values)
            await signal_channel(self._database, connection, suspension.channel)
            return announced is not None

        return await self._database.write(store)

    async def lift_suspension(self, channel: str) -> None:
        async def lift(connection: Connection) -> None:
            await connection.execute(log_queries.DELETE_SUSPENSION, channel)
            await signal_channel(self._database, connection, channel, attempt=True)

        await self._database.write(lift)

    async def target(self, channel: str) -> str | None:
        found = await self._database.read(log_queries.TARGET, channel)
        return str(found[0][0]) if found else None

    async def store_target(self, channel: str, digest: str) -> None:
        await self._database.update(log_queries.STORE_TARGET, channel, digest)

    async def read_note(self, channel: str, name: str) -> bytes | None:
        found = await self._database.read(log_queries.NOTE, channel, rows.clean(name))
        return found[0][0] if found else None

    async def write_note(self, channel: str, name: str, value: bytes, now: float) -> None:
        await self._database.update(log_queries.STORE_NOTE, channel, rows.clean(name), value, now)
