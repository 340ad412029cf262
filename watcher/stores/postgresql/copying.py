"""Carries the store of a PostgreSQL database to another one, or another one to such a database."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec

from watcher.core.errors import StoreUnusableError
from watcher.core.interfaces.copying import Counters, Row
from watcher.core.ownership import slot
from watcher.stores import _tables
from watcher.stores._rows import listed
from watcher.stores.postgresql.connection import (
    ERRORS,
    WRITING,
    close,
    connect,
    open_connection,
    opening_error,
    server_of,
    store_error,
)
from watcher.stores.postgresql.exclusive import use_exclusively
from watcher.stores.postgresql.migrating import Schema
from watcher.stores.postgresql.rows import as_json
from watcher.stores.postgresql.schema import Connection, migrations
from watcher.stores.postgresql.watch_queries import LAST_EVENT_ID

_SLOT_OF = {"watches": "task_id", "events": "order_key", "deliveries": "order_key"}
"""The column whose slot each row has."""
_EXPORT: dict[str, Callable[[Any], Any]] = {_tables.LABELS: msgspec.json.decode}
_IMPORT: dict[str, Callable[[Any], Any]] = {_tables.LABELS: as_json}
"""How the values of columns are converted; all others stay as they are."""
_PATIENT = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"


class PostgresqlCopy:
    """Implements `core.interfaces.copying.Imported` within a transaction."""

    def __init__(self, connection: Connection, server: str) -> None:
        self._connection = connection
        self._server = server

    async def counts(self) -> dict[str, int]:
        with self._explained():
            return {
                table: await self._connection.fetchval(f"SELECT count(*) FROM {table}")
                for table in _tables.TABLES
            }

    async def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        columns = _tables.TABLES[table]
        at_once = _tables.rows_at_once(table)
        with self._explained():
            query = f"SELECT {listed(columns)} FROM {table}"
            cursor = await self._connection.cursor(query)
            while found := await cursor.fetch(at_once):
                yield _tables.converted(found, columns, _EXPORT)

    async def insert(self, table: str, rows: Sequence[Row]) -> None:
        columns = [*_tables.TABLES[table]]
        values = _tables.converted(rows, columns, _IMPORT)
        if (hashed := _SLOT_OF.get(table)) is not None:
            place = columns.index(hashed)
            values = [[*row, slot(row[place])] for row in values]
            columns.append("slot")
        with self._explained():
            await self._connection.copy_records_to_table(table, records=values, columns=columns)

    async def counters(self) -> Counters:
        with self._explained():
            events = await self._connection.fetchval(LAST_EVENT_ID)
            return Counters(
                watches=await self._last("watches"),
                events=events,
                deliveries=await self._last("deliveries"),
            )

    async def set_counters(self, counters: Counters) -> None:
        with self._explained():
            await self._connection.execute("UPDATE event_counter SET last_id = $1", counters.events)
            for table in ("watches", "deliveries"):
                last = getattr(counters, table)
                await self._connection.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), $1, $2)",
                    max(last, 1),
                    last > 0,
                )

    async def _last(self, table: str) -> int:
        number = await self._connection.fetchval(
            f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {table}_id_seq"
        )
        return int(number)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ERRORS as error:
            raise store_error(error, self._server) from None


@asynccontextmanager
async def exported(url: str) -> AsyncIterator[PostgresqlCopy]:
    """Open a stopped store, bring it up to date, and let it be read."""
    server = server_of(url)
    await _require_store(url, server)
    async with _alone(url, server, "SHARE") as connection:
        yield PostgresqlCopy(connection, server)


@asynccontextmanager
async def imported(url: str) -> AsyncIterator[PostgresqlCopy]:
    """Let an empty store be written, in one transaction."""
    server = server_of(url)
    async with _alone(url, server, "ACCESS EXCLUSIVE") as connection:
        copy = PostgresqlCopy(connection, server)
        if any((await copy.counts()).values()):
            raise StoreUnusableError(f"{server} is not empty: name an empty database")
        yield copy


@asynccontextmanager
async def _alone(url: str, server: str, mode: str) -> AsyncIterator[Connection]:
    """Run what is within in one transaction while no watcher uses the database."""
    async with connect(url, server) as pool, pool.acquire() as connection:
        try:
            await _require_known(connection, server)
            transaction = connection.transaction()
            await transaction.start()
        except ERRORS as error:
            raise opening_error(error, server) from None
        try:
            try:
                await connection.execute(_PATIENT)
                await use_exclusively(connection, server)
                tables = listed(_tables.TABLES)
                await connection.execute(f"LOCK TABLE {tables} IN {mode} MODE")
            except ERRORS as error:
                raise opening_error(error, server) from None
            yield connection
        except BaseException:
            if not connection.is_closed():
                await transaction.rollback()
            raise
        try:
            await transaction.commit()
        except ERRORS as error:
            raise store_error(error, server) from None


async def _require_store(url: str, server: str) -> None:
    """Raise `StoreUnusableError` if the database has no tables of the watcher."""
    try:
        connection = await open_connection(url)
        try:
            found = await connection.fetchval("SELECT to_regclass('watcher_schema') IS NOT NULL")
        finally:
            await close(connection)
    except (*ERRORS, ValueError) as error:
        raise opening_error(error, server) from None
    if not found:
        raise StoreUnusableError(f"{server} has no tables: there is no store to copy")


async def _require_known(connection: Connection, server: str) -> None:
    """Bring the schema up to date. Raises `StoreUnusableError` if it is that of a newer program: a
    copy by this one would lack what it does not know.
    """
    schema = Schema(migrations(), server, WRITING)
    stored = await schema.bring_up(connection)
    if stored.version > schema.known:
        raise StoreUnusableError(
            f"{server} has schema version {stored.version}, this program knows up to"
            f" {schema.known}: copy it with the newer watcher that has used it"
        )
