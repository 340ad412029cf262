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


async def wait_of(store: PostgresqlStore, budget: str, burst: float, rate: float) -> float:
    """Take one request; return how long to wait for it."""
    return (await store.take_requests(budget, burst, rate, 1)).wait


async def test_a_budget_is_empty_at_first_and_replicas_share_what_it_gains(
    stores: list[PostgresqlStore],
) -> None:
    waits = list[float]()
    assert await wait_of(stores[0], "a", 5.0, 0.5) == 2.0
    assert await wait_of(stores[1], "b", 5.0, NEVER) > 0
    assert await wait_of(stores[1], "a", 5.0, AT_ONCE) == 0

    async def take(store: PostgresqlStore) -> None:
        waits.append(await wait_of(store, "a", 5.0, NEVER))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(take, stores[number % 2])

    assert sum(wait == 0 for wait in waits) == 4


async def test_a_pause_holds_for_every_replica_and_a_shorter_one_does_not_end_it(
    stores: list[PostgresqlStore],
) -> None:
    await wait_of(stores[0], "a", 5.0, AT_ONCE)
    await stores[0].pause_requests("a", 300.0)
    await stores[1].pause_requests("a", 1.0)

    assert 200 < await wait_of(stores[1], "a", 5.0, AT_ONCE) <= 300
    assert await wait_of(stores[1], "b", 5.0, AT_ONCE) < 1
    assert await wait_of(stores[1], "b", 5.0, AT_ONCE) == 0


async def test_what_a_budget_holds_is_the_same_for_every_replica(
    stores: list[PostgresqlStore],
) -> None:
    await wait_of(stores[0], "a", 5.0, AT_ONCE)
    await wait_of(stores[0], "b", 5.0, AT_ONCE)
    assert await stores[1].requests_left() == {"a": 5.0, "b": 5.0}
    for rate in (AT_ONCE, NEVER):
        await wait_of(stores[0], "a", 5.0, rate)
    await stores[0].pause_requests("b", 300.0)
    assert await stores[1].requests_left() == pytest.approx({"a": 3.0, "b": 0.0})


async def test_requests_are_also_taken_that_a_budget_has_yet_to_gain(
    stores: list[PostgresqlStore],
) -> None:
    assert await wait_of(stores[0], "a", 2.0, AT_ONCE) > 0
    taken = await stores[0].take_requests("a", 2.0, AT_ONCE, 5)
    assert (taken.wait, taken.held) == (0.0, 2.0)

    assert 3.9 < await wait_of(stores[1], "a", 2.0, 1.0) <= 4.0
    await stores[0].pause_requests("a", 0.0)
    assert 3.8 < await wait_of(stores[1], "a", 2.0, 1.0) <= 4.0
