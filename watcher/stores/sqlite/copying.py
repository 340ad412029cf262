"""Carries a SQLite store to another one, or another one to a new SQLite file."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import anyio
import msgspec

from watcher.core.errors import StoreUnusableError
from watcher.core.interfaces.copying import Counters, Row
from watcher.stores import _tables
from watcher.stores._rows import listed
from watcher.stores.sqlite.backup import complete_file
from watcher.stores.sqlite.connection import open_file, store_error
from watcher.stores.sqlite.file import create_folder, exclusive_lock
from watcher.stores.sqlite.rows import as_json, names
from watcher.stores.sqlite.schema import migrate
from watcher.stores.sqlite.store import create, path_of

_decode_labels = msgspec.json.Decoder(dict[str, str]).decode
_BEFORE_TABLES = "auto_vacuum = INCREMENTAL", "journal_mode = OFF", "synchronous = OFF"
"""An incomplete file is never used, so a crash may damage it."""


class SqliteCopy:
    """Implements `core.interfaces.copying.Imported` on a connection to a file."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    async def counts(self) -> dict[str, int]:
        return {table: await self._number(f"SELECT count(*) FROM {table}") for table in _TABLES}

    async def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        columns = _tables.TABLES[table]
        try:
            async with self._connection.execute(f"SELECT {listed(columns)} FROM {table}") as cursor:
                while found := list(await cursor.fetchmany(_tables.rows_at_once(table))):
                    yield _tables.converted(found, columns, _EXPORT, _cleaned)
        except sqlite3.Error as error:
            raise store_error(error, self._path) from None

    async def insert(self, table: str, rows: Sequence[Row]) -> None:
        columns = _tables.TABLES[table]
        values = _tables.converted(rows, columns, _IMPORT)
        statement = f"INSERT INTO {table} ({listed(columns)}) VALUES ({listed('?' * len(columns))})"
        try:
            await self._connection.executemany(statement, values)
        except sqlite3.Error as error:
            raise store_error(error, self._path) from None

    async def counters(self) -> Counters:
        return Counters(
            *[
                await self._number(f"SELECT max(seq) FROM sqlite_sequence WHERE name = '{table}'")
                for table in _tables.NUMBERED
            ]
        )

    async def set_counters(self, counters: Counters) -> None:
        try:
            await self._connection.execute("DELETE FROM sqlite_sequence")
            await self._connection.executemany(
                "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
                [pair for pair in zip(_tables.NUMBERED, counters, strict=True) if pair[1]],
            )
        except sqlite3.Error as error:
            raise store_error(error, self._path) from None

    async def _number(self, query: str) -> int:
        try:
            ((number,),) = await self._connection.execute_fetchall(query)
        except sqlite3.Error as error:
            raise store_error(error, self._path) from None
        return int(number or 0)


@asynccontextmanager
async def exported(url: str) -> AsyncIterator[SqliteCopy]:
    """Open a stopped store, bring it up to date, and let it be read."""
    path = path_of(url)
    if not path.is_file():
        raise StoreUnusableError(f"{path} does not exist: there is no store to copy")
    async with create(url) as store:
        while await store.fill_in():
            pass
        connection = await open_file(path)
        try:
            await connection.execute("PRAGMA query_only = ON")
            yield SqliteCopy(connection, path)
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close()


@asynccontextmanager
async def imported(url: str) -> AsyncIterator[SqliteCopy]:
    """Let a new store be written, which gets its name once it is complete."""
    path = path_of(url)
    create_folder(path)
    if path.exists() or path.with_name(f"{path.name}-wal").exists():
        await _require_empty(url, path)
    with exclusive_lock(path), complete_file(path) as file:
        try:
            connection = await open_file(file)
        except sqlite3.Error as error:
            raise store_error(error, path) from None
        try:
            for setting in _BEFORE_TABLES:
                await connection.execute_fetchall(f"PRAGMA {setting}")
            await migrate(connection, path)
            await connection.execute("BEGIN")
            yield SqliteCopy(connection, path)
            await connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise store_error(error, path) from None
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close()


async def _require_empty(url: str, path: Path) -> None:
    async with create(url), aiosqlite.connect(path) as connection:
        counts = await SqliteCopy(connection, path).counts()
    if any(counts.values()):
        raise StoreUnusableError(f"{path} is not empty: name a new file")


def _cleaned(value: Any) -> Any:
    """Return a value without U+0000, which not every store can hold."""
    if type(value) is str and "\0" in value:
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value


def _labels(text: str) -> Any:
    return {_cleaned(name): _cleaned(value) for name, value in _decode_labels(text).items()}


_TABLES = tuple(_tables.TABLES)
_EXPORT: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_tables.FLAGS, bool),
    _tables.LABELS: _labels,
    _tables.CHANNELS: lambda text: [_cleaned(name) for name in names(text)],
}
_IMPORT: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_tables.FLAGS, int),
    _tables.LABELS: as_json,
    _tables.CHANNELS: as_json,
}
