"""A server that falls silent: packets vanish, and no connection ends for it."""

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from tests.support.postgresql import Server, database_of
from tests.support.records import request, step
from tests.support.relay import REQUESTS, RESPONSES, Relay, relay_to
from watcher.core.errors import StoreError, StoreFailure
from watcher.stores import postgresql
from watcher.stores.postgresql import connection, pool
from watcher.stores.postgresql.store import PostgresqlStore

pytestmark = pytest.mark.anyio

DIRECTIONS = [(REQUESTS,), (RESPONSES,), (REQUESTS, RESPONSES)]
SHORT = 1.2
"""Seconds instead of ten."""
SHORT_LIMITS = "set_config('idle_in_transaction_session_timeout', '500ms', true)"


@pytest.fixture
async def relay(postgresql_server: Server) -> AsyncIterator[Relay]:
    async with relay_to(postgresql_server) as opened:
        yield opened


@pytest.fixture
async def store(
    postgresql_server: Server, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresqlStore]:
    monkeypatch.setitem(connection._OPTIONS, "command_timeout", SHORT)
    monkeypatch.setattr(connection, "_CONNECT_TIMEOUT", SHORT)
    monkeypatch.setattr(connection, "_SET", SHORT_LIMITS)
    url = await postgresql_server.new_store()
    async with postgresql.create(relay.url(database_of(url))) as opened:
        yield opened


async def open_all_connections(store: PostgresqlStore) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(connection._POOL):
            tasks.start_soon(store._database.read, "SELECT pg_sleep(0.1)")


@pytest.mark.parametrize("lost", DIRECTIONS)
async def test_silent_connections_cost_one_wait_together(
    store: PostgresqlStore, relay: Relay, lost: tuple[str, ...]
) -> None:
    await open_all_connections(store)
    with (
        relay.losing(*lost),
        pytest.raises(StoreError, match="does not respond") as caught,
    ):
        await store.ping()
    assert caught.value.failure is StoreFailure.NO_RESPONSE
    await open_all_connections(store)
    await store.add([request()], 1000.0)


@pytest.mark.parametrize("lost", DIRECTIONS)
async def test_a_commit_without_an_answer_is_stored_once_when_it_is_repeated(
    store: PostgresqlStore, relay: Relay, lost: tuple[str, ...]
) -> None:
    watch = (await store.add([request()], 1000.0)).watches[0]
    change = step(watch, "FAILED")
    with (
        relay.losing(*lost, from_request=b"COMMIT\0"),
        pytest.raises(StoreError, match="may have been stored"),
    ):
        await store.record([change])
    stored = len(await store.transitions(watch.key))
    assert await store.record([change]) == [not stored]
    assert [one.sequence for one in await store.transitions(watch.key)] == [1]
    assert len(await store.due("backend", 2000.0, 10)) == 1


@pytest.fixture
async def patient(
    postgresql_server: Server, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresqlStore]:
    """A store that looks for what was lost, and without that would wait for it for a minute."""
    monkeypatch.setitem(connection._OPTIONS, "command_timeout", 60.0)
    url = await postgresql_server.new_store()
    async with (
        postgresql.create(relay.url(database_of(url))) as opened,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(opened.follow, lambda: None, lambda: None)
        yield opened
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("lost", DIRECTIONS)
@pytest.mark.parametrize("statement", [b"BEGIN", b"UPDATE watches", b"COMMIT"])
async def test_what_the_network_has_lost_is_noticed_while_the_server_waits(
    patient: PostgresqlStore, relay: Relay, lost: tuple[str, ...], statement: bytes
) -> None:
    watch = (await patient.add([request()], 1000.0)).watches[0]
    change = step(watch, "FAILED")
    errors = list[StoreError]()

    async def record() -> None:
        try:
            await patient.record([change])
        except StoreError as error:
            errors.append(error)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            with relay.losing(*lost, from_request=statement):
                tasks.start_soon(record)
                while not relay.losses:
                    await anyio.lowlevel.checkpoint()
    assert ["cannot reach" in str(error) for error in errors] == [True]
    await patient.record([change])
    assert [one.sequence for one in await patient.transitions(watch.key)] == [1]


async def test_a_statement_that_waits_for_a_lock_is_not_lost(
    patient: PostgresqlStore,
    relay: Relay,
    postgresql_server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "_LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(pool, "_LOST_AFTER", 0.1)
    admin = await postgresql_server.admin(
        f"postgresql:///{patient._database.server.rpartition('/')[2]}"
    )
    await admin.execute("BEGIN; LOCK TABLE watches")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(patient.add, [request()], 1000.0)
        opened = relay.connections
        while relay.connections < opened + 5:  # to look
            await anyio.lowlevel.checkpoint()
        await admin.execute("ROLLBACK")
    await admin.close()
    assert len(await patient.find("task_1")) == 1
