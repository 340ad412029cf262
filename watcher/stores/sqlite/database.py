"""What the parts of the store share: a connection that writes in group commits and one that reads.

WAL lets them run at once.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiosqlite

from watcher.core.clock import Clock
from watcher.core.errors import StoreError
from watcher.stores.sqlite.connection import store_error
from watcher.stores.sqlite.group_commit import BatchOperation, GroupCommit, Operation, Result
from watcher.stores.sqlite.rows import Row


class Database:
    """One open file. `on_error` is called for each operation that failed.

    Every method raises `StoreError`.
    """

    def __init__(
        self,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        path: Path,
        on_error: Callable[[], None],
    ) -> None:
        self.writer = writer
        self._commits = GroupCommit(writer, self._failure)
        self._reader = reader
        self._path = path
        self._on_error = on_error

    async def read(self, query: str, *parameters: object) -> list[Row]:
        """Return all rows, as of the last commit."""
        try:
            return list(await self._reader.execute_fetchall(query, parameters))
        except sqlite3.Error as error:
            raise self._failure(error) from None

    async def write(self, operation: Operation[Result]) -> Result:
        """Run `operation` in one transaction; see `GroupCommit.write`."""
        return await self._commits.write(operation)

    async def write_batch(self, operation: BatchOperation, items: Sequence[Any]) -> None:
        """Run `operation` on `items` and those of other callers; see `GroupCommit.write_batch`."""
        await self._commits.write_batch(operation, items)

    def _failure(self, error: sqlite3.Error) -> StoreError:
        self._on_error()
        return store_error(error, self._path)


class StorePart:
    """A part of the store: what one consumer uses of the database."""

    def __init__(self, database: Database, wall: Clock) -> None:
        self._database = database
        self._wall = wall
