"""A process that needs the database for itself, such as one that copies it, holds a lock for as
long as its session lasts. No replica starts meanwhile, and none may run when it begins.
"""

from typing import TYPE_CHECKING

from watcher.core.errors import StoreError, StoreUnusableError
from watcher.stores.postgresql.connection import (
    ERRORS,
    close,
    open_connection,
    opening_error,
    store_error,
)

if TYPE_CHECKING:
    import asyncpg

    from watcher.stores.postgresql.schema import Pool

_LIVE = "SELECT count(*) FROM sessions WHERE expires_at > clock_timestamp()"
_ALONE = 0x7774616C
"""The advisory lock of the process that uses the database ("wtal")."""


async def require_no_exclusive_use(pool: "Pool", server: str) -> None:
    """Raise `StoreUnusableError` while another process has the database for itself."""
    try:
        async with pool.acquire() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock_shared($1)", _ALONE):
                raise _in_use(server)
    except ERRORS as error:
        raise store_error(error, server) from None


async def require_no_replicas(pool: "Pool", server: str) -> None:
    """Raise `StoreUnusableError` while replicas use the database."""
    try:
        live = await pool.fetchval(_LIVE)
    except ERRORS as error:
        raise store_error(error, server) from None
    if live:
        use = "1 watcher uses" if live == 1 else f"{live} watchers use"
        raise StoreUnusableError(f"{use} {server}; stop all of them first")


def _in_use(server: str) -> StoreUnusableError:
    return StoreUnusableError(f"another process has {server} for itself; wait until it ends")


class ExclusiveUse:
    """The lock, on a connection of its own. A restart of the server ends it; the next write takes
    it again.
    """

    def __init__(self, url: str, server: str) -> None:
        self._url = url
        self._server = server
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    @property
    def session(self) -> int | None:
        """The number of the session that holds the lock."""
        return None if self._connection is None else self._connection.get_server_pid()

    async def take(self) -> None:
        """Take the lock. Raises `StoreError`: as unusable if another process has it."""
        try:
            await self._take()
        except (*ERRORS, ValueError) as error:
            raise opening_error(error, self._server) from None

    async def lost(self) -> StoreError | None:
        """Return why the database cannot be written to, if another process may use it."""
        if self._connection is not None and not self._connection.is_closed():
            return None
        try:
            await self._take()
        except StoreError as error:
            return error
        except ERRORS as error:
            return store_error(error, self._server)
        return None

    async def release(self) -> None:
        """End the session, and with it the lock."""
        if self._connection is not None:
            await close(self._connection)

    async def _take(self) -> None:
        connection = await open_connection(self._url)
        try:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _ALONE):
                raise _in_use(self._server)
        except BaseException:
            await close(connection)
            raise
        self._connection = connection
