"""Request budgets that replicas share: two of them never take the same request."""

from collections.abc import AsyncIterator

import anyio
import pytest

from tests.support.postgresql import Server
from watcher.stores import postgresql
from watcher.stores.postgresql.store import PostgresqlStore

pytestmark = pytest.mark.anyio

NEVER = 1e-9
AT_ONCE = 1e9


@pytest.fixture
async def stores(postgresql_server: Server) -> AsyncIterator[list[PostgresqlStore]]:
    url = await postgresql_server.new_store()
    async with (
        postgresql.create(url) as first,
        postgresql.create(url) as second,
    ):
        yield [first, second]


async def test_a_budget_is_empty_at_first_and_replicas_share_what_it_gains(
    stores: list[PostgresqlStore],
) -> None:
    waits = list[float]()
    assert await stores[0].take_request("a", 5.0, 0.5) == 2.0
    assert await stores[1].take_request("b", 5.0, NEVER) > 0
    assert await stores[1].take_request("a", 5.0, AT_ONCE) == 0

    async def take(store: PostgresqlStore) -> None:
        waits.append(await store.take_request("a", 5.0, NEVER))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(take, stores[number % 2])

    assert sum(wait == 0 for wait in waits) == 4


async def test_a_pause_holds_for_every_replica_and_a_shorter_one_does_not_end_it(
    stores: list[PostgresqlStore],
) -> None:
    await stores[0].take_request("a", 5.0, AT_ONCE)
    await stores[0].pause_requests("a", 300.0)
    await stores[1].pause_requests("a", 1.0)

    assert 200 < await stores[1].take_request("a", 5.0, AT_ONCE) <= 300
    assert await stores[1].take_request("b", 5.0, AT_ONCE) < 1
    assert await stores[1].take_request("b", 5.0, AT_ONCE) == 0


async def test_what_a_budget_holds_is_the_same_for_every_replica(
    stores: list[PostgresqlStore],
) -> None:
    await stores[0].take_request("a", 5.0, AT_ONCE)
    await stores[0].take_request("b", 5.0, AT_ONCE)
    assert await stores[1].requests_left() == {"a": 5.0, "b": 5.0}
    for rate in (AT_ONCE, NEVER):
        await stores[0].take_request("a", 5.0, rate)
    await stores[0].pause_requests("b", 300.0)
    assert await stores[1].requests_left() == pytest.approx({"a": 3.0, "b": 0.0})
