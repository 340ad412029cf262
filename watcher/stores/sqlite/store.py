"""The store in one SQLite file, put together from one part for each consumer."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
import anyio

from watcher.core.clock import Clock, wall_clock
from watcher.core.errors import StoreUnusableError
from watcher.core.settings import MAX_SIZE
from watcher.stores.sqlite.channel_states import SqliteChannelStates
from watcher.stores.sqlite.connection import (
    Opener,
    connect,
    connect_reader,
    open_file,
    store_error,
)
from watcher.stores.sqlite.database import Database, writable_size
from watcher.stores.sqlite.discovery_log import SqliteDiscoveryLog
from watcher.stores.sqlite.event_log import SqliteEventLog
from watcher.stores.sqlite.file import create_folder, exclusive_lock, warn_if_on_network
from watcher.stores.sqlite.maintenance import SqliteMaintenance
from watcher.stores.sqlite.opened_files import OpenedFiles
from watcher.stores.sqlite.operation_log import SqliteOperationLog
from watcher.stores.sqlite.outbox import SqliteOutbox
from watcher.stores.sqlite.summary import SqliteSummary
from watcher.stores.sqlite.watchlist import SqliteWatchlist


class SqliteStore(
    SqliteWatchlist,
    SqliteEventLog,
    SqliteOutbox,
    SqliteChannelStates,
    SqliteDiscoveryLog,
    SqliteOperationLog,
    SqliteMaintenance,
    SqliteSummary,
):
    """Implements `watcher.core.interfaces.store.Store`."""


@asynccontextmanager
async def create(
    url: str,
    *,
    max_size: int = MAX_SIZE,
    wall: Clock = wall_clock,
    failed: Callable[[], None] = lambda: None,
    opener: Opener = open_file,
) -> AsyncIterator[SqliteStore]:
    """Open the store at `sqlite:////absolute/path` or `sqlite:///relative/path`; create the file
    if it does not exist.

    The file never becomes larger than `max_size` bytes: writes fail before, as on a full disk.
    `failed` is called for each operation that fails; `opener` opens both connections. Raises
    `StoreUnusableError` where this process cannot use the store at all.
    """
    path = path_of(url)
    create_folder(path)
    with exclusive_lock(path):
        warn_if_on_network(path)
        async with (
            _writer(path, writable_size(max_size), opener) as writer,
            _reader(path, writable_size(max_size), opener) as reader,
        ):
            opened = OpenedFiles(files(url))
            yield SqliteStore(Database(writer, reader, path, max_size, failed, opened), wall)


@asynccontextmanager
async def _writer(path: Path, max_size: int, opener: Opener) -> AsyncIterator[aiosqlite.Connection]:
    try:
        connection = await connect(path, max_size, opener)
    except OSError as error:
        raise StoreUnusableError(f"{path} cannot be opened: {error.strerror}") from None
    try:
        yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()


@asynccontextmanager
async def _reader(path: Path, max_size: int, opener: Opener) -> AsyncIterator[aiosqlite.Connection]:
    try:
        connection = await connect_reader(path, max_size, opener)
    except sqlite3.Error as error:
        raise StoreUnusableError(str(store_error(error, path))) from None
    try:
        yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()


def files(url: str) -> tuple[Path, ...]:
    """Return the files that the store at `url` consists of while it is open."""
    path = path_of(url)
    return tuple(path.with_name(path.name + end) for end in ("", "-wal", "-shm", ".lock"))


def path_of(url: str) -> Path:
    """Return the file that a URL names. Raises `StoreUnusableError` if it names none."""
    name = url.removeprefix("sqlite:///")
    if name == url or name in ("", ":memory:") or name.endswith("/"):
        raise StoreUnusableError(
            f"invalid store.url {url!r}: it must name a file,"
            " such as sqlite:////var/lib/watcher/watcher.db"
        )
    return Path(name)
