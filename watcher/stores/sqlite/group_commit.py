"""Group commit: whatever waits while one transaction is written goes into the next, so a durable write costs little."""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import aiosqlite
import anyio

from watcher.core.errors import StoreError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Operation = Callable[[aiosqlite.Connection], Awaitable[Result]]
Shared = Callable[[aiosqlite.Connection, Sequence[Any]], Awaitable[None]]
"""An operation on items that may be several callers' at once, since each of its statements is a thread's hop."""


class _Ticket:
    def __init__(
        self, operation: Operation[Any] | Shared, items: Sequence[Any] | None = None
    ) -> None:
        self.operation: Any = operation
        self.items = items
        self.settled = False
        self.result: Any = None
        self.error: StoreError | None = None


class GroupCommit:
    """Runs operations in transactions on the one writing connection.

    Tasks that share a connection share its transaction, so nobody else may use it. Whoever gets the lock first commits
    for all who wait; there is no task in the background that could die unseen.
    """

    def __init__(
        self, connection: aiosqlite.Connection, failure: Callable[[sqlite3.Error], StoreError]
    ) -> None:
        self._connection = connection
        self._failure = failure
        self._lock = anyio.Lock()
        self._waiting: list[_Ticket] = []

    async def write(self, operation: Operation[Result]) -> Result:
        """Run `operation` in a transaction and return its result once it is on disk.

        Raises `StoreError` where it could not be stored, and then nothing of it was. A caller that is cancelled before
        its turn has stored nothing; afterwards the transaction is finished all the same.
        """
        result: Result = await self._turn_of(_Ticket(operation))
        return result

    async def write_items(self, operation: Shared, items: Sequence[Any]) -> None:
        """Run `operation` on `items` together with those of whoever else waits for the same operation; see `write`."""
        await self._turn_of(_Ticket(operation, items))

    async def _turn_of(self, ticket: _Ticket) -> Any:
        self._waiting.append(ticket)
        try:
            async with self._lock:
                if not ticket.settled:
                    batch, self._waiting = self._waiting, []
                    # Cancelled inside, the connection would be left within a transaction and the next write fail.
                    with anyio.CancelScope(shield=True):
                        try:
                            await self._commit(batch)
                        finally:
                            self._waiting[:0] = [
                                one for one in batch if not one.settled and one is not ticket
                            ]
        except BaseException:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            raise
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    async def _commit(self, batch: list[_Ticket]) -> None:
        try:
            await self._transact(batch)
        except sqlite3.Error as error:
            if len(batch) == 1:
                batch[0].error = self._failure(error)
                batch[0].settled = True
                return
            # One of them is at fault, or the disk is: each alone tells.
            for ticket in batch:
                await self._commit([ticket])

    async def _transact(self, batch: list[_Ticket]) -> None:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
            shared: dict[Shared, list[Any]] = {}
            for ticket in batch:
                if ticket.items is None:
                    ticket.result = await ticket.operation(self._connection)
                else:
                    shared.setdefault(ticket.operation, []).extend(ticket.items)
            for operation, items in shared.items():
                await operation(self._connection, items)
            await self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                await self._connection.execute("ROLLBACK")
            raise
        for ticket in batch:
            ticket.settled = True
