"""What is SQLite's own: durability, the lock, the schema, a full disk and a damaged file."""

import logging
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from tests.support.records import request, step
from watcher.core.errors import StoreCorruptError, StoreError, StoreUnusableError
from watcher.core.tasks import WatchFilter
from watcher.stores.sqlite import queries
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.connection import migrations, network_file_system
from watcher.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

NOW = 1000.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/folder/watcher.db"


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


async def refused(url: str) -> str:
    with pytest.raises(StoreUnusableError) as caught:
        async with sqlite.create(url):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def names(store: SqliteStore) -> set[str]:
    return {watch.key.task_id for watch in (await store.list_watches(WatchFilter(), 1000, None))[0]}


async def test_the_file_is_durable_and_its_owners_alone(url: str) -> None:
    async with sqlite.create(url) as store:
        await store.add([request()], NOW)
        assert file_of(url).stat().st_mode & 0o777 == 0o600
        assert file_of(url).parent.stat().st_mode & 0o777 == 0o700
        # What the store was opened with is seen on its own connection alone.
        writer = store._commits._connection
        values = [
            next(iter(await writer.execute_fetchall(f"PRAGMA {name}")))[0]
            for name in ("journal_mode", "synchronous")
        ]
    assert values == ["wal", 2]


async def test_what_was_stored_is_there_after_a_new_start(url: str) -> None:
    async with sqlite.create(url) as store:
        await store.add([request("task_1")], NOW)
    async with sqlite.create(url) as store:
        assert await names(store) == {"task_1"}


async def test_a_second_opening_is_refused_while_the_first_is_open(url: str) -> None:
    async with sqlite.create(url):
        assert "another watcher already uses" in await refused(url)
    async with sqlite.create(url):
        pass


