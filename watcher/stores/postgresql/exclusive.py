"""One process at a time: it holds a lock of the database for as long as its session lasts."""

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

_ALONE = 0x7774616C
"""The advisory lock of the process that uses the database ("wtal")."""


class ExclusiveUse:
    """The lock, on a connection of its own. A restart of the server ends it; the next write takes
    it again.
    """

    def __init__(self, url: str, server: str) -> None:
        self._url = url
        self._server = server
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

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
                raise StoreUnusableError(
                    f"another watcher already uses {self._server};"
                    " stop it, or give this one a database of its own"
                )
        except BaseException:
            await close(connection)
            raise
        self._connection = connection
