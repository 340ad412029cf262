"""A server that goes away, is silent, or rejects writes: what callers get, and how soon."""

import anyio
import anyio.lowlevel
import asyncpg
import pytest

from tests.support.postgresql import Server, database_of
from tests.support.records import request
from watcher.core.errors import StoreError, StoreFailure
from watcher.stores.postgresql.connection import CommitLostError, concerns_all, store_error
from watcher.stores.postgresql.schema import Connection
from watcher.stores.postgresql.store import PostgresqlStore

pytestmark = pytest.mark.anyio


END_OTHERS = """
SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def test_every_waiting_write_fails_with_the_connection_and_the_next_one_succeeds(
    store: PostgresqlStore, url: str, postgresql_server: Server
) -> None:
    blocked = await postgresql_server.admin(url)
    await blocked.execute("BEGIN; LOCK TABLE watches")
    errors = list[StoreError]()

    async def add(number: int) -> None:
        try:
            await store.add([request(f"task_{number}")], 1000.0)
        except StoreError as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(add, number)
        while not await blocked.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await anyio.lowlevel.checkpoint()
        await blocked.execute(END_OTHERS)
        await blocked.execute("ROLLBACK")
    await blocked.close()

    assert errors
    assert all("cannot reach" in str(error) for error in errors)
    assert (await store.add([request("task_0")], 1000.0)).watches[0].key.task_id == "task_0"
    await store.ping()


async def test_a_read_only_server_is_named_and_readiness_fails(
    store: PostgresqlStore, url: str, postgresql_server: Server
) -> None:
    admin = await postgresql_server.admin(url)
    await admin.execute(f"ALTER DATABASE {database_of(url)} SET default_transaction_read_only = on")
    await admin.execute(END_OTHERS)
    try:
        with pytest.raises(StoreError):
            await store.ping()  # may meet the old connection
        with pytest.raises(StoreError, match="is read-only"):
            await store.ping()
        with pytest.raises(StoreError, match="is read-only"):
            await store.add([request()], 1000.0)
        assert await store.find("task_1") == []
    finally:
        await admin.close()


async def test_what_a_lost_commit_has_done_is_not_claimed(
    store: PostgresqlStore, url: str, postgresql_server: Server
) -> None:
    admin = await postgresql_server.admin(url)
    await admin.execute("BEGIN; LOCK TABLE readiness_probe")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_ping_is_lost, store)
        while not await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await anyio.lowlevel.checkpoint()
        await admin.execute(END_OTHERS)
    await admin.close()
    await store.ping()

    assert concerns_all(CommitLostError())
    assert concerns_all(TimeoutError())
    assert not concerns_all(asyncpg.UniqueViolationError(""))


async def _ping_is_lost(store: PostgresqlStore) -> None:
    with pytest.raises(StoreError, match=r"cannot reach .*: it may have been stored"):
        await store.ping()


def test_a_silent_server_is_one_that_does_not_respond() -> None:
    error = store_error(TimeoutError(), "postgresql://db/watcher")
    assert error.failure is StoreFailure.NO_RESPONSE
    assert "does not respond" in str(error)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (asyncpg.InternalClientError("got result for unknown protocol state"), "was being sent"),
        (asyncpg.ProtocolError("unexpected message"), "unexpected message"),
        (asyncpg.OutdatedSchemaCacheError("cached plan is invalid"), "cached plan is invalid"),
        (asyncpg.TargetServerAttributeNotMatched("none matches"), "no host accepts writes"),
    ],
)
def test_errors_of_the_driver_itself_say_what_they_are(error: Exception, text: str) -> None:
    assert text in str(store_error(error, "postgresql://db/watcher"))


async def test_limits_belong_to_the_transaction_because_poolers_reject_others(
    store: PostgresqlStore,
) -> None:
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    async def shown(connection: Connection) -> list[str]:
        return [await connection.fetchval(f"SHOW {limit}") for limit in limits]

    assert await store._database.write(shown) == ["10s", "5s", "5s"]
    async with store._database.pool.acquire() as connection:
        assert await shown(connection) == ["0", "0", "0"]
        assert await connection.fetchval("SHOW application_name") == "watcher"
