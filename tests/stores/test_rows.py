"""The columns derived from the records are those of the schema; a row becomes its record again."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.records import KEY, event
from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.outage import Outage
from watcher.core.tasks import Watch, WatchState
from watcher.stores import _rows
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.schema import migrations

WATCH = Watch(
    key=KEY,
    namespace="production",
    labels={"team": "search"},
    state=WatchState.DONE,
    status="FAILED",
    sequence=3,
    task_type="api_x",
    error_message="boom",
    added_at=1.0,
    first_seen_at=2.0,
    changed_at=3.0,
    missing_since=4.0,
    lost_at=5.0,
    stalled_at=6.0,
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in migrations():
            connection.executescript(script)
        yield connection


def columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


@pytest.mark.parametrize(
    ("table", "derived", "others"),
    [
        ("watches", rows.WATCH_COLUMNS, {"id"}),
        ("events", rows.EVENT_COLUMNS, {"id"}),
        ("attempts", rows.ATTEMPT_COLUMNS, {"delivery", "slot"}),
        ("outages", rows.OUTAGE_COLUMNS, set()),
        ("suspensions", rows.SUSPENSION_COLUMNS, set()),
    ],
)
def test_the_columns_of_a_record_are_those_of_its_table(
    connection: sqlite3.Connection, table: str, derived: tuple[str, ...], others: set[str]
) -> None:
    assert {*derived} | others == columns_of(connection, table)
    assert len({*derived}) == len(derived)


def test_a_delivery_is_read_from_columns_of_its_own_and_of_its_event(
    connection: sqlite3.Connection,
) -> None:
    own, event_columns = columns_of(connection, "deliveries"), columns_of(connection, "events")
    fields = {*rows.DUE_COLUMNS, *rows.DELIVERY_COLUMNS}
    assert {*_rows.EVENT_COLUMN_OF} <= fields
    assert {*_rows.EVENT_COLUMN_OF.values()} <= event_columns
    assert fields - {*_rows.EVENT_COLUMN_OF} <= own
    assert {*rows.STORED_EVENT_COLUMNS} <= event_columns


def test_a_change_writes_all_that_adding_does_not() -> None:
    assert {*rows.WATCH_COLUMNS} - {*rows.CHANGED_COLUMNS} == {
        *("source", "task_id", "namespace", "labels", "added_at", "batch")
    }


def test_every_record_is_read_as_it_was_written(connection: sqlite3.Connection) -> None:
    connection.execute(queries.INSERT_WATCH, rows.watch_row(WATCH))
    (row,) = connection.execute(queries.WATCHES_BY_KEY, (rows.json_keys([KEY]),))
    assert rows.watch(row) == WATCH

    connection.execute(queries.INSERT_EVENT, rows.event_row(event(1)))
    (row,) = connection.execute(queries.TRANSITIONS, KEY)
    stored, given = rows.stored_event(row), event(1)
    assert (stored.event_id, stored.body, stored.at) == (given.event_id, given.body, given.at)

    outage = Outage(subject="channel backend", since=1.0, alerted_at=None)
    connection.execute(queries.STORE_OUTAGE, rows.outage_row(outage))
    (row,) = connection.execute(queries.OUTAGE, ["channel backend"])
    assert rows.outage(row) == outage

    suspension = Suspension(channel="a", kind=SuspensionKind.OFF, reason="errors", since=1.0)
    connection.execute(queries.STORE_SUSPENSION, rows.suspension_row(suspension))
    (row,) = connection.execute(queries.SUSPENSIONS)
    assert rows.suspension(row) == suspension


def test_an_event_about_no_task_has_no_key(connection: sqlite3.Connection) -> None:
    connection.execute(queries.INSERT_EVENT, rows.event_row(event(1, key=None)))
    assert connection.execute("SELECT source, task_id FROM events").fetchall() == [(None, None)]
