"""Who may use the request budget of the list: polling comes first, and discovery gets a quarter.

While a request of polling waits for the budget, discovery sends one for every three of polling; and
otherwise whenever it wants. Its rules take turns.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType

import anyio

from watcher.core.wakeup import Wakeup
from watcher.net.exchange import Reply
from watcher.sources._calls import Call
from watcher.sources.mixpeek.connection import Connection

_POLLS_PER_TURN = 3


class ListShare:
    """Counts the requests of polling, and lets those of discovery wait for their turn."""

    def __init__(self) -> None:
        self._waiting = 0
        self._since_turn = _POLLS_PER_TURN
        self._changed = Wakeup()
        self._turns = anyio.Lock()

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Enter while a request of polling waits for the budget."""
        self._waiting += 1
        try:
            yield
            self._since_turn += 1
        finally:
            self._waiting -= 1
            self._changed.set()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn of a request of discovery, and hold it until the budget allows it."""
        async with self._turns:
            while self._waiting and self._since_turn < _POLLS_PER_TURN:
                generation = self._changed.generation
                await self._changed.wait(generation)
            self._since_turn = 0
            yield


class ReservedRequests:
    """Sends the requests of one fetch: the first uses the reservation made by `admit`.

    A context manager: an unused reservation is released on exit.
    """

    def __init__(self, connection: Connection, route: str, share: ListShare) -> None:
        self._connection = connection
        self._route = route
        self._share = share
        self._reserved = True

    def __enter__(self) -> "ReservedRequests":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._reserved:
            self._connection.withdraw(self._route)

    async def send(self, call: Call) -> Reply:
        if not self._reserved:
            with self._share.polling():
                await self._connection.admit(self._route)
        self._reserved = False
        return await self._connection.send(call)
