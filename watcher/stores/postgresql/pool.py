"""A pool of connections that are given up once the network has lost what was sent on them.

A statement that got lost, or its answer, would be waited for until it has taken too long. But the
server knows whether it executes anything: a connection that is in use here, while the server waits
for a statement there, has lost something.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import anyio
import asyncpg

from watcher.stores.postgresql.hosts import ERRORS, Connected
from watcher.stores.postgresql.schema import Connection

_LOOK_INTERVAL = 1.0
_LOST_AFTER = 1.5
"""Seconds of use in which the server has waited for a statement: far more than a round trip."""
_LIMIT = 2.0
"""Seconds in which the server has to say for what its sessions wait."""
_WAITING = """
SELECT pid FROM pg_stat_activity
WHERE pid = ANY($1::text[]::int[]) AND usename = current_user AND datname = current_database()
AND wait_event = 'ClientRead' AND clock_timestamp() - state_change > make_interval(secs => $2)
"""
"""A session is "active" even while it waits, between the parts of a statement. Behind a pooler the
driver knows other numbers, so no row is found.
"""


class ConnectionPool:
    """The driver's pool, and which of its connections are in use since when."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._used: dict[Connection, float] = {}

    @asynccontextmanager
    async def acquire(self, limit: float | None = None) -> AsyncIterator[Connection]:
        """Use a connection within, which takes `limit` seconds at most to get. Raises the driver's
        errors.
        """
        async with self._pool.acquire(timeout=limit) as connection:
            self._used[connection] = anyio.current_time()
            try:
                yield connection
            finally:
                del self._used[connection]

    async def expire_connections(self) -> None:
        """Let none of the connections be used again."""
        await self._pool.expire_connections()

    async def close(self) -> None:
        await self._pool.close()

    def terminate(self) -> None:
        self._pool.terminate()

    async def watch(self, connect: Callable[[], Awaitable[Connected]]) -> None:
        """Give up connections that have lost something, until cancelled. `connect` opens one."""
        while True:
            await anyio.sleep(_LOOK_INTERVAL)
            if late := self._late():
                with suppress(*ERRORS):
                    await self._give_up_lost(late, await connect())

    def _late(self) -> Mapping[int, tuple[Connection, float]]:
        """Return by its number in the server what has been in use for long, and since when."""
        before = anyio.current_time() - _LOST_AFTER
        late = [(one, since) for one, since in self._used.items() if since < before]
        return {one.get_server_pid(): (one, since) for one, since in late if not one.is_closed()}

    async def _give_up_lost(
        self, late: Mapping[int, tuple[Connection, float]], looking: Connected
    ) -> None:
        try:
            numbers = [str(number) for number in late]
            found = await looking.fetch(_WAITING, numbers, _LOST_AFTER, timeout=_LIMIT)
        finally:
            looking.terminate()
        for (number,) in found:
            lost, since = late[number]
            if self._used.get(lost) == since:
                lost.terminate()
