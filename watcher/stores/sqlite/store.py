"""The store in one SQLite file, put together from one part for each consumer."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
import anyio

from watcher.core.clock import Clock, wall_clock
from watcher.core.errors import StoreUnusableError
from watcher.core.settings import StoreSettings
from watcher.stores.sqlite.channel_states import SqliteChannelStates
from watcher.stores.sqlite.connection import (
    Opener,
    connect,
    connect_reader,
    open_file,
    opening_error,
)
from watcher.stores.sqlite.database import Database
from watcher.stores.sqlite.discovery_log import SqliteDiscoveryLog
from watcher.stores.sqlite.event_log import SqliteEventLog
from watcher.stores.sqlite.file import (
    create_folder,
    exclusive_lock,
    file_error,
    warn_if_on_network,
)
from watcher.stores.sqlite.list_sizes import SqliteListSizes
from watcher.stores.sqlite.maintenance import SqliteMaintenance
from watcher.stores.sqlite.opened_files import OpenedFiles
from watcher.stores.sqlite.operation_log import SqliteOperationLog
from watcher.stores.sqlite.outbox import SqliteOutbox
from watcher.stores.sqlite.page_reader import PageReader
from watcher.stores.sqlite.reading import SqliteReading
from watcher.stores.sqlite.resending import SqliteResending
from watcher.stores.sqlite.sizes import Sizes, Volume, free_space
from watcher.stores.sqlite.summary import SqliteSummary
from watcher.stores.sqlite.watchlist import SqliteWatchlist


class SqliteStore(
    SqliteWatchlist,
    SqliteEventLog,
    SqliteOutbox,
    SqliteResending,
    SqliteChannelStates,
    SqliteListSizes,
    SqliteDiscoveryLog,
    SqliteOperationLog,
    SqliteMaintenance,
    SqliteSummary,
    SqliteReading,
):
    """Implements `watcher.core.interfaces.store.Store`."""


@asynccontextmanager
async def create(
    url: str,
    *,
    max_size: int | None = None,
    wall: Clock = wall_clock,
    failed: Callable[[], None] = lambda: None,
    committed: Callable[[float], None] = lambda seconds: None,
    opener: Opener = open_file,
    free: Callable[[Path], int] = free_space,
) -> AsyncIterator[SqliteStore]:
    """Open the store at `sqlite:////absolute/path` or `sqlite:///relative/path`; create the file
    if it does not exist.

    Database and log never take more than `max_size` bytes, but for the log of one transaction:
    writes fail before, as on a full disk. None is 4 GiB, or nine tenths of what the volume has for
    the store, whichever is smaller.
    `failed` is called for each operation that fails, `committed` with the seconds that each
    transaction took; `opener` opens all connections; `free` returns the bytes that are left on the
    volume of a folder.

    Raises `StoreUnusableError` where this process cannot use the store at all, and `StoreFullError`
    while its disk is full.
    """
    path = path_of(url)
    create_folder(path)
    with exclusive_lock(path):
        warn_if_on_network(path)
        volume = Volume(path, max_size, free)
        sizes = _checked_sizes(volume, path)
        async with (
            _writer(path, sizes, opener) as writer,
            _reader(path, sizes, opener) as reader,
        ):
            opened = OpenedFiles(files(url))
            async with _page_reader(path, sizes, opener, opened, failed) as pages:
                database = Database(
                    writer, reader, path, sizes, volume, failed, committed, opened, pages
                )
                yield SqliteStore(database, wall)


def _checked_sizes(volume: Volume, path: Path) -> Sizes:
    try:
        sizes = volume.sizes()
        volume.warn_if_smaller(sizes)
    except OSError as error:
        raise file_error(error, path, f"{path} cannot be opened: {error.strerror}") from None
    return sizes


@asynccontextmanager
async def _writer(path: Path, sizes: Sizes, opener: Opener) -> AsyncIterator[aiosqlite.Connection]:
    try:
        connection = await connect(path, sizes, opener)
    except OSError as error:
        raise file_error(error, path, f"{path} cannot be opened: {error.strerror}") from None
    try:
        yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()


@asynccontextmanager
async def _reader(path: Path, sizes: Sizes, opener: Opener) -> AsyncIterator[aiosqlite.Connection]:
    try:
        connection = await connect_reader(path, sizes, opener)
    except sqlite3.Error as error:
        raise opening_error(error, path) from None
    try:
        yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()


@asynccontextmanager
async def _page_reader(
    path: Path, sizes: Sizes, opener: Opener, files: OpenedFiles, failed: Callable[[], None]
) -> AsyncIterator[PageReader]:
    def check() -> None:
        if (moved := files.look()) is not None:
            raise moved

    reader = PageReader(lambda: connect_reader(path, sizes, opener), path, check, failed)
    try:
        yield reader
    finally:
        with anyio.CancelScope(shield=True):
            await reader.aclose()


def files(url: str) -> tuple[Path, ...]:
    """Return the files that the store at `url` consists of while it is open."""
    path = path_of(url)
    return tuple(path.with_name(path.name + end) for end in ("", "-wal", "-shm", ".lock"))


def shown(url: str) -> str:
    """Return how people see a store."""
    return url.removeprefix("sqlite:///")


def faults(settings: StoreSettings) -> Iterator[tuple[str, str]]:
    """Yield the key and the text of what is wrong with settings of this kind of store."""
    try:
        path_of(settings.url)
    except StoreUnusableError as error:
        yield "url", str(error)


def path_of(url: str) -> Path:
    """Return the file that a URL names. Raises `StoreUnusableError` if it names none."""
    name = url.removeprefix("sqlite:///")
    if name == url or name in ("", ":memory:") or name.endswith("/"):
        raise StoreUnusableError(
            f"invalid store.url {url!r}: it must name a file,"
            " such as sqlite:////var/lib/watcher/watcher.db"
        )
    return Path(name)
