"""Group commit: writes that arrive while a transaction is being committed share the next one, so
that a durable write costs little under load.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

import anyio

from watcher.core.errors import StoreError

Result = TypeVar("Result")
Connection = TypeVar("Connection")
Failure = TypeVar("Failure", bound=Exception)


class _PendingWrite:
    """A caller's write; `done` once it is committed or has failed."""

    def __init__(
        self, operation: Callable[..., Awaitable[Any]], items: Sequence[Any] | None = None
    ) -> None:
        self.operation = operation
        self.items = items
        self.done = False
        self.result: Any = None
        self.error: StoreError | None = None


class GroupCommit(Generic[Connection, Failure]):
    """Runs operations in transactions, one after the other.

    `transaction` begins one: it yields its connection, commits at the end, and rolls back after an
    error. `errors` are those of the database, of which `failure` makes a `StoreError`; `of_all`
    says whether one concerns every operation, not one of them. `unusable`
    returns why nothing may be written now, if so; no transaction runs meanwhile. `committed` is
    called with the seconds that each transaction took.

    The task that gets the lock commits for all that wait for it; there is no background task that
    could die unnoticed.
    """

    def __init__(
        self,
        transaction: Callable[[], AbstractAsyncContextManager[Connection]],
        *,
        errors: type[Failure] | tuple[type[Failure], ...],
        failure: Callable[[Failure], StoreError],
        of_all: Callable[[Failure], bool] = lambda error: False,
        unusable: Callable[[], Awaitable[StoreError | None]],
        committed: Callable[[float], None],
    ) -> None:
        self._transaction = transaction
        self._errors = errors
        self._failure = failure
        self._of_all = of_all
        self._unusable = unusable
        self._committed = committed
        self._lock = anyio.Lock()
        self._pending: list[_PendingWrite] = []

    async def write(self, operation: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Run `operation` in a transaction and return its result once it is on disk.

        Raises `StoreError` if it could not be stored, and then nothing of it was. If the caller is
        cancelled before the transaction begins, nothing is stored; after that, the transaction is
        completed all the same.
        """
        result: Result = await self._submit(_PendingWrite(operation))
        return result

    async def write_batch(
        self,
        operation: Callable[[Connection, Sequence[Any]], Awaitable[None]],
        items: Sequence[Any],
    ) -> None:
        """Run `operation` once on `items` and those of all callers that wait with the same
        operation, since each statement costs a round trip or a hop to a thread; see `write`.
        """
        await self._submit(_PendingWrite(operation, items))

    async def _submit(self, write: _PendingWrite) -> Any:
        self._pending.append(write)
        try:
            async with self._lock:
                if not write.done:
                    await self._commit_pending(write)
        except BaseException:
            if write in self._pending:
                self._pending.remove(write)
            raise
        if write.error is not None:
            raise write.error
        return write.result

    async def _commit_pending(self, own: _PendingWrite) -> None:
        batch, self._pending = self._pending, []
        # Cancelled inside, the connection would be left within a transaction: the next write fails.
        with anyio.CancelScope(shield=True):
            try:
                await self._commit(batch)
            finally:
                # After an unexpected error the other callers commit their own.
                self._pending[:0] = [
                    write for write in batch if not write.done and write is not own
                ]

    async def _commit(self, batch: list[_PendingWrite]) -> None:
        if (reason := await self._unusable()) is not None:
            for write in batch:
                write.error, write.done = reason, True
            return
        try:
            began = anyio.current_time()
            await self._transact(batch)
            self._committed(anyio.current_time() - began)
        except self._errors as error:
            if len(batch) == 1 or self._of_all(error):
                for write in batch:
                    write.error, write.done = self._failure(error), True
                return
            # Either one of them is at fault or the disk is: committed one by one, each gets its own
            # result.
            for write in batch:
                await self._commit([write])

    async def _transact(self, batch: list[_PendingWrite]) -> None:
        async with self._transaction() as connection:
            shared: dict[Callable[..., Awaitable[Any]], list[Any]] = {}
            for write in batch:
                if write.items is None:
                    write.result = await write.operation(connection)
                else:
                    shared.setdefault(write.operation, []).extend(write.items)
            for operation, items in shared.items():
                await operation(connection, items)
        for write in batch:
            write.done = True
