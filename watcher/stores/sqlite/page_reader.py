"""A third connection, for what people look at: it is opened when it is first used.

So a page waits behind no read of the API, nor the API behind a page, and a daemon that nothing but
programs use opens nothing.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosqlite
import anyio

from watcher.stores.sqlite.connection import closed, store_error
from watcher.stores.sqlite.rows import Row


class PageReader:
    """Reads with the connection that `open_reader` opens; `check` raises where it must not.

    `on_error` is called for each read that failed. Every method raises `StoreError`.
    """

    def __init__(
        self,
        open_reader: Callable[[], Awaitable[aiosqlite.Connection]],
        path: Path,
        check: Callable[[], None],
        on_error: Callable[[], None],
    ) -> None:
        self._open_reader = open_reader
        self._path = path
        self._check = check
        self._on_error = on_error
        self._lock = anyio.Lock()
        self._connection: aiosqlite.Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything was read so far."""
        return self._connection is not None

    async def read(self, query: str, *parameters: object) -> list[Row]:
        """Return all rows, as of the last commit."""
        try:
            connection = self._connection or await self._opened()
            return list(await connection.execute_fetchall(query, parameters))
        except sqlite3.Error as error:
            self._on_error()
            raise store_error(error, self._path) from None
        except ValueError:
            raise closed(self._path) from None

    async def aclose(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            await self._connection.close()

    async def _opened(self) -> aiosqlite.Connection:
        async with self._lock:
            if self._connection is not None:
                return self._connection
            self._check()  # SQLite would create a file in the place of one that was moved
            with anyio.CancelScope(shield=True):  # else its thread would be left running
                connection = self._connection = await self._open_reader()
            return connection
