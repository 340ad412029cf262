"""What SQLite's errors mean."""

import sqlite3
from pathlib import Path

import pytest

from watcher.core.errors import StoreCorruptError, StoreError, StoreFullError
from watcher.stores.sqlite.connection import store_error


@pytest.mark.parametrize(
    ("name", "error_type", "text"),
    [
        ("SQLITE_CORRUPT", StoreCorruptError, "watcher.db is damaged"),
        ("SQLITE_CORRUPT_VTAB", StoreCorruptError, "watcher.db is damaged"),
        ("SQLITE_NOTADB", StoreCorruptError, "watcher.db is damaged"),
        ("SQLITE_FULL", StoreFullError, "free some space"),
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
