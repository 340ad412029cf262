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
from watcher.core.errors import StoreError, StoreFailure, StoreFullError
from watcher.stores._group_commit import GroupCommit, Result
from watcher.stores.sqlite.connection import (
    apply,
    closed,
    cut_log,
    limit_size,
    store_error,
    transaction,
)
from watcher.stores.sqlite.opened_files import OpenedFiles
from watcher.stores.sqlite.page_reader import PageReader
from watcher.stores.sqlite.rows import Row
from watcher.stores.sqlite.sizes import MIB, Sizes, Volume

_MIN_WANTED = 64 * 1024

Operation = Callable[[aiosqlite.Connection], Awaitable[Result]]
BatchOperation = Callable[[aiosqlite.Connection, Sequence[Any]], Awaitable[None]]
"""An operation on the items of several callers."""


class Database:
    """One open file. `on_error` is called for each operation that failed, `on_commit` with the
    seconds that each transaction took.

    Every method raises `StoreError`.
    """

    def __init__(
        self,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        path: Path,
        sizes: Sizes,
        volume: Volume,
        on_error: Callable[[], None],
        on_commit: Callable[[float], None],
        files: OpenedFiles,
        pages: PageReader,
    ) -> None:
        self.writer = writer
        self.pages = pages
        self.make_room: Callable[[int], Awaitable[None]] | None = None
        """Awaited with what a write needs, if it finds no room; the write is then tried again."""
        self.wanted = 0
        """The bytes of what could not be stored last; 0 once as much has been stored again."""
        self._files = files
        self._commits = GroupCommit(
            lambda: transaction(writer),
            errors=sqlite3.Error,
            failure=lambda error: store_error(error, path),
            unusable=self._unusable,
            committed=on_commit,
        )
        self._reader = reader
        self._path = path
        self._sizes = sizes
        self._volume = volume
        self._on_error = on_error
        self._room_lock = anyio.Lock()
        self._times_made = 0

    def check_files(self) -> None:
        """Raise `StoreMovedError` if the files are not those that were opened."""
        if (moved := self._files.look()) is not None:
            self._on_error()
            raise moved

    def log_size(self) -> tuple[int, int]:
        """Return the bytes of the write-ahead log, and those that are set apart for it."""
        self._files.moved()
        return self._files.sizes()[1], self._sizes.log

    def free_space(self) -> int | None:
        """Return the bytes that are left on the disk; None if it cannot be examined."""
        try:
            return self._volume.free()
        except OSError:
            return None

    async def follow_volume(self) -> None:
        """Raise a limit that is not configured as far as the volume allows now. It is not lowered:
        that would remove records for the sake of another program.
        """
        try:
            sizes = self._volume.sizes()
        except OSError:
            return
        if sizes.max_size > self._sizes.max_size:
            self._sizes = sizes
            await apply(self.writer, sizes)
            await limit_size(self._reader, sizes.writable)

    async def _unusable(self) -> StoreError | None:
        """Return why nothing may be written: no file to write to, or a log that cannot be cut."""
        if (moved := self._files.moved()) is not None:
            return moved
        database, log = self._files.sizes()
        if log <= self._sizes.log or database + log <= self._sizes.max_size:
            return None
        if await cut_log(self.writer):
            return None
        return StoreFullError(
            f"{self._path}-wal has {log // MIB} MiB and cannot be emptied while another program "
            "reads the store, such as a backup or sqlite3: nothing was stored; end that program",
            StoreFailure.MAX_SIZE,
        )

    async def read(self, query: str, *parameters: object) -> list[Row]:
        """Return all rows, as of the last commit."""
        try:
            return list(await self._reader.execute_fetchall(query, parameters))
        except sqlite3.Error as error:
            self._on_error()
            raise store_error(error, self._path) from None
        except ValueError:
            raise closed(self._path) from None

    async def write(self, operation: Operation[Result], needed: int = 0) -> Result:
        """Run `operation`, which stores `needed` bytes, in one transaction; see
        `GroupCommit.write`.
        """
        return await self._with_room(lambda: self._commits.write(operation), needed)

    async def write_batch(self, operation: BatchOperation, items: Sequence[Any]) -> None:
        """Run `operation` on `items` and those of other callers; see `GroupCommit.write_batch`."""
        await self._with_room(lambda: self._commits.write_batch(operation, items), 0)

    async def write_reserved(self, operation: Operation[Result]) -> Result:
        """Run `operation`, which makes room, in a transaction that may use the reserve."""

        async def reserved(connection: aiosqlite.Connection) -> Result:
            await limit_size(connection, self._sizes.database)
            try:
                return await operation(connection)
            finally:
                await limit_size(connection, self._sizes.writable)

        return await self._counted(lambda: self._commits.write(reserved))

    async def try_write(self, operation: Operation[Result]) -> Result:
        """Run `operation` in one transaction; make no room for it."""
        return await self._counted(lambda: self._commits.write(operation))

    async def _with_room(self, write: Callable[[], Awaitable[Result]], needed: int) -> Result:
        try:
            result = await self._tried_twice(write, needed)
        except StoreError:
            self.wanted = max(needed, _MIN_WANTED)
            raise
        if needed >= self.wanted:
            self.wanted = 0
        return result

    async def _tried_twice(self, write: Callable[[], Awaitable[Result]], needed: int) -> Result:
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
