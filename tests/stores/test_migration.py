"""A database of schema version 4, with rows in every table, opened with the store of today."""

import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.stores.harness import opening_error
from tests.support.records import settled
from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.deliveries import Attempt, Delivery, DeliveryState, DueDelivery, OutboxDepth
from watcher.core.errors import StoreFullError
from watcher.core.events import EventFilter, StoredEvent
from watcher.core.outage import Outage
from watcher.core.tasks import (
    ActiveWatch,
    DiscoveredTask,
    OperationScope,
    TaskKey,
    Watch,
    WatchFilter,
    WatchState,
)
from watcher.stores.sqlite import schema
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.schema import migrations
from watcher.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

OLD = Path(__file__).with_name("schema_4.sql")
NOW = 1000.0
RUNNING, FAILED, LOST = (TaskKey("mixpeek", name) for name in ("running", "failed", "lost"))
WATCHES = [
    Watch(
        key=LOST,
        added_at=14.0,
        missing_since=15.0,
        lost_at=16.0,
    ),
    Watch(
        key=FAILED,
        state=WatchState.DONE,
        status="FAILED",
        sequence=1,
        task_type="api_y",
        error_message="boom",
        added_at=12.0,
        first_seen_at=13.0,
        changed_at=50.0,
    ),
    Watch(
        key=RUNNING,
        namespace="production",
        labels={"team": "search"},
        status="IN_PROGRESS",
        sequence=4,
        task_type="api_x",
        added_at=10.0,
        first_seen_at=11.0,
        changed_at=40.0,
        stalled_at=90.0,
    ),
]
STATUSES = [None, "PENDING", "QUEUED", "PROCESSING", "IN_PROGRESS"]
TRANSITIONS = [
    StoredEvent(
        id=number,
        event_id=f"msg_{number}",
        type=f"task.{str(STATUSES[number]).lower()}",
        at=(0.0, 11.0, 20.0, 30.0, 40.0)[number],
        body=b'{"%d"}' % number,
        sequence=number,
        previous_status=STATUSES[number - 1],
        status=STATUSES[number],
    )
    for number in (1, 2, 3, 4)
]
BYPASSED = DueDelivery(
    id=2,
    channel="backend",
    event_id="msg_2",
    type="task.queued",
    task_id="running",
    body=b'{"2"}',
    body_size=5,
    event_at=20.0,
    created_at=20.0,
    watched_for=10.0,
    attempts=2,
    scheduled=1,
    first_attempt_at=21.0,
    last_attempt_at=22.0,
    next_attempt_at=500.0,
    scheduled_at=450.0,
    not_before=400.0,
)
HEAD = DueDelivery(
    id=3,
    channel="backend",
    event_id="msg_3",
    type="task.processing",
    task_id="running",
    body=b'{"3"}',
    body_size=5,
    event_at=30.0,
    created_at=30.0,
    watched_for=20.0,
    attempts=1,
    scheduled=1,
    first_attempt_at=31.0,
    last_attempt_at=31.0,
    next_attempt_at=200.0,
    scheduled_at=200.0,
    not_before=None,
)


def create_old(file: Path) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(OLD.read_text())


@pytest.fixture
async def store(url: str, file: Path) -> AsyncIterator[SqliteStore]:
    create_old(file)
    async with sqlite.create(url) as store:
        yield store


@pytest.fixture
def old(file: Path) -> Iterator[sqlite3.Connection]:
    create_old(file)
    with closing(sqlite3.connect(file)) as connection:
        yield connection


def structure(connection: sqlite3.Connection) -> dict[str, object]:
    """The columns of each table, and the table and columns of each index."""
    names = connection.execute("SELECT type, name, tbl_name FROM sqlite_schema").fetchall()
    return {
        f"{kind} {name}": (
            table,
            connection.execute(
                f"PRAGMA {'table' if kind == 'table' else 'index'}_info({name})"
            ).fetchall(),
        )
        for kind, name, table in names
    }


def test_the_old_database_is_of_version_4_and_has_rows_in_every_table(
    old: sqlite3.Connection,
) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in migrations()[:4]:
            connection.executescript(script)
        assert structure(old) == structure(connection)
    for name in structure(old):
        kind, table = name.split()
        if kind == "table":
            assert old.execute(f"SELECT count(*) FROM {table}").fetchone() > (0,), table


