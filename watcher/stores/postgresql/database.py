"""What the parts of the PostgreSQL store share: a pool of connections, of which one writes in group
commits while the others read.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import anyio
import asyncpg

from watcher.core.clock import Clock
from watcher.core.errors import NotOwnerError, StoreError, StoreFullError
from watcher.core.ownership import Grant
from watcher.core.sessions import LocalSession
from watcher.stores._group_commit import GroupCommit, Result
from watcher.stores.postgresql.connection import (
    ERRORS,
    bring_up,
    concerns_all,
    reading,
    store_error,
    updating,
    writing,
)
from watcher.stores.postgresql.due_floor import DueFloors
from watcher.stores.postgresql.fence import Fence
from watcher.stores.postgresql.hints import Hints
from watcher.stores.postgresql.migrating import Schema
from watcher.stores.postgresql.page_reader import PageReader
from watcher.stores.postgresql.pool import ConnectionPool
from watcher.stores.postgresql.schema import Connection, UnservedError, read_stored

Row: TypeAlias = asyncpg.Record
Operation = Callable[[Connection], Awaitable[Result]]
BatchOperation = Callable[[Connection, Sequence[Any]], Awaitable[None]]
"""An operation on the items of several callers."""


class Database:
    """One database, as the session `local` may use it. `on_error` is called for each operation that
    failed, `on_commit` with the seconds that each transaction took.

    Every method raises `StoreError`.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        server: str,
        schema: Schema,
        on_error: Callable[[], None],
        on_commit: Callable[[float], None],
        local: LocalSession,
    ) -> None:
        self.pool = pool
        self.server = server
        self.schema = schema
        self.local = local
        self.fence = Fence(local)
        self.hints = Hints(local)
        self.due_floors = DueFloors(time.monotonic)
        self.pages = PageReader(self.read)
        self.changes = 0
        """The number of transactions that have stored anything without a signal."""
        self.lacks_room = False
        """Whether the disk was full when something was written last that needs room."""
        self._on_error = on_error
        self._commits: GroupCommit[Connection, Exception] = GroupCommit(
            self._transaction,
            errors=ERRORS,
            failure=self.failure,
            of_all=concerns_all,
            unusable=_always_usable,
            committed=on_commit,
        )

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        self.fence.begin()
        self.hints.begin()
        try:
            async with writing(self.pool, self.schema.known) as connection:
                yield connection
        finally:
            self.due_floors.apply()
        if not self.hints.committed():
            self.changes += 1

    def failure(self, error: Exception) -> StoreError:
        """Return `error` as what it means to the operator."""
        explained = store_error(error, self.server)
        if isinstance(explained, StoreFullError):
            self.lacks_room = True
        return explained

    async def read(
        self, query: str, *parameters: object, limit: float | None = None
    ) -> Sequence[Row]:
        """Return all rows, as of the last commit; fail after `limit` seconds, or after the timeout
        of all statements.
        """
        try:
            async with reading(self.pool, limit) as connection:
                return await connection.fetch(query, *parameters, timeout=limit)
        except ERRORS as error:
            self._on_error()
            raise self.failure(error) from None

    async def update(
        self, statement: str, *parameters: object, limit: float | None = None
    ) -> Sequence[Row]:
        """Run one statement as a transaction of its own, beside the one that writes now, none of
        whose locks it may need; return its rows.
        """
        try:
            async with updating(self.pool, limit) as connection:
                return await connection.fetch(statement, *parameters, timeout=limit)
        except ERRORS as error:
            self._on_error()
            raise self.failure(error) from None

    async def transact(
        self, operation: Operation[None], *locks: int, limit: float | None = None
    ) -> None:
        """Run `operation` in a transaction of its own, while no other one has these locks."""
        with anyio.CancelScope(shield=True):
            try:
                async with writing(self.pool, self.schema.known, *locks, limit=limit) as connection:
                    await operation(connection)
            except ERRORS as error:
                self._on_error()
                raise self.failure(error) from None

    async def migrate(self) -> bool:
        """Apply what the schema lacks, as far as other replicas allow; return whether all is."""
        stored = await bring_up(self.pool, self.server, self.schema)
        return stored.version >= self.schema.known

    async def unserved(self) -> StoreError:
        """Return why the database cannot be used: a statement that requires a schema for this
        program found another one.
        """
        try:
            async with reading(self.pool) as connection:
                return self.failure(UnservedError(await read_stored(connection), self.schema.known))
        except ERRORS as error:
            return self.failure(error)

    async def write(self, operation: Operation[Result], grants: Sequence[Grant] = ()) -> Result:
        """Run `operation` in one transaction; see `GroupCommit.write`.

        Raises `NotOwnerError` if one of `grants` is not this replica's any more.
        """
        self.fence.expect(grants)

        async def fenced(connection: Connection) -> Result | NotOwnerError:
            foreign = await self.fence.foreign(connection, grants) if grants else None
            if foreign is not None:
                # Not raised here: others share the transaction.
                return NotOwnerError(foreign.group)
            return await operation(connection)

        try:
            result = await self._commits.write(fenced)
        except StoreError:
            self._on_error()
            raise
        if isinstance(result, NotOwnerError):
            raise result
        return result

    async def write_batch(self, operation: BatchOperation, items: Sequence[Any]) -> None:
        """Run `operation` on `items` and those of other callers; see `GroupCommit.write_batch`."""
        try:
            await self._commits.write_batch(operation, items)
        except StoreError:
            self._on_error()
            raise


async def _always_usable() -> StoreError | None:
    return None


class StorePart:
    """A part of the store: what one consumer uses of the database."""

    def __init__(self, database: Database, wall: Clock) -> None:
        self._database = database
        self._wall = wall


def affected(status: str) -> int:
    """Return how many rows a statement has written, from its command tag, such as `UPDATE 3`."""
    return int(status.rpartition(" ")[2])
