"""The store in a PostgreSQL database, put together from one part for each consumer."""

import shlex
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.resources.abc import Traversable
from pathlib import Path

from watcher.core.clock import Clock, FollowedClock, boot_clock, wall_clock
from watcher.core.errors import StoreUnusableError
from watcher.core.sessions import LocalSession
from watcher.core.settings import StoreSettings
from watcher.stores.postgresql.channel_states import PostgresqlChannelStates
from watcher.stores.postgresql.connection import (
    WRITING,
    bring_up,
    connect,
    open_connection,
    server_of,
)
from watcher.stores.postgresql.database import Database
from watcher.stores.postgresql.discovery_log import PostgresqlDiscoveryLog
from watcher.stores.postgresql.event_log import PostgresqlEventLog
from watcher.stores.postgresql.exclusive import require_no_exclusive_use
from watcher.stores.postgresql.list_sizes import PostgresqlListSizes
from watcher.stores.postgresql.maintenance import PostgresqlMaintenance
from watcher.stores.postgresql.migrating import Schema
from watcher.stores.postgresql.operation_log import PostgresqlOperationLog
from watcher.stores.postgresql.outbox import PostgresqlOutbox
from watcher.stores.postgresql.ownership import PostgresqlOwnership
from watcher.stores.postgresql.ownership_queries import NOW
from watcher.stores.postgresql.reading import PostgresqlReading
from watcher.stores.postgresql.request_budgets import PostgresqlRequestBudgets
from watcher.stores.postgresql.resending import PostgresqlResending
from watcher.stores.postgresql.schema import MIGRATIONS
from watcher.stores.postgresql.schema import migrations as read_migrations
from watcher.stores.postgresql.summary import PostgresqlSummary
from watcher.stores.postgresql.watchlist import PostgresqlWatchlist


class PostgresqlStore(
    PostgresqlWatchlist,
    PostgresqlEventLog,
    PostgresqlOutbox,
    PostgresqlResending,
    PostgresqlChannelStates,
    PostgresqlListSizes,
    PostgresqlDiscoveryLog,
    PostgresqlOperationLog,
    PostgresqlMaintenance,
    PostgresqlSummary,
    PostgresqlReading,
    PostgresqlRequestBudgets,
    PostgresqlOwnership,
):
    """Implements `watcher.core.interfaces.store.Store`."""


@asynccontextmanager
async def create(
    url: str,
    *,
    wall: Clock = wall_clock,
    failed: Callable[[], None] = lambda: None,
    committed: Callable[[float], None] = lambda seconds: None,
    boot: Clock = boot_clock,
    migrations: Traversable = MIGRATIONS,
) -> AsyncIterator[PostgresqlStore]:
    """Open the store in the database at `postgresql://user@host/db`; bring its schema up to date by
    `migrations`, as far as live replicas of older versions allow.

    `failed` is called for each operation that fails, `committed` with the seconds that each
    transaction took; sessions are trusted by the clock `boot`, and what is stored is dated by that
    of the database. Raises `StoreUnusableError` where the database cannot be used at all, and
    `StoreError` while it cannot be reached.
    """
    server = server_of(url)
    async with AsyncExitStack() as resources:
        pool = await resources.enter_async_context(connect(url, server))
        schema = Schema(read_migrations(migrations), server, WRITING)
        await require_no_exclusive_use(pool, server)
        await bring_up(pool, server, schema)
        local = LocalSession(boot)
        database = Database(pool, server, schema, failed, committed, local)
        clock, requested_at = FollowedClock(wall, boot), boot()
        ((now,),) = await database.read(NOW)
        clock.answered(now, requested_at)
        yield PostgresqlStore(database, clock, connect=partial(open_connection, url), boot=boot)


def faults(settings: StoreSettings) -> Iterator[tuple[str, str]]:
    """Yield the key and the text of what is wrong with settings of this kind of store."""
    try:
        server_of(settings.url)
    except StoreUnusableError as error:
        yield "url", str(error)
    if settings.max_size is not None:
        yield "max_size", "only a SQLite store has a limit of its own; remove it"


def backup(url: str, target: Path, progress: Callable[[int, int], None]) -> int:
    """Name the command that makes a copy. Raises `StoreUnusableError`."""
    command = f"pg_dump --format=custom --file={shlex.quote(str(target))} {server_of(url)}"
    raise StoreUnusableError(f"a PostgreSQL database is copied with its own tools: {command}")