async def test_the_upgraded_schema_is_the_same_as_a_new_one(store: SqliteStore, file: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as new, closing(sqlite3.connect(file)) as upgraded:
        for script in migrations():
            new.executescript(script)
        assert structure(upgraded) == structure(new)
        assert upgraded.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
        assert upgraded.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert upgraded.execute("PRAGMA foreign_key_check").fetchall() == []
        assert upgraded.execute("SELECT id, at FROM readiness_probe").fetchall() == [(1, 99.0)]


@pytest.mark.parametrize("version", range(1, len(migrations())))
async def test_every_older_version_is_upgraded(url: str, file: Path, version: int) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        for script in migrations()[:version]:
            connection.executescript(script)
        connection.executescript(
            f"PRAGMA application_id = {schema.APPLICATION_ID}; PRAGMA user_version = {version}"
        )
    async with sqlite.create(url) as store:
        await store.ping()


async def test_watches_are_kept(store: SqliteStore) -> None:
    assert await store.list_watches(WatchFilter(), 10, None) == (WATCHES, None)
    active = [watch async for batch in store.active_watches({"mixpeek": None}) for watch in batch]
    assert active == [
        ActiveWatch("mixpeek", "running", "IN_PROGRESS", None, None),
        ActiveWatch("mixpeek", "lost", None, 15.0, 16.0),
    ]
    assert [batch async for batch in store.unchanged_watches("mixpeek", NOW)] == []


async def test_events_are_kept_and_their_numbers_go_on(store: SqliteStore) -> None:
    assert await store.transitions(RUNNING) == TRANSITIONS
    events = await store.events_after(0, 100)
    assert [event.id for event in events] == [1, 2, 3, 4, 5, 9]
    assert events[-1] == StoredEvent(
        id=9,
        event_id="msg_9",
        type="channel.failing",
        at=60.0,
        body=b'{"9"}',
        sequence=None,
        previous_status=None,
        status=None,
    )
    assert await store.last_event_id() == 9


async def test_deliveries_and_their_attempts_are_kept(store: SqliteStore) -> None:
    deliveries, _ = await store.list_deliveries(None, None, 100, None)
    assert [(delivery.id, delivery.channel, delivery.state.value) for delivery in deliveries] == [
        (7, "alerts", "pending"),
        (6, "alerts", "pending"),
        (5, "backend", "failed"),
        (4, "backend", "pending"),
        (3, "backend", "pending"),
        (2, "backend", "pending"),
        (1, "backend", "delivered"),
    ]
    assert await store.delivery(2) == (
        Delivery(
            id=2,
            event_id="msg_2",
            type="task.queued",
            task_id="running",
            channel="backend",
            state=DeliveryState.PENDING,
            attempts=2,
            next_attempt_at=500.0,
            last_error="HTTP 503",
            last_status=503,
            created_at=20.0,
            delivered_at=None,
        ),
        [
            Attempt(number=1, at=21.0, duration=0.5, status=None, error="timeout", response=None),
            Attempt(
                number=2,
                at=22.0,
                duration=0.25,
                status=503,
                error="HTTP 503",
                response="come back later",
            ),
        ],
    )
    assert deliveries[-1].delivered_at == 13.0
    assert await store.outbox() == [
        OutboxDepth(
            channel="alerts",
            pending=2,
            failed=0,
            oldest_created_at=50.0,
            pending_bytes=2 * 1029,
            failed_bytes=0,
            bypassed=0,
        ),
        OutboxDepth(
            channel="backend",
            pending=3,
            failed=1,
            oldest_created_at=20.0,
            pending_bytes=3 * 1029,
            failed_bytes=1029,
            bypassed=1,
        ),
    ]


async def test_pending_deliveries_are_due_in_their_old_order(store: SqliteStore) -> None:
    assert await store.due("backend", NOW, 100) == [HEAD, BYPASSED]
    assert [delivery.id for delivery in await store.due("alerts", NOW, 100)] == [6, 7]
    assert await store.next_due_at("backend", 600.0) == 700.0

    await store.settle([settled(3, DeliveryState.DELIVERED)])
    assert [delivery.id for delivery in await store.due("backend", NOW, 100)] == [4, 2]


async def test_a_blocking_head_is_bypassed_at_its_old_time(store: SqliteStore) -> None:
    assert await store.unblock_expired("backend", 699.0) == 0
    assert await store.unblock_expired("backend", 700.0) == 1
    assert [delivery.id for delivery in await store.due("backend", NOW, 100)] == [4, 3, 2]


async def test_old_deliveries_are_replayed_in_order(store: SqliteStore) -> None:
    assert await store.replay("backend", EventFilter(since=0.0), NOW) == 2
    sent = []
    while due := await store.due("backend", NOW, 100):
        sent += [delivery.id for delivery in due]
        await store.settle([settled(delivery.id, DeliveryState.DELIVERED) for delivery in due])
    assert sorted(sent) == [1, 2, 3, 4, 5]
    assert [number for number in sent if number in (1, 3, 4)] == [1, 3, 4]


async def test_outages_suspensions_and_notes_are_kept(store: SqliteStore) -> None:
    assert await store.outage("channel backend") == Outage(
        subject="channel backend", since=21.0, alerted_at=60.0
    )
    assert await store.outage("source mixpeek") == Outage(subject="source mixpeek", since=70.0)
    assert await store.suspensions() == [
        Suspension(channel="backend", kind=SuspensionKind.PAUSED, reason="it moves", since=84.0),
        Suspension(
            channel="chat", kind=SuspensionKind.OFF, reason="nothing but errors", since=85.0
        ),
        Suspension(channel="old", kind=SuspensionKind.STOPPED, reason="HTTP 410", since=86.0),
    ]
    assert await store.read_note("alerts", "batch_1") == b"\x00\xff"


async def test_discovered_tasks_and_operations_are_kept(store: SqliteStore) -> None:
    assert await store.rule_ran("mixpeek tasks")
    listed = [DiscoveredTask(name, "QUEUED", None) for name in ("failed", "running", "new")]
    new, _ = await store.discover("mixpeek tasks", "mixpeek", listed, {}, NOW, silent=False)
    assert new == 1

    scope = OperationScope("mixpeek", "bkt_1")
    assert await store.claim_operations(scope, ["upload_1", "upload_2", "upload_3"], NOW) == {
        "upload_1": "task_1",
        "upload_2": None,
    }


async def test_what_is_old_is_pruned(store: SqliteStore) -> None:
    await store.prune(NOW)
    await store.remove_failed("backend", 1)
    assert await store.read_note("alerts", "batch_1") is None
    assert await store.claim_operations(OperationScope("mixpeek", "bkt_1"), ["upload_1"], NOW) == {}
    deliveries, _ = await store.list_deliveries(None, None, 100, None)
    assert {delivery.id for delivery in deliveries} == {2, 3, 4, 6, 7}


async def test_a_store_at_its_limit_is_migrated(url: str, old: sqlite3.Connection) -> None:
    async with sqlite.create(url, max_size=65536) as store:
        assert len(await store.outbox()) == 2
        with pytest.raises(StoreFullError):
            await store.write_note("alerts", "large", b"x" * 1_000_000, NOW)


async def test_a_migration_that_fails_changes_nothing(
    url: str, old: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(old.iterdump())
    scripts = list(migrations())
    broken = [*scripts[:4], scripts[4] + "INSERT INTO unknown VALUES (1);", *scripts[5:]]
    with monkeypatch.context() as patched:
        patched.setattr(schema, "migrations", lambda: broken)
        assert "no such table: unknown" in await opening_error(url)
    assert list(old.iterdump()) == before
    assert old.execute("PRAGMA user_version").fetchone() == (4,)


_CHILD = """
import os, signal, sqlite3, sys, anyio
from watcher.stores.sqlite import schema, store as sqlite

scripts, migrate = schema.migrations(), sqlite.connect.__globals__["migrate"]
first, *rest = scripts[4].split(";")
killed = ";".join([first, *rest[:int(sys.argv[2])], " SELECT kill()", *rest[int(sys.argv[2]):]])
schema.migrations = lambda: [*scripts[:4], killed, *scripts[5:]]

async def migrate_and_die(connection, path):
    await connection.create_function("kill", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
    await migrate(connection, path)

sqlite.connect.__globals__["migrate"] = migrate_and_die

async def main():
    async with sqlite.create(sys.argv[1]):
        pass

anyio.run(main)
"""


@pytest.mark.parametrize("statements", [0, 8, 17])
async def test_kill_9_in_the_middle_of_a_migration_leaves_the_old_database(
    url: str, file: Path, tmp_path: Path, statements: int
) -> None:
    create_old(file)
    child = await anyio.run_process(
        [sys.executable, "-c", _CHILD, url, str(statements)], check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    shutil.copytree(file.parent, tmp_path / "killed")
    with closing(sqlite3.connect(tmp_path / "killed" / file.name)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (4,)
        assert connection.execute("SELECT count(*) FROM troubles").fetchone() == (2,)

    async with sqlite.create(url) as store:
        assert await store.due("backend", NOW, 100) == [HEAD, BYPASSED]
        assert await store.list_watches(WatchFilter(), 10, None) == (WATCHES, None)
