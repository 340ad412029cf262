"""PgBouncer in transaction mode. `.ci/run` runs the tests of the store through it, each of which
may leave nothing at a connection; here is shown that this would be noticed.
"""

from collections.abc import Iterator

import asyncpg
import pytest

from tests.shipped.tools import tool
from tests.support.pooler import left_behind, pooled
from tests.support.postgresql import Server, temporary_server
from watcher.core.errors import StoreError, StoreUnusableError
from watcher.stores import postgresql

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with temporary_server() as running, pooled(running, tool("pgbouncer")):
        yield running


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("SELECT 1", []),
        ("BEGIN; SET LOCAL statement_timeout = 1; SELECT pg_advisory_xact_lock(1); COMMIT", []),
        ("SET statement_timeout = 1000", ["SET statement_timeout"]),
        ("SELECT set_config('jit', 'off', false)", ["SET jit"]),
        ("SELECT pg_advisory_lock(1)", ["an advisory lock"]),
        ("CREATE TEMPORARY TABLE one ()", ["a temporary relation"]),
        ("PREPARE one AS SELECT 1", ["PREPARE one"]),
        ("LISTEN one", ["LISTEN one"]),
        ("BEGIN; DECLARE one CURSOR WITH HOLD FOR SELECT 1; COMMIT", ["a cursor"]),
    ],
)
async def test_what_a_session_leaves_behind_is_found(
    server: Server, statement: str, left: list[str]
) -> None:
    url = server.url(await server.create_database())
    clients = [await asyncpg.connect(url) for _ in range(2)]
    for one in clients:
        await one.execute("BEGIN")  # two connections of the server
    await clients[1].execute("COMMIT")
    await clients[1].execute(statement)
    await clients[0].execute("COMMIT")
    for one in clients:
        await one.close()
    assert await left_behind(server) == left
    assert await left_behind(server) == []


@pytest.fixture
def full(request: pytest.FixtureRequest) -> Iterator[Server]:
    with temporary_server() as running, pooled(running, tool("pgbouncer"), request.param):
        yield running


@pytest.mark.parametrize(
    ("full", "reason"),
    [
        ("max_client_conn = 2", "no more connections allowed"),
        ("max_db_connections = 2\nquery_wait_timeout = 1", "query_wait_timeout"),
    ],
    indirect=["full"],
)
async def test_a_pooler_without_a_connection_is_waited_for(full: Server, reason: str) -> None:
    clients = [await asyncpg.connect(full.url()) for _ in range(2)]
    for one in clients:
        await one.execute("BEGIN")
    with pytest.raises(StoreError, match=rf"^cannot reach postgresql://.*{reason}") as caught:
        async with postgresql.create(full.url()):
            pass
    assert not isinstance(caught.value, StoreUnusableError)
    for one in clients:
        await one.execute("COMMIT")
        await one.close()
