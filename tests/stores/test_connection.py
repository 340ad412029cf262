"""What SQLite's errors mean."""

import errno
import os
import sqlite3
from pathlib import Path

import aiosqlite
import pytest

from watcher.core.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreUnusableError,
)
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.connection import open_file, store_error
from watcher.stores.sqlite.file import file_error

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("name", "error_type", "text"),
    [
        ("SQLITE_CORRUPT", StoreCorruptError, "watcher.db is damaged"),
        ("SQLITE_CORRUPT_VTAB", StoreCorruptError, "watcher.db is damaged"),
        ("SQLITE_NOTADB", StoreCorruptError, "watcher.db is damaged"),
        ("SQLITE_FULL", StoreFullError, "store.max_size"),
        ("SQLITE_READONLY_DIRECTORY", StoreError, "cannot be written"),
        ("SQLITE_IOERR_FSYNC", StoreError, "I/O error on the disk"),
        ("SQLITE_BUSY", StoreError, "watcher.db: locked: nothing was stored"),
        (None, StoreError, "watcher.db: locked: nothing was stored"),
    ],
)
def test_an_error_is_explained(name: str | None, error_type: type[StoreError], text: str) -> None:
    cause = sqlite3.OperationalError("locked")
    if name is not None:
        cause.sqlite_errorname = name
    error = store_error(cause, Path("watcher.db"))
    assert type(error) is error_type
    assert text in str(error)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SQLITE_FULL", StoreFullError),
        ("SQLITE_IOERR_SHMSIZE", StoreFullError),
        ("SQLITE_IOERR_WRITE", StoreFullError),
        ("SQLITE_IOERR_READ", StoreUnusableError),
        ("SQLITE_CANTOPEN", StoreUnusableError),
        ("SQLITE_CORRUPT", StoreUnusableError),
    ],
)
@pytest.mark.parametrize("number", [1, 2])
async def test_a_full_disk_is_an_error_that_free_space_ends(
    tmp_path: Path, name: str, expected: type[Exception], number: int
) -> None:
    """… when the writing connection opens and when the reading one does."""
    opened = 0

    async def fail_at(path: Path) -> aiosqlite.Connection:
        nonlocal opened
        opened += 1
        if opened == number:
            error = sqlite3.OperationalError("made up")
            error.sqlite_errorname = name
            raise error
        return await open_file(path)

    with pytest.raises(expected) as caught:
        async with sqlite.create(f"sqlite:///{tmp_path}/watcher.db", opener=fail_at):
            pass
    assert type(caught.value) is expected
    async with sqlite.create(f"sqlite:///{tmp_path}/watcher.db") as store:
        await store.ping()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EACCES, StoreUnusableError),
        (errno.EROFS, StoreUnusableError),
    ],
)
def test_so_is_a_file_that_cannot_be_created(number: int, expected: type[Exception]) -> None:
    error = file_error(OSError(number, os.strerror(number)), Path("w.db"), "cannot be opened")
    assert type(error) is expected
