"""The outbox of replicas that share a database: queues go on in order, and claims use an index."""

import re
from collections.abc import AsyncIterator, Sequence
from math import inf

import anyio
import asyncpg
import pytest

from tests.contract.stores.harness import FOREVER, add_watch
from tests.support.postgresql import Server
from tests.support.records import event, settled, step
from watcher.core.deliveries import DeliveryState
from watcher.core.tasks import TaskKey, Watch
from watcher.stores import postgresql
from watcher.stores.postgresql import outbox_queries as queries
from watcher.stores.postgresql import rows, watch_queries
from watcher.stores.postgresql.connection import writing
from watcher.stores.postgresql.pool import ConnectionPool
from watcher.stores.postgresql.schema import migrations
from watcher.stores.postgresql.store import PostgresqlStore

pytestmark = pytest.mark.anyio

STEPS = 8
BY_KEY = {"watches_source_task_id_key", "watches_task"}
WATCH = Watch(key=TaskKey("mixpeek", "task_1"), added_at=1.0)

FILL = """
INSERT INTO watches (source, task_id, slot, added_at, lost_at)
SELECT 'mixpeek', number, 0, number, number FROM generate_series(1, {count}) AS number;
INSERT INTO events (id, event_id, type, at, body, order_key, slot, channels)
SELECT number, number, 'task.queued', number, '{{}}', number, 0, '{{backend}}'
FROM generate_series(1, {count}) AS number;
INSERT INTO deliveries (event, channel, order_key, slot, is_head, next_attempt_at, unblocks_at,
    created_at, size)
SELECT number, 'backend', number, 0, true, number, number, number, 1024
FROM generate_series(1, {count}) AS number;
ANALYZE
"""
ALL_DELIVERED = """;
UPDATE deliveries SET state = 'delivered', is_head = false, delivered_at = 1;
ANALYZE
"""
MANY = 3000
"""As many as the planner needs to see that reading all of them costs more than the index."""

OWNED = list(range(64))
"""The slots of a quarter of a channel."""


@pytest.fixture
async def url(postgresql_server: Server) -> str:
    return await postgresql_server.new_store()


@pytest.fixture
async def stores(url: str) -> AsyncIterator[list[PostgresqlStore]]:
    async with (
        postgresql.create(url) as first,
        postgresql.create(url) as second,
    ):
        yield [first, second]


async def test_queues_keep_a_head_and_their_order_while_two_replicas_record_and_settle(
    stores: list[PostgresqlStore],
) -> None:
    watches = [await add_watch(stores[0], f"task_{number}") for number in range(4)]
    claimed = list[str]()
    recorders = len(watches)

    async def record(number: int) -> None:
        nonlocal recorders
        watch = watches[number]
        for _ in range(STEPS):
            change = step(watch, "IN_PROGRESS")
            assert await stores[number % 2].record([change]) == [True]
            watch = change.watch
        recorders -= 1

    async def deliver(store: PostgresqlStore, state: DeliveryState) -> None:
        running = True
        while running:
            last_look = recorders == 0
            due = await store.due("backend", FOREVER, 3)
            claimed.extend(delivery.event_id for delivery in due)
            await store.settle([settled(delivery.id, state) for delivery in due])
            running = not last_look or due != []

    async with anyio.create_task_group() as tasks:
        for number in range(len(watches)):
            tasks.start_soon(record, number)
        tasks.start_soon(deliver, stores[0], DeliveryState.DELIVERED)
        tasks.start_soon(deliver, stores[1], DeliveryState.FAILED)

    assert await stores[0].list_deliveries(DeliveryState.PENDING, None, 1, None) == ([], None)
    first_claims = list(dict.fromkeys(claimed))
    for watch in watches:
        events = [event.event_id for event in await stores[1].transitions(watch.key)]
        assert len(events) == STEPS
        assert [event_id for event_id in first_claims if event_id in events] == events


