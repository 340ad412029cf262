"""Opens the connections to a SQLite file so that writes are durable; explains SQLite's errors."""

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosqlite

from watcher.core.errors import StoreCorruptError, StoreError, StoreFullError, StoreUnusableError
from watcher.stores.sqlite.file import create_file
from watcher.stores.sqlite.numbered import NumberedConnection
from watcher.stores.sqlite.schema import migrate, pragma

_BUSY_SECONDS = 5.0
_SETTINGS = (
    "auto_vacuum = INCREMENTAL",  # has no effect once there is a table
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "temp_store = MEMORY",
    "cache_size = -8000",
    "journal_size_limit = 16777216",
)


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
        return StoreFullError(
            f"{path} is as large as store.max_size allows, or its disk is full:"
            " nothing was stored; free some space"
        )
    if name.startswith("SQLITE_READONLY"):
        return StoreError(f"{path} cannot be written ({error}): nothing was stored")
    if name.startswith("SQLITE_IOERR"):
        return StoreError(f"I/O error on the disk of {path} ({error}): nothing was stored")
    return StoreError(f"{path}: {error}: nothing was stored")


async def connect(path: Path, max_size: int, opener: Opener) -> aiosqlite.Connection:
    """Open the writing connection and bring the schema up to date.

    Raises `StoreUnusableError` if the file is not a watcher's, is damaged, or has a newer schema.
    """
    create_file(path)
    connection = await opener(path)
    try:
        for setting in _SETTINGS:
            await connection.execute(f"PRAGMA {setting}")
        await migrate(connection, path)  # before the limit: a full store can be migrated, too
        await limit_size(connection, max_size)
    except sqlite3.Error as error:
        await connection.close()
        raise StoreUnusableError(str(store_error(error, path))) from None
    except BaseException:
        await connection.close()
        raise
    return connection


async def connect_reader(path: Path, max_size: int, opener: Opener) -> aiosqlite.Connection:
    """Open a second, read-only connection, so that no read waits for a commit."""
    connection = await opener(path)
    await connection.execute("PRAGMA query_only = ON")
    await connection.execute("PRAGMA cache_size = -8000")
    await limit_size(connection, max_size)  # a limit of the connection, not of the file
    return connection


async def open_file(path: Path) -> aiosqlite.Connection:
    """Open a connection that works in a thread of its own."""
    return await aiosqlite.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, factory=NumberedConnection
    )


async def limit_size(connection: aiosqlite.Connection, max_size: int) -> None:
    """Make writes fail that would make the file larger than `max_size` bytes."""
    pages = max_size // await pragma(connection, "page_size")
    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages}")
