"""The statements: the frequent ones use indices."""

import sqlite3
from contextlib import closing

import pytest

from watcher.core.deliveries import DeliveryState
from watcher.stores.sqlite import (
    batch_queries,
    batches,
    delivery_lists,
    histories,
    queries,
    summary,
    task_lists,
)
from watcher.stores.sqlite.numbered import NumberedConnection
from watcher.stores.sqlite.schema import migrations


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (queries.DUE, 3),
        (queries.DUE_FOR_PROBE, 2),
        (queries.NEXT_DUE_AT, 2),
        (queries.UNBLOCK_NEXT, 1),
        (batch_queries.INSERT_DELIVERIES, 1),
        (batch_queries.SETTLE, 1),
        (batch_queries.STORE_ATTEMPTS, 1),
        (queries.HAS_EXPIRED, 2),
        (queries.UNBLOCK_EXPIRED, 2),
        (queries.MAKE_DUE, 3),
        (queries.WATCHES_BY_KEY, 1),
        (queries.WATCH_SEQUENCES, 1),
        (queries.CHANGE_WATCH, 12),
        (queries.SET_BATCH, 3),
        (queries.ACTIVE_WATCHES, 2),
        (queries.UNCHANGED_WATCHES, 5),
        (queries.DELIVERIES_BY_ID, 2),
        (delivery_lists.ALL, 3),
        (delivery_lists.FAILED, 3),
        (delivery_lists.DELIVERED, 3),
        (delivery_lists.PENDING_ADJACENT, 3),
        (delivery_lists.PENDING, 3),
        (delivery_lists.WITH_REASON, 2),
        (delivery_lists.NEWEST_DELIVERED, 0),
        (task_lists.BY_BEGINNING, 3),
        (task_lists.IS_BATCH, 1),
        (batches.COUNTS, 1),
        (batches.FAILURES, 1),
        (batches.TASKS, 4),
        (batches.BODIES, 2),
        (histories.EVENTS, 2),
        (histories.DELIVERIES, 1),
        (histories.ATTEMPTS, 1),
        (histories.COUNTED[DeliveryState.PENDING], 1),
        (histories.COUNTED[DeliveryState.FAILED], 1),
        (summary.FAILURES, 4),
        (summary.FIRST_EVENT, 1),
        (summary.COUNTED, 2),
    ],
)
def test_no_frequent_query_scans_a_table(query: str, parameters: int) -> None:
    with closing(sqlite3.connect(":memory:", factory=NumberedConnection)) as connection:
        for script in migrations():
            connection.executescript(script)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", ["[]"] * parameters).fetchall()
    steps = [row[3] for row in plan]
    scanned = [
        step.split()[1]
        for step in steps
        if step.startswith("SCAN") and "USING" not in step and "VIRTUAL TABLE" not in step
    ]
    aliases = {"d", "e", "done", "next", "found", "newest"}
    tables = {"deliveries", "watches", "events", "attempts", *aliases}
    assert not tables.intersection(scanned)
    assert query != queries.DUE or not any("TEMP B-TREE" in step for step in steps)
