"""The real SQLite on the event loop instead of in a thread, on a disk that is slow, full or broken
at times.

A commit that has returned is on disk. A kill ends the connection in the middle of whatever it does,
and SQLite drops the transaction that was not committed.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, cast

import aiosqlite

from watcher.stores.sqlite.numbered import NumberedConnection


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

    async def before(self, sql: str) -> None:
        """Wait as long as this statement takes. Raises what SQLite raises on a bad disk."""
        fault = self.fault()
        commit = sql == "COMMIT"
        if commit and fault is DiskFault.SLOW and self._random.random() < _STALLED_SHARE:
            await asyncio.sleep(self._random.uniform(0.0, _SLOWEST))
        elif commit:
            await asyncio.sleep(self._random.uniform(0.0005, 0.01))
        else:
            await asyncio.sleep(0)
        writes = not sql.startswith(("SELECT", "PRAGMA", "ROLLBACK", "WITH"))
        if writes and fault in _NAMES and self._random.random() < _FAILING_SHARE:
            error = sqlite3.OperationalError(f"the disk is {fault.value}")
            error.sqlite_errorname = _NAMES[fault]
            raise error


class InlineConnection:
    """What the store uses of `aiosqlite.Connection`; `killed` ends it like the process."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._raw = sqlite3.connect(
            path, isolation_level=None, factory=NumberedConnection, cached_statements=512
        )
        self._disk = disk
        self._dead = False

    @property
    def in_transaction(self) -> bool:
        return not self._dead and self._raw.in_transaction

    def killed(self) -> None:
        """Drop the transaction and answer nothing more."""
        self._dead = True
        self._raw.close()

    async def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        await self._wait(sql)
        result = self._raw.execute(sql, parameters)
        if sql == "COMMIT":
            self._disk.committed()
        return result

    async def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        await self._wait(sql)
        return self._raw.executemany(sql, parameters)

    async def executescript(self, sql: str) -> sqlite3.Cursor:
        await self._wait("BEGIN")
        return self._raw.executescript(sql)

    async def execute_fetchall(self, sql: str, parameters: Any = ()) -> list[Any]:
        await self._wait(sql)
        return self._raw.execute(sql, parameters).fetchall()

    async def close(self) -> None:
        if not self._dead:
            self.killed()

    async def _wait(self, sql: str) -> None:
        if not self._dead:
            await self._disk.before(sql.lstrip() if sql[0].isspace() else sql)
        if self._dead:
            raise sqlite3.OperationalError("the process was killed")


def as_connection(connection: InlineConnection) -> aiosqlite.Connection:
    return cast(aiosqlite.Connection, connection)
