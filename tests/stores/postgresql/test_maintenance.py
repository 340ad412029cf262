"""Retention in batches: each goes on where the one before it ended, by an index."""

import asyncpg
import pytest

from tests.contract.stores.harness import add_watch
from tests.support.records import settled, step
from watcher.core.deliveries import DeliveryState
from watcher.stores.postgresql import maintenance
from watcher.stores.postgresql import maintenance_queries as queries
from watcher.stores.postgresql.connection import writing
from watcher.stores.postgresql.pool import ConnectionPool
from watcher.stores.postgresql.schema import migrations
from watcher.stores.postgresql.store import PostgresqlStore

pytestmark = pytest.mark.anyio

COUNTS = "SELECT (SELECT count(*) FROM watches), (SELECT count(*) FROM events)"
INDICES = ("deliveries_delivered", "watches_done", "events_at")
FILL = """
INSERT INTO watches (source, task_id, slot, state, added_at, changed_at)
SELECT 'mixpeek', number, 0, 'done', number, number FROM generate_series(1, 3000) AS number;
INSERT INTO events (id, event_id, type, at, body, order_key, slot, channels)
SELECT number, number, 'task.queued', number, '{}', number, 0, '{backend}'
FROM generate_series(1, 3000) AS number;
INSERT INTO deliveries (event, channel, order_key, slot, state, delivered_at, created_at, size)
SELECT number, 'backend', number, 0, 'delivered', number, number, 1024
FROM generate_series(1, 3000) AS number;
ANALYZE
"""


async def test_pruning_in_batches_removes_all_that_is_not_needed(
    url: str, store: PostgresqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_BATCH", 2)
    for number in range(12):
        watch = await add_watch(store, f"task_{number}")
        await store.record([step(watch, "COMPLETED", at=100.0 + number // 4)])
    needed = {2, 5, 6, 12}
    ended = [number for number in range(1, 13) if number not in needed]
    await store.settle([settled(number, DeliveryState.DELIVERED) for number in ended])

    assert await store.prune(before=1e12) == 3 * len(ended) == 24

    assert {one.id for one in await store.events_after(0, 100)} == needed
    connection = await asyncpg.connect(url)
    try:
        assert [*map(tuple, await connection.fetch(COUNTS))] == [(len(needed), len(needed))]
    finally:
        await connection.close()


async def test_what_is_pruned_is_found_by_its_time(url: str) -> None:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as opened:
        await opened.execute(FILL)
        async with writing(ConnectionPool(opened), len(migrations())) as connection:
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            for query, index in zip(queries.PRUNED, INDICES, strict=False):
                found = await connection.fetch(f"EXPLAIN {query}", 2000.0, 1000, 1000.0)
                plan = "\n".join(row[0] for row in found)
                assert f"using {index} on" in plan, plan
                assert "deliveries_queue" not in plan, plan
                assert "Sort" not in plan, plan
