"""Opens the connections to a SQLite file so that writes are durable; explains SQLite's errors."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from watcher.core.errors import (
    StoreCorruptError,
    StoreError,
    StoreFailure,
    StoreFullError,
    StoreUnusableError,
)
from watcher.stores.sqlite.file import create_file, disk_is_full, full_disk
from watcher.stores.sqlite.numbered import NumberedConnection
from watcher.stores.sqlite.schema import migrate, pragma
from watcher.stores.sqlite.sizes import Sizes

_BUSY_SECONDS = 5.0
_FULL = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE"})
"""Errors of a full disk: the second of its memory map, the third of a quota."""
_SETTINGS = (
    "auto_vacuum = INCREMENTAL",  # has no effect once there is a table
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "temp_store = MEMORY",
    "cache_size = -8000",
)


_LITTLE = 1024 * 1024
"""Bytes that are left on a disk which is full for what a daemon stores."""

Opener = Callable[[Path], Awaitable[aiosqlite.Connection]]
"""Opens a connection to a file, which exists. Transactions are explicit."""


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return `error` as what it means to the operator."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreCorruptError(
            f"{path} is damaged ({error}): stop, keep a copy of the file, and restore a backup"
        )
    if name.startswith("SQLITE_FULL"):
        if disk_is_full(path.parent, left=_LITTLE):
            return StoreFullError(full_disk(path, str(error)))
        return StoreFullError(
            f"{path} is as large as store.max_size allows: nothing was stored;"
            " raise it, or remove watches that are no longer needed",
            StoreFailure.MAX_SIZE,
        )
    if name.startswith("SQLITE_READONLY"):
        return StoreError(f"{path} cannot be written ({error}): nothing was stored")
    if name.startswith("SQLITE_IOERR"):
        return StoreError(f"I/O error on the disk of {path} ({error}): nothing was stored")
    return StoreError(f"{path}: {error}: nothing was stored")


def closed(path: Path) -> StoreError:
    """Return the error of a connection that was closed, for which the driver has a `ValueError`."""
    return StoreError(f"{path} is closed: the daemon stops")


def opening_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return why a store cannot be opened: `StoreFullError` if it may be once there is space."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name in _FULL or (name == "SQLITE_CANTOPEN" and disk_is_full(path.parent)):
        return StoreFullError(full_disk(path, str(error)))
    return StoreUnusableError(str(store_error(error, path)))


async def connect(path: Path, sizes: Sizes, opener: Opener) -> aiosqlite.Connection:
    """Open the writing connection and bring the schema up to date.

    Raises `StoreUnusableError` if the file is not a watcher's, is damaged, or has a newer schema,
    and `StoreFullError` if its disk is full.
    """
    create_file(path)
    try:
        connection = await opener(path)
    except sqlite3.Error as error:
        raise opening_error(error, path) from None
    try:
        for setting in _SETTINGS:
            await connection.execute(f"PRAGMA {setting}")
        await migrate(connection, path)  # before the limit: a full store can be migrated, too
        await apply(connection, sizes)
    except sqlite3.Error as error:
        await connection.close()
        raise opening_error(error, path) from None
    except BaseException:
        await connection.close()
        raise
    return connection


async def connect_reader(path: Path, sizes: Sizes, opener: Opener) -> aiosqlite.Connection:
    """Open a second, read-only connection, so that no read waits for a commit."""
    connection = await opener(path)
    await connection.execute("PRAGMA query_only = ON")
    await connection.execute("PRAGMA cache_size = -8000")
    await limit_size(connection, sizes.writable)  # a limit of the connection, not of the file
    return connection


async def open_file(path: Path) -> aiosqlite.Connection:
    """Open a connection that works in a thread of its own."""
    return await aiosqlite.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, factory=NumberedConnection
    )


@asynccontextmanager
async def transaction(connection: aiosqlite.Connection) -> AsyncIterator[aiosqlite.Connection]:
    """Run what is within in one transaction. Tasks that share a connection would share it."""
    try:
        await connection.execute("BEGIN IMMEDIATE")
        yield connection
        await connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            await connection.execute("ROLLBACK")
        raise


async def apply(connection: aiosqlite.Connection, sizes: Sizes) -> None:
    """Limit what the writing connection may take of the disk."""
    await connection.execute_fetchall(f"PRAGMA journal_size_limit = {sizes.kept_log}")
    await connection.execute_fetchall(f"PRAGMA wal_autocheckpoint = {sizes.checkpoint}")
    await limit_size(connection, sizes.writable)


async def limit_size(connection: aiosqlite.Connection, size: int) -> None:
    """Make writes fail that would make the database larger than `size` bytes."""
    pages = size // await pragma(connection, "page_size")
    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages}")


async def cut_log(connection: aiosqlite.Connection) -> bool:
    """Empty the write-ahead log at once; return whether no reader has prevented it."""
    await connection.execute_fetchall("PRAGMA busy_timeout = 0")
    try:
        rows = await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        return False
    finally:
        await connection.execute_fetchall(f"PRAGMA busy_timeout = {int(1000 * _BUSY_SECONDS)}")
    return all(row[0] == 0 for row in rows)
