"""The real SQLite on the event loop instead of in a thread, on a disk that is slow, full or broken
at times.

A commit that has returned is on disk. A kill comes between transactions: SQLite drops one that was
not committed, so that one in the middle is the same as one before it.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, cast

from watcher.stores.sqlite.numbered import NumberedConnection
from watcher.stores.sqlite.store_connection import Result, StoreConnection


class DiskFault(Enum):
    """How a disk misbehaves."""

    SLOW = "slow"
    FULL = "full"
    BROKEN = "broken"


_NAMES = {DiskFault.FULL: "SQLITE_FULL", DiskFault.BROKEN: "SQLITE_IOERR_WRITE"}
_SLOWEST = 4.0
"""Seconds that a commit takes on a slow disk, at most."""
_FAILING_SHARE = 0.7
_STALLED_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskWindow:
    """A fault of the disk from `begins` to `ends`, in virtual seconds."""

    begins: float
    ends: float
    fault: DiskFault


class Disk:
    """The disk that all processes of a simulation use, one after another.

    `committed` is called after each commit of the writing connection.
    """

    def __init__(
        self, windows: Sequence[DiskWindow], random: Random, committed: Callable[[], None]
    ) -> None:
        self._windows = windows
        self._random = random
        self.committed = committed

    def fault(self) -> DiskFault | None:
        """Return what is wrong now."""
        now = asyncio.get_running_loop().time()
        for window in self._windows:
            if window.begins <= now < window.ends:
                return window.fault
        return None

    async def commit_time(self) -> None:
        """Wait as long as a transaction takes."""
        slow = self.fault() is DiskFault.SLOW and self._random.random() < _STALLED_SHARE
        longest = _SLOWEST if slow else 0.01
        await asyncio.sleep(self._random.uniform(0.0005, longest))

    def before(self, sql: str) -> None:
        """Raise what SQLite raises at a statement on a bad disk."""
        fault = self.fault()
        writes = not sql.lstrip().startswith(("SELECT", "PRAGMA", "ROLLBACK", "WITH"))
        if writes and fault in _NAMES and self._random.random() < _FAILING_SHARE:
            error = sqlite3.OperationalError(f"the disk is {fault.value}")
            error.sqlite_errorname = _NAMES[fault]
            raise error


class _FaultyConnection(NumberedConnection):
    """Fails as the disk does."""

    disk: Disk

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.disk.before(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        self.disk.before(sql)
        return super().executemany(sql, parameters)


class InlineConnection:
    """What the store uses of a `StoreConnection`; `killed` ends it like the process."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._raw = sqlite3.connect(
            path, isolation_level=None, factory=_FaultyConnection, cached_statements=512
        )
        self._raw.disk = disk
        self._disk = disk
        self._dead = False

    def killed(self) -> None:
        """Answer nothing more."""
        self._dead = True
        self._raw.close()

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """A kill comes before the transaction, or after it and before its caller knows."""
        await self._disk.commit_time()
        self._raise_if_killed()
        result = work(self._raw)
        self._disk.committed()
        await asyncio.sleep(0)
        self._raise_if_killed()
        return result

    async def execute_fetchall(self, sql: str, parameters: Any = ()) -> list[Any]:
        await asyncio.sleep(0)
        self._raise_if_killed()
        return self._raw.execute(sql, parameters).fetchall()

    async def close(self) -> None:
        if not self._dead:
            self.killed()

    def _raise_if_killed(self) -> None:
        if self._dead:
            raise sqlite3.OperationalError("the process was killed")


def as_connection(connection: InlineConnection) -> StoreConnection:
    return cast(StoreConnection, connection)
