"""What the parts of the PostgreSQL store share: a pool of connections, of which one writes in group
commits while the others read.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import asyncpg

from watcher.core.clock import Clock
from watcher.core.errors import StoreError
from watcher.stores._group_commit import GroupCommit, Result
from watcher.stores.postgresql.connection import ERRORS, store_error, writing
from watcher.stores.postgresql.page_reader import PageReader
from watcher.stores.postgresql.schema import Connection, Pool

Row: TypeAlias = asyncpg.Record
Operation = Callable[[Connection], Awaitable[Result]]
BatchOperation = Callable[[Connection, Sequence[Any]], Awaitable[None]]
"""An operation on the items of several callers."""


class Database:
    """One database. `on_error` is called for each operation that failed, `on_commit` with the
    seconds that each transaction took; `unusable` returns why nothing may be written, if so.

    Every method raises `StoreError`.
    """

    def __init__(
        self,
        pool: Pool,
        server: str,
        on_error: Callable[[], None],
        on_commit: Callable[[float], None],
        unusable: Callable[[], Awaitable[StoreError | None]] | None = None,
    ) -> None:
        self.pool = pool
        self.server = server
        self.pages = PageReader(self.read)
        self._on_error = on_error
        self._commits: GroupCommit[Connection, Exception] = GroupCommit(
            lambda: writing(pool),
            errors=ERRORS,
            failure=self.failure,
            unusable=unusable or _usable,
            committed=on_commit,
        )

    def failure(self, error: Exception) -> StoreError:
        """Return `error` as what it means to the operator."""
        return store_error(error, self.server)

    async def read(self, query: str, *parameters: object) -> Sequence[Row]:
        """Return all rows, as of the last commit."""
        try:
            async with self.pool.acquire() as connection:
                return await connection.fetch(query, *parameters)
        except ERRORS as error:
            self._on_error()
            raise self.failure(error) from None

    async def update(self, statement: str, *parameters: object) -> Sequence[Row]:
        """Run one statement that may wait for no other transaction, beside what is being written;
        return its rows.
        """
        return await self.read(statement, *parameters)

    async def write(self, operation: Operation[Result]) -> Result:
        """Run `operation` in one transaction; see `GroupCommit.write`."""
        try:
            return await self._commits.write(operation)
        except StoreError:
            self._on_error()
            raise

    async def write_batch(self, operation: BatchOperation, items: Sequence[Any]) -> None:
        """Run `operation` on `items` and those of other callers; see `GroupCommit.write_batch`."""
        try:
            await self._commits.write_batch(operation, items)
        except StoreError:
            self._on_error()
            raise


async def _usable() -> StoreError | None:
    return None


class StorePart:
    """A part of the store: what one consumer uses of the database."""

    def __init__(self, database: Database, wall: Clock) -> None:
        self._database = database
        self._wall = wall


def affected(status: str) -> int:
    """Return how many rows a statement has written, from its command tag, such as `UPDATE 3`."""
    return int(status.rpartition(" ")[2])
