"""The store in a PostgreSQL database, put together from one part for each consumer."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from watcher.core.clock import Clock, wall_clock
from watcher.stores.postgresql.connection import connect, server_of
from watcher.stores.postgresql.database import Database
from watcher.stores.postgresql.event_log import PostgresqlEventLog
from watcher.stores.postgresql.reading import PostgresqlReading
from watcher.stores.postgresql.request_budgets import PostgresqlRequestBudgets
from watcher.stores.postgresql.watchlist import PostgresqlWatchlist


class PostgresqlStore(
    PostgresqlWatchlist,
    PostgresqlEventLog,
    PostgresqlReading,
    PostgresqlRequestBudgets,
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
) -> AsyncIterator[PostgresqlStore]:
    """Open the store in the database at `postgresql://user@host/db`; create the tables if there are
    none.

    `max_size` has no effect: the database's server limits its disk. `failed` is called for each
    operation that fails, `committed` with the seconds that each transaction took. Raises
    `StoreUnusableError` where the database cannot be used at all, and `StoreError` while it cannot
    be reached.
    """
    server = server_of(url)
    async with connect(url, server) as pool:
        yield PostgresqlStore(Database(pool, server, failed, committed), wall)
