"""Opens connections to PostgreSQL that never wait for ever; explains its errors."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import anyio
import asyncpg

from watcher.core.errors import StoreError, StoreFailure, StoreFullError, StoreUnusableError
from watcher.stores.postgresql.hosts import Connector
from watcher.stores.postgresql.migrating import Schema
from watcher.stores.postgresql.pool import ConnectionPool
from watcher.stores.postgresql.schema import (
    Connection,
    Stored,
    UnservedError,
    read_stored,
)

_ENDED = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""Errors with which the server ends a connection."""
_LOST = (
    *_ENDED,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that ended while a statement was being sent
    OSError,
    TimeoutError,
)
"""Errors of the connection, not of a statement."""


class CommitLostError(Exception):
    """The connection failed during a commit, or a statement that is one: the server may have stored
    everything, or nothing.
    """


ERRORS = (asyncpg.PostgresError, *_LOST, CommitLostError, UnservedError)
"""What an operation on the database may raise."""

WRITING = 0x77747772
"""The advisory lock of writers ("wtwr"). As with SQLite one transaction writes at a time, so
that events become visible in the order of their numbers, and the end of a delivery and the arrival
of the next one of its queue never miss each other.
"""

OWNERSHIP = 0x77746F77
"""The advisory lock of claims ("wtow"), which wait for no writer."""

_COMMAND_TIMEOUT = 10.0
"""Seconds after which a statement has failed: a server that is silent must not delay others."""
_CONNECT_TIMEOUT = 5.0  # seconds
_POOL = 4
"""Connections: one writes, one reads for pages, the others read. All are open from the beginning:
what others leave of the server's connections then does not matter.
"""
_SETTINGS = {
    "statement_timeout": "10s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "5s",  # a paused replica holds up no other
    # Each row that a write needs is one search of an index. A plan that the server has made while a
    # table was small, or without statistics, would read all of it, once it is large.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # A table without an index, such as the counter of events, counts as so costly then that each
    # execution would be compiled, for half a second.
    "jit": "off",
}
"""Of each writing transaction. Poolers reject them as settings of a connection."""
_SET = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _SETTINGS.items())
_OPTIONS: Any = {
    "timeout": _CONNECT_TIMEOUT,
    "command_timeout": _COMMAND_TIMEOUT,
    "server_settings": {"application_name": "watcher"},
}
_ARRAYS = "SELECT $1::int2[], $2::int4[], $3::int8[], $4::float8[], $5::jsonb[], $6::bytea[]"
"""The types of arrays that the driver does not know, and statements use."""
_STATES: Any = (
    (asyncpg.ReadOnlySQLTransactionError, "{} is read-only"),
    (asyncpg.TooManyConnectionsError, "{} has no connection left"),
    (_LOST, "cannot reach {}"),
)
"""What kinds of errors mean, the first that fits."""
_REJECTED = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    # A parameter of the URL that the server does not know, cannot set, or not to this value.
    asyncpg.UndefinedObjectError,
    asyncpg.CantChangeRuntimeParamError,
    asyncpg.InvalidParameterValueError,
)
"""Errors with which a server rejects this program; waiting does not help."""
_OLDEST = 15
"""The oldest major version of PostgreSQL that is supported."""
_EXPECTED = "invalid store.url: expected one such as postgresql://user@host/database"

# An operation whose connection cannot be opened fails with a clear error. The driver's pool would
# log a traceback each time as well.
logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)


def server_of(url: str) -> str:
    """Return the host and the database of a URL, without anything secret.

    Raises `StoreUnusableError` if the URL names none.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise StoreUnusableError(_EXPECTED) from None
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise StoreUnusableError(_EXPECTED)
    hosts = parts.netloc.rpartition("@")[2]
    for host in hosts.split(","):
        _check_port(host)
    return f"postgresql://{hosts}{parts.path}"


def _check_port(host: str) -> None:
    try:
        _ = urlsplit(f"//{host}").port
    except ValueError:
        raise StoreUnusableError(
            f"invalid store.url: the port of {host!r} is not a number from 0 to 65535"
        ) from None


def store_error(error: Exception, server: str) -> StoreError:
    """Return `error` as what it means to the operator. `server` is what `server_of` returns."""
    if isinstance(error, CommitLostError) and isinstance(error.__cause__, Exception):
        return _explained(error.__cause__, server, ": it may have been stored")
    return _explained(error, server, ": nothing was stored")


def concerns_all(error: Exception) -> bool:
    """Return whether an error is of the connection or the server, whatever was executed."""
    unable = (
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.DiskFullError,
        asyncpg.TooManyConnectionsError,
    )
    return isinstance(error, (*_LOST, *unable, CommitLostError, UnservedError))


def opening_error(error: Exception, server: str) -> StoreError:
    """Return why a database cannot be opened: as unusable if waiting does not help."""
    if isinstance(error, _REJECTED):
        return StoreUnusableError(f"{server} rejects the connection: {error}")
    if isinstance(error, ValueError):  # as an invalid option of the URL is
        return StoreUnusableError(f"invalid store.url: {error}")
    return _explained(error, server, "")


def _explained(error: Exception, server: str, result: str) -> StoreError:
    text = _text(error)
    if isinstance(error, UnservedError):
        return StoreUnusableError(f"{server} has {text}")
    if isinstance(error, (asyncpg.DiskFullError, asyncpg.OutOfMemoryError)):
        return StoreFullError(f"{server} has no space left ({text}){result}")
    if isinstance(error, TimeoutError):
        failed = StoreError(f"{server} does not respond{result}")
        failed.failure = StoreFailure.NO_RESPONSE
        return failed
    for kinds, state in _STATES:
        if isinstance(error, kinds):
            return StoreError(f"{state.format(server)} ({text}){result}")
    return StoreError(f"{server}: {text}{result}")


def _text(error: Exception) -> str:
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return "no host accepts writes, or is as its target_session_attrs demands"
    if type(error) is asyncpg.InternalClientError:  # its subclasses say what they are
        return "the connection ended while a statement was being sent"
    return " ".join(str(error).split()) or type(error).__name__


async def open_connection(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one connection. Raises `ERRORS` and `ValueError`."""
    return await Connector(url)(**_OPTIONS)