async def test_results_of_one_batch_may_end_a_head_and_postpone_the_next_of_its_queue(
    stores: list[PostgresqlStore],
) -> None:
    first = step(await add_watch(stores[0]), "QUEUED")
    await stores[0].record([first, step(first.watch, "IN_PROGRESS")])

    await stores[0].settle(
        [
            settled(1, DeliveryState.DELIVERED),
            settled(2, DeliveryState.PENDING, next_attempt_at=500.0),
            settled(2, DeliveryState.PENDING, next_attempt_at=600.0),
        ]
    )

    (delivery,) = await stores[1].due("backend", FOREVER, 10)
    assert (delivery.id, delivery.attempts, delivery.next_attempt_at) == (2, 1, 600.0)


@pytest.mark.parametrize(
    ("query", "parameters", "indices"),
    [
        (queries.DUE, (None, 1500.0, 10, -inf), {"deliveries_due"}),
        (queries.DUE, (OWNED, 1500.0, 10, 1400.0), {"deliveries_due"}),
        (queries.NEXT_DUE_AT, (OWNED, 1500.0), {"deliveries_due", "deliveries_unblocks_at"}),
    ],
)
async def test_what_a_claim_reads_comes_from_its_index_in_order(
    url: str,
    postgresql_server: Server,
    query: str,
    parameters: tuple[object, ...],
    indices: set[str],
) -> None:
    connection = await postgresql_server.admin(url)
    try:
        await connection.execute(FILL.format(count=MANY))
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        found = await connection.fetch(f"EXPLAIN {query}", "backend", *parameters)
    finally:
        await connection.close()
    plan = "\n".join(row[0] for row in found)
    assert all(f"using {index} on deliveries" in plan for index in indices), plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan


@pytest.mark.parametrize(
    ("statement", "parameters", "indices"),
    [
        (watch_queries.WATCH_SEQUENCES, (["mixpeek"], ["task_1"]), BY_KEY),
        (watch_queries.CHANGE_WATCHES, rows.arrays([rows.changed_row(WATCH, None)]), BY_KEY),
        (
            watch_queries.INSERT_EVENTS,
            rows.arrays([rows.event_row(event(1))]),
            {"events_event_id_key", "deliveries_queue"},
        ),
        (
            queries.SETTLE,
            (*rows.arrays([rows.settled_row(settled(1, DeliveryState.DELIVERED), 1.0)]), 1),
            {"deliveries_pkey"},
        ),
        (queries.UNBLOCK_NEXT, ([1, 2],), {"deliveries_pkey", "deliveries_queue"}),
        (
            watch_queries.PRUNE_LOST,
            (1.0, 1000),
            {"watches_lost", "events_task", "deliveries_event"},
        ),
    ],
)
@pytest.mark.parametrize("fill", [FILL.format(count=2), FILL.format(count=MANY) + ALL_DELIVERED])
async def test_a_write_searches_indices_even_if_it_was_planned_while_little_was_stored_or_pending(
    url: str, fill: str, statement: str, parameters: Sequence[object], indices: set[str]
) -> None:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as opened:
        await opened.execute(fill)
        async with writing(ConnectionPool(opened), len(migrations())) as connection:
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            found = await connection.fetch(f"EXPLAIN {statement}", *parameters)
    plan = "\n".join(row[0] for row in found)
    large = ("watches", "events", "deliveries", "attempts")
    assert not [table for table in large if f"Seq Scan on {table}" in plan], plan
    used = set(re.findall(r"Index (?:Only )?Scan using (\w+)", plan))
    # Slices are few, while `deliveries_due` would find all deliveries that are.
    assert used - {"slices_pkey", "slice_groups_pkey"} <= indices, plan


async def test_no_write_is_compiled_however_much_its_plan_costs(
    oldest_postgresql_server: Server,
) -> None:
    url = await oldest_postgresql_server.new_store()
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as opened:
        await opened.execute("SET jit = on")
        async with writing(ConnectionPool(opened), len(migrations())) as connection:
            found = await connection.fetch("EXPLAIN ANALYZE UPDATE event_counter SET last_id = 1")
    assert not any("JIT" in row[0] for row in found), found
