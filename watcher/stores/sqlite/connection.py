"""Opening a SQLite file so that it is ours alone, up to date and durable; and what SQLite's errors mean."""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import aiosqlite

from watcher.core.errors import StoreCorruptError, StoreError, StoreUnusableError

logger = logging.getLogger(__name__)

APPLICATION_ID = 0x77746368
"""Marks a file as a watcher's ("wtch"), so that somebody else's database is never migrated."""

_BUSY_SECONDS = 5.0
_NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "gpfs",
        "beegfs",
    }
)


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return what `error` means for whoever runs the daemon."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreCorruptError(
            f"{path} is damaged ({error}): stop, keep a copy of the file, and restore a backup"
        )
    if name.startswith("SQLITE_FULL"):
        return StoreError(
            f"{path} is as large as store.max_size allows, or its disk is full: nothing was stored; free some space"
        )
    if name.startswith("SQLITE_READONLY"):
        return StoreError(f"{path} cannot be written ({error}): nothing was stored")
    if name.startswith("SQLITE_IOERR"):
        return StoreError(f"the disk that holds {path} fails ({error}): nothing was stored")
    return StoreError(f"{path}: {error}: nothing was stored")


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the kernel's lock on `<path>.lock`, which dies with the process and is never removed.

    Raises `StoreUnusableError` where another process, or this one, holds it.
    """
    try:
        descriptor = os.open(
            path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise StoreUnusableError(f"{path} cannot be opened for writing: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreUnusableError(
            f"another watcher already uses {path}; stop it, or give this one its own"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make the folder that `path` is to be in, readable by its owner alone.

    Raises `StoreUnusableError` where it cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnusableError(
            f"the folder {path.parent} cannot be made: {error.strerror}"
        ) from None


def network_file_system(path: Path, mountinfo: str) -> str | None:
    """Return the kind of network file system that `path` is on, None where it is local.

    `mountinfo` is the text of Linux's /proc/self/mountinfo (proc_pid_mountinfo(5)).
    """
    best, kind = "", ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        columns = fields.split()
        if len(columns) < 5 or not rest:
            continue
        mount = columns[4].replace("\\040", " ")
        if len(mount) >= len(best) and path.is_relative_to(mount):
            best, kind = mount, rest.split()[0]
    if kind in _NETWORK_FILE_SYSTEMS or kind == "fuse.sshfs":
        return kind
    return None


def warn_of_network(path: Path) -> None:
    """Warn where the file is on a network file system: locks and durability are not to be trusted there."""
    try:
        kind = network_file_system(path.resolve(), Path("/proc/self/mountinfo").read_text())
    except OSError:
        return
    if kind is not None:
        logger.warning(
            "%s is on a network file system (%s); SQLite's locks may fail there, use a local disk",
            path,
            kind,
        )


async def connect(path: Path, max_size: int) -> aiosqlite.Connection:
    """Open the writing connection and bring the schema up to date.

    Raises `StoreUnusableError` where the file is no watcher's, is damaged, or is newer than this program.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = await aiosqlite.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        # Before the first table, or it has no effect.
        await connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            "cache_size = -8000",
            "journal_size_limit = 16777216",
        ):
            await connection.execute(f"PRAGMA {pragma}")
        await _limit_size(connection, max_size)
        await _migrate(connection, path)
    except sqlite3.Error as error:
        await connection.close()
        raise StoreUnusableError(str(store_error(error, path))) from None
    except BaseException:
        await connection.close()
        raise
    return connection


async def connect_reader(path: Path, max_size: int) -> aiosqlite.Connection:
    """Open a second connection, for reading alone, so that no read waits for a commit."""
    connection = await aiosqlite.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    await connection.execute("PRAGMA query_only = ON")
    await connection.execute("PRAGMA cache_size = -8000")
    await _limit_size(connection, max_size)  # each connection has its own idea of it
    return connection


async def _limit_size(connection: aiosqlite.Connection, max_size: int) -> None:
    pages = max_size // await _pragma(connection, "page_size")
    await connection.execute_fetchall(f"PRAGMA max_page_count = {pages}")


def migrations() -> list[str]:
    """Return the numbered migrations in order; the schema's version is how many were applied."""
    folder = resources.files("watcher.stores.sqlite") / "migrations"
    return [
        file.read_text()
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if ".sql" in file.name
    ]


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    steps = migrations()
    version = await _pragma(connection, "user_version")
    owner = await _pragma(connection, "application_id")
    tables = await connection.execute_fetchall("SELECT 1 FROM sqlite_schema LIMIT 1")
    if list(tables) and owner != APPLICATION_ID:
        raise StoreUnusableError(
            f"{path} is the database of another program; give the watcher its own file"
        )
    if version > len(steps):
        raise StoreUnusableError(
            f"{path} has schema version {version}, this program knows up to {len(steps)}: run a newer watcher"
        )
    for number, script in enumerate(steps[version:], version + 1):
        await connection.executescript(
            f"BEGIN IMMEDIATE; {script}"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
        )


async def _pragma(connection: aiosqlite.Connection, name: str) -> int:
    rows = list(await connection.execute_fetchall(f"PRAGMA {name}"))
    return int(rows[0][0])