async def close(opened: "ConnectionPool | asyncpg.Connection[asyncpg.Record]") -> None:
    """Close a connection or a pool, also one whose server is silent."""
    with anyio.move_on_after(_CONNECT_TIMEOUT, shield=True) as closing, suppress(*ERRORS):
        await opened.close()
    if closing.cancelled_caught:
        opened.terminate()


@asynccontextmanager
async def connect(url: str, server: str) -> AsyncIterator[ConnectionPool]:
    """Open a pool of connections.

    Raises `StoreUnusableError` if the database rejects this program, and `StoreError` while it
    cannot be reached.
    """
    connector: Any = Connector(url)  # it has a part of the driver's signature
    try:
        opened = await asyncpg.create_pool(
            url,
            min_size=_POOL,
            max_size=_POOL,
            max_inactive_connection_lifetime=0,
            init=_look_up_arrays,
            reset=_reset,
            connect=connector,
            **_OPTIONS,
        )
    except (*ERRORS, ValueError) as error:
        raise opening_error(error, server) from None
    pool = ConnectionPool(opened)
    try:
        try:
            async with pool.acquire() as connection:
                await _check_server(connection, server)
        except ERRORS as error:
            raise opening_error(error, server) from None
        yield pool
    finally:
        await close(pool)


async def bring_up(pool: ConnectionPool, server: str, schema: Schema) -> Stored:
    """Bring the schema up to date; return what the database has now. See `Schema.bring_up`."""
    try:
        async with reading(pool) as connection:
            return await schema.bring_up(connection)
    except ERRORS as error:
        raise opening_error(error, server) from None


async def _look_up_arrays(connection: "asyncpg.Connection[Any]") -> None:
    """Let the driver look up all types of arrays that statements use, and forget what it sets for
    that: a pooler would give the connection with it to others.
    """
    await connection.execute("BEGIN")
    await connection.prepare(_ARRAYS)
    await connection.execute("ROLLBACK")


async def _reset(connection: "asyncpg.Connection[Any]") -> None:
    """Make a connection ready for its next use. Outside transactions nothing is set, so the round
    trip of the driver's own reset is saved.
    """
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK")


async def _check_server(connection: Connection, server: str) -> None:
    """Raise `StoreUnusableError` if the server is too old, or its texts are no Unicode."""
    if (major := connection.get_server_version().major) < _OLDEST:
        raise StoreUnusableError(f"{server} is PostgreSQL {major}: the watcher needs {_OLDEST}")
    if (encoding := await connection.fetchval("SHOW server_encoding")) != "UTF8":
        raise StoreUnusableError(f"{server} has the encoding {encoding}: create it with UTF8")


@asynccontextmanager
async def writing(
    pool: ConnectionPool, known: int, *locks: int, limit: float | None = None
) -> AsyncIterator[Connection]:
    """Run what is within in one transaction, while no other one has one of these advisory locks;
    without any, while no other one writes. To begin or to commit fails after `limit` seconds.

    Raises `UnservedError` if the schema is not for programs of version `known` any more.
    """
    # Each statement has to see what was committed before the locks were taken.
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
    taken = ", ".join(f"pg_advisory_xact_lock({lock})" for lock in locks or (WRITING,))
    served = f"SELECT FROM watcher_schema WHERE serves <= {known}"
    async with pool.acquire(limit) as connection:
        begun = await _begin(pool, connection, f"{begin}; SELECT {_SET}, {taken}; {served}", limit)
        try:
            if begun == "SELECT 0":
                raise UnservedError(await read_stored(connection), known)
            yield connection
        except _LOST as error:
            # No rollback: a silent server would not answer it either.
            await _abandon(pool, connection, error)
            raise
        except BaseException:
            with anyio.CancelScope(shield=True):
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
            raise
        try:
            await connection.execute("COMMIT", timeout=limit)
        except _LOST as error:
            await _abandon(pool, connection, error)
            raise CommitLostError from error


@asynccontextmanager
async def updating(pool: ConnectionPool, limit: float | None = None) -> AsyncIterator[Connection]:
    """Run one statement within, which is a transaction of its own."""
    async with pool.acquire(limit) as connection:
        try:
            yield connection
        except _LOST as error:
            await _abandon(pool, connection, error)
            raise CommitLostError from error


async def _abandon(pool: ConnectionPool, connection: Connection, error: Exception) -> None:
    """Do not use a connection again. After a timeout the others are given up as well: they may be
    silent, too, and each would cost as much time.
    """
    with suppress(asyncpg.InterfaceError):  # the driver has dropped it if the server ended it
        connection.terminate()
    if isinstance(error, TimeoutError):
        await pool.expire_connections()


async def _begin(
    pool: ConnectionPool, connection: Connection, statements: str, limit: float | None
) -> str:
    """Execute statements; return the command tag of the last."""
    try:
        return await connection.execute(statements, timeout=limit)
    except _LOST as error:
        await _abandon(pool, connection, error)
        raise


@asynccontextmanager
async def reading(pool: ConnectionPool, limit: float | None = None) -> AsyncIterator[Connection]:
    """Run what is within on a connection, which is not used again if the server does not answer."""
    async with pool.acquire(limit) as connection:
        try:
            yield connection
        except _LOST as error:
            await _abandon(pool, connection, error)
            raise
