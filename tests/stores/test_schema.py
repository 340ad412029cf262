"""The schema: whose database is opened, and what the migrations add up to."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.stores.harness import opening_error
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.schema import migrations

pytestmark = pytest.mark.anyio


async def test_a_newer_schema_is_an_error_that_names_both_versions(url: str, file: Path) -> None:
    async with sqlite.create(url):
        pass
    newer = len(migrations()) + 1
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
    text = f"has schema version {newer}, this program knows up to {newer - 1}"
    assert text in await opening_error(url)


async def test_the_database_of_another_program_is_left_alone(url: str, file: Path) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    assert "the database of another program" in await opening_error(url)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_the_schema_is_the_sum_of_the_migrations() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in migrations():
            connection.executescript(script)
        rows = connection.execute(
            "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
        )
        found = [f"{kind} {name}" for kind, name in rows]
    assert found == [
        "index channel_notes_at",
        "index deliveries_delivered",
        "index deliveries_delivered_to",
        "index deliveries_due",
        "index deliveries_event",
        "index deliveries_failed",
        "index deliveries_queue",
        "index deliveries_unblocks_at",
        "index discovered_tasks_listed",
        "index events_at",
        "index events_task",
        "index watches_active",
        "index watches_batch",
        "index watches_done",
        "index watches_ended",
        "index watches_failed",
        "index watches_lost",
        "index watches_stalled",
        "index watches_task",
        "index watches_unchanged",
        "table attempts",
        "table batch_backfill",
        "table channel_notes",
        "table channel_targets",
        "table deliveries",
        "table discovered_tasks",
        "table discovery_rules",
        "table events",
        "table list_sizes",
        "table operations",
        "table outages",
        "table readiness_probe",
        "table suspensions",
        "table watches",
    ]