_CHILD = """
import os, signal, sys, anyio
from tests.support.records import request
from watcher.stores import sqlite

async def main():
    async with sqlite.create(sys.argv[1]) as store:
        for number in range(50):
            await store.add([request(f"task_{number}")], 1.0)
        print("stored", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


async def test_kill_9_keeps_what_had_returned_and_frees_the_lock(url: str) -> None:
    child = await anyio.run_process([sys.executable, "-c", _CHILD, url], check=False)
    assert child.stdout == b"stored\n", child.stderr
    assert child.returncode == -signal.SIGKILL
    async with sqlite.create(url) as store:
        assert len(await names(store)) == 50


async def test_a_newer_schema_is_refused_naming_both_versions(url: str) -> None:
    async with sqlite.create(url):
        pass
    with closing(sqlite3.connect(file_of(url))) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert f"has schema version 99, this program knows up to {len(migrations())}" in await refused(
        url
    )


async def test_the_database_of_another_program_is_left_alone(url: str) -> None:
    file_of(url).parent.mkdir()
    with closing(sqlite3.connect(file_of(url))) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    assert "the database of another program" in await refused(url)
    with closing(sqlite3.connect(file_of(url))) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


async def test_what_is_no_database_is_refused(url: str) -> None:
    file_of(url).parent.mkdir()
    file_of(url).write_bytes(b"This is a text file. " * 1000)
    assert "is damaged" in await refused(url)
    assert file_of(url).read_bytes().startswith(b"This is a text file.")


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:////tmp-folder/"]
)
async def test_a_url_without_a_file_is_refused(url: str) -> None:
    assert "names no file" in await refused(url)


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be made" in await refused(f"sqlite:///{tmp_path}/file/below/watcher.db")


async def test_a_damaged_page_is_said_and_nothing_is_overwritten(url: str) -> None:
    async with sqlite.create(url) as store:
        await store.add([request(f"task_{number}") for number in range(1000)], NOW)
    with closing(sqlite3.connect(file_of(url))) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'watches'"
        ).fetchone()
    content = bytearray(file_of(url).read_bytes())
    start = 4096 * (root - 1)
    content[start : start + 64] = b"\xff" * 64
    file_of(url).write_bytes(content)

    async with sqlite.create(url) as store:
        with pytest.raises(StoreCorruptError, match="is damaged"):
            await names(store)
        with pytest.raises(StoreError):
            await store.add([request("task_new")], NOW)


async def test_a_full_disk_is_one_clear_error_loses_nothing_and_passes(url: str) -> None:
    async with sqlite.create(url) as store:
        await store.add([request("before")], NOW)
        writer = store._commits._connection
        pages = next(iter(await writer.execute_fetchall("PRAGMA page_count")))[0]
        await writer.execute_fetchall(f"PRAGMA max_page_count = {pages + 1}")

        with pytest.raises(StoreError, match="is full: nothing was stored"):
            await store.add([request(f"task_{number}" * 50) for number in range(1000)], NOW)
        assert await names(store) == {"before"}

        await writer.execute_fetchall("PRAGMA max_page_count = 1000000")
        await store.add([request("after")], NOW)
        assert await names(store) == {"before", "after"}


async def test_of_a_group_only_the_operation_at_fault_fails(url: str) -> None:
    async with sqlite.create(url) as store:
        results: dict[str, object] = {}

        async def add(task_id: str) -> None:
            results[task_id] = (await store.add([request(task_id)], NOW)).added

        async def break_it() -> None:
            (watch,) = (await store.add([request("bad")], NOW)).watches
            change = step(watch, "IN_PROGRESS")
            await store.record([change])
            with pytest.raises(StoreError):  # the same event id again
                await store.record([replace(change, expected_sequence=1)])
            results["bad"] = "refused"

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(break_it)
            for number in range(10):
                tasks.start_soon(add, f"task_{number}")

        assert results == {"bad": "refused", **{f"task_{number}": 1 for number in range(10)}}


async def test_cancelled_in_the_middle_the_connection_is_left_outside_a_transaction(
    url: str,
) -> None:
    async with sqlite.create(url) as store:
        for delay in (0.0, 0.0002, 0.0005, 0.001, 0.002):
            with anyio.move_on_after(delay):
                await store.add([request(f"task_{delay}_{number}") for number in range(500)], NOW)
            assert not store._commits._connection.in_transaction
        await store.ping()


def test_the_schema_is_the_sum_of_the_migrations(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "sum.db")) as connection:
        for script in migrations():
            connection.executescript(script)
        rows = connection.execute(
            "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
        )
        found = [f"{kind} {name}" for kind, name in rows]
    assert found == [
        "index deliveries_delivered",
        "index deliveries_due",
        "index deliveries_event",
        "index deliveries_failed",
        "index deliveries_line",
        "index deliveries_passing",
        "index discovered_listed",
        "index events_at",
        "index events_task",
        "index notes_at",
        "index watches_active",
        "index watches_done",
        "index watches_lost",
        "index watches_task",
        "index watches_unchanged",
        "table attempts",
        "table confirmations",
        "table deliveries",
        "table discovered",
        "table discovery_rules",
        "table events",
        "table holds",
        "table notes",
        "table pulse",
        "table troubles",
        "table watches",
    ]


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (queries.DUE, 3),
        (queries.NEXT_DUE_AT, 2),
        (queries.UNBLOCK_NEXT, 1),
        (queries.INSERT_DELIVERY, 2),
        (queries.SETTLE, 10),
        (queries.PASSING, 2),
        (queries.LET_PASS, 2),
        (queries.HASTEN, 3),
        (queries.WATCHES_BY_KEY, 1),
        (queries.STANDING, 1),
        (queries.ACTIVE_WATCHES, 2),
    ],
)
def test_no_hot_query_scans_a_table(tmp_path: Path, query: str, parameters: int) -> None:
    with closing(sqlite3.connect(tmp_path / "plan.db")) as connection:
        for script in migrations():
            connection.executescript(script)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", ["[]"] * parameters).fetchall()
    steps = [row[3] for row in plan]
    scans = [
        one
        for one in steps
        if one.startswith("SCAN") and "USING" not in one and "VIRTUAL TABLE" not in one
    ]
    assert [
        one
        for one in scans
        if one.split()[1] in ("deliveries", "watches", "events", "d", "e", "done", "next")
    ] == []
    assert query != queries.DUE or not any("TEMP B-TREE" in one for one in steps)


def test_a_network_file_system_is_recognised() -> None:
    mounts = "\n".join(
        [
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw",
            "23 22 0:40 / /mnt/shared rw - nfs4 server:/export rw",
            "24 22 0:41 / /mnt/with\\040space rw - cifs //server/x rw",
            "25 23 8:2 / /mnt/shared/local rw - xfs /dev/sdb rw",
            "malformed",
        ]
    )
    assert network_file_system(Path("/var/lib/watcher.db"), mounts) is None
    assert network_file_system(Path("/mnt/shared/watcher.db"), mounts) == "nfs4"
    assert network_file_system(Path("/mnt/with space/watcher.db"), mounts) == "cifs"
    assert network_file_system(Path("/mnt/shared/local/watcher.db"), mounts) is None


async def test_a_local_disk_gets_no_warning(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with sqlite.create(url):
        pass
    assert caplog.records == []
