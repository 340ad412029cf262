"""Hints between replicas that something was stored, by LISTEN and NOTIFY.

NOTIFY takes a lock of the whole server at commit, so it is sent outside the transactions that it is
about, and once for all of them within `_JOINED`. The few statements that change who owns what
notify by themselves (`ownership_queries.py`), with the number of their session. Behind a pooler in
transaction mode no hint arrives; polling finds out the same.
"""

import logging
from collections.abc import Awaitable, Callable

import anyio

from watcher.core.sessions import LocalSession
from watcher.core.wakeup import Wakeup
from watcher.stores.postgresql.connection import ERRORS
from watcher.stores.postgresql.hosts import Connected
from watcher.stores.postgresql.ownership_queries import CHANNEL

logger = logging.getLogger(__name__)

_JOINED = 0.005
"""Seconds within which hints become one."""
_RECONNECT_AFTER = 0.5  # seconds

Connect = Callable[[], Awaitable[Connected]]


class Hints:
    """What the replica of the session `local` has to hint at, and its connection for hints."""

    def __init__(self, local: LocalSession) -> None:
        self._local = local
        self._wanted = False
        self._signalled = False
        self._due = Wakeup()

    def begin(self) -> None:
        """A transaction begins."""
        self._wanted = self._signalled = False

    def want(self, *, signal: bool = False) -> None:
        """The transaction that runs now stores what other replicas have to see at once, such as a
        signal.
        """
        self._wanted = True
        self._signalled = self._signalled or signal

    def committed(self) -> bool:
        """The transaction has ended; return whether it has stored a signal."""
        if self._wanted:
            self.give()
        return self._signalled

    def give(self) -> None:
        """Hint at what was stored."""
        self._due.set()

    async def follow(
        self, connect: Connect, hint: Callable[[], None], moved: Callable[[], None]
    ) -> None:
        """Call `hint` for each hint of another replica, and `moved` as well if it is about what
        that replica owns; send the hints of this one. Runs until cancelled.
        """
        while True:
            try:
                connection = await connect()
                try:
                    await self._listen(connection, hint, moved)
                finally:
                    connection.terminate()
            except ERRORS as error:
                logger.info("no hints of other replicas for a moment: %s", error)
            await anyio.sleep(_RECONNECT_AFTER)

    async def _listen(
        self, connection: Connected, hint: Callable[[], None], moved: Callable[[], None]
    ) -> None:
        """Listen and send until the connection is lost."""
        # Behind a pooler the driver knows another number.
        own = await connection.fetchval("SELECT pg_backend_pid()")

        def notified(_connection: object, process: int, _channel: str, payload: object) -> None:
            if process == own or payload == str(self._local.session):
                return
            hint()
            if payload:
                moved()

        connection.add_termination_listener(lambda _connection: self._due.set())
        await connection.add_listener(CHANNEL, notified)
        hint()  # for what was stored before
        sent = self._due.generation
        while not connection.is_closed():
            await self._due.wait(sent)
            sent = self._due.generation
            if not connection.is_closed():
                await connection.execute(f"NOTIFY {CHANNEL}")
                await anyio.sleep(_JOINED)
