"""The connections of the SQLite store."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import aiosqlite

from watcher.stores.sqlite.numbered import NumberedConnection

Result = TypeVar("Result")

_BUSY_SECONDS = 5.0
_CHUNK = 64  # rows, where a cursor is iterated


class StoreConnection(aiosqlite.Connection):
    """A connection in a thread of its own. Transactions are explicit."""

    @classmethod
    async def open(cls, path: Path) -> Self:
        connect = partial(
            sqlite3.connect,
            path,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            factory=NumberedConnection,
        )
        connection = cls(connect, _CHUNK)
        await connection
        return connection

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in the thread of the connection.

        Statements from the event loop would each wait for a turn of the loop, twice: while the loop
        is busy, a transaction of six would take as long as twelve turns.
        """
        result: Result = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]
        return result
