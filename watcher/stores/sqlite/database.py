"""What the parts of the store share: a connection that writes in group commits and one that reads.

WAL lets them run at once.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiosqlite
import anyio

from watcher.core.clock import Clock
from watcher.core.errors import StoreError, StoreFullError
from watcher.stores.sqlite.connection import limit_size, store_error
from watcher.stores.sqlite.group_commit import BatchOperation, GroupCommit, Operation, Result
from watcher.stores.sqlite.opened_files import OpenedFiles
from watcher.stores.sqlite.rows import Row

_RESERVED_SHARE = 32
_MAX_RESERVE = 8 * 1024 * 1024


def writable_size(max_size: int) -> int:
    """Return the bytes that ordinary writes may fill. The rest is a reserve: the removal of records
    needs pages, too.
    """
    return max_size - min(max_size // _RESERVED_SHARE, _MAX_RESERVE)


class Database:
    """One open file of at most `max_size` bytes. `on_error` is called for each operation that
    failed.

    Every method raises `StoreError`.
    """

    def __init__(
        self,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        path: Path,
        max_size: int,
        on_error: Callable[[], None],
        files: OpenedFiles,
    ) -> None:
        self.writer = writer
        self.make_room: Callable[[int], Awaitable[None]] | None = None
        """Awaited with what a write needs, if it finds no room; the write is then tried again."""
        self.wanted = 0
        """The bytes of the events that could not be stored last; 0 once others were stored."""
        self._files = files
        self._commits = GroupCommit(writer, lambda error: store_error(error, path), files.moved)
        self._reader = reader
        self._path = path
        self._max_size = max_size
        self._on_error = on_error
        self._room_lock = anyio.Lock()
        self._times_made = 0

    def check_files(self) -> None:
        """Raise `StoreMovedError` if the files are not those that were opened."""
        if (moved := self._files.moved()) is not None:
            self._on_error()
            raise moved

    async def read(self, query: str, *parameters: object) -> list[Row]:
        """Return all rows, as of the last commit."""
        try:
            return list(await self._reader.execute_fetchall(query, parameters))
        except sqlite3.Error as error:
            self._on_error()
            raise store_error(error, self._path) from None

    async def write(self, operation: Operation[Result], needed: int = 0) -> Result:
        """Run `operation`, which stores events of `needed` bytes, in one transaction; see
        `GroupCommit.write`.
        """
        return await self._with_room(lambda: self._commits.write(operation), needed)

    async def write_batch(self, operation: BatchOperation, items: Sequence[Any]) -> None:
        """Run `operation` on `items` and those of other callers; see `GroupCommit.write_batch`."""
        await self._with_room(lambda: self._commits.write_batch(operation, items), 0)

    async def write_reserved(self, operation: Operation[Result]) -> Result:
        """Run `operation`, which makes room, in a transaction that may use the reserve."""

        async def reserved(connection: aiosqlite.Connection) -> Result:
            await limit_size(connection, self._max_size)
            try:
                return await operation(connection)
            finally:
                await limit_size(connection, writable_size(self._max_size))

        return await self._counted(lambda: self._commits.write(reserved))

    async def try_write(self, operation: Operation[Result]) -> Result:
        """Run `operation` in one transaction; make no room for it."""
        return await self._counted(lambda: self._commits.write(operation))

    async def _with_room(self, write: Callable[[], Awaitable[Result]], needed: int) -> Result:
        times_made = self._times_made
        try:
            return await write()
        except StoreFullError:
            if self.make_room is None:
                self._on_error()
                raise
        except StoreError:
            self._on_error()
            raise
        async with self._room_lock:
            if self._times_made == times_made:
                self._times_made += 1
                await self.make_room(needed)
        return await self._counted(write)

    async def _counted(self, write: Callable[[], Awaitable[Result]]) -> Result:
        try:
            return await write()
        except StoreError:
            self._on_error()
            raise


class StorePart:
    """A part of the store: what one consumer uses of the database."""

    def __init__(self, database: Database, wall: Clock) -> None:
        self._database = database
        self._wall = wall
