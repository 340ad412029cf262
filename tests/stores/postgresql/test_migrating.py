"""Replicas of several versions on one database: the schema expands at once, and contracts when the
older ones have ended.
"""

import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest

from tests.support.postgresql import Server
from tests.support.records import request, settled, step
from watcher.core.deliveries import DeliveryState
from watcher.core.errors import StoreError, StoreUnusableError
from watcher.core.ownership import Group, Lease, Member
from watcher.core.tasks import WatchFilter
from watcher.daemon.store_copy import copy
from watcher.stores import postgresql, sqlite
from watcher.stores.postgresql import migrating
from watcher.stores.postgresql.schema import MIGRATIONS, migrations
from watcher.stores.postgresql.store import PostgresqlStore

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0
GROUPS = [Group(name="source mixpeek"), Group(name="channel backend")]
SHIPPED = len(migrations())
TABLES = ("watches", "events", "deliveries", "attempts", "outages", "suspensions", "sessions")
EXPANDS = "\n".join(
    f"ALTER TABLE {table} ADD COLUMN added text DEFAULT ''" + ";" for table in TABLES
)
CONTRACTS = "ALTER TABLE watches DROP COLUMN added;"


class Site:
    """A database, and programs of several versions that use it."""

    def __init__(self, url: str, folder: Path, resources: AsyncExitStack) -> None:
        self.url = url
        self._folder = folder
        self._resources = resources

    def program(self, *added: tuple[int, str]) -> Path:
        """Return the migrations of a program that knows more: what each serves, and its SQL."""
        folder = self._folder / "_".join(str(serves) for serves, _ in added)
        if not folder.exists():
            shutil.copytree(str(MIGRATIONS), folder)
            for number, (serves, script) in enumerate(added, SHIPPED + 1):
                file = folder / f"{number:04}_added.sql"
                file.write_text(f"-- serves: {serves}\n{script}\n")
        return folder

    @property
    def expanded(self) -> Path:
        return self.program((1, EXPANDS))

    @property
    def contracted(self) -> Path:
        return self.program((1, EXPANDS), (SHIPPED + 1, CONTRACTS))

    async def start(self, program: Traversable = MIGRATIONS) -> PostgresqlStore:
        opened = postgresql.create(self.url, migrations=program)
        return await self._resources.enter_async_context(opened)

    async def error(self, program: Traversable = MIGRATIONS) -> StoreError:
        with pytest.raises(StoreError) as caught:
            await self.start(program)
        assert "\n" not in str(caught.value)
        return caught.value

    async def fetch(self, query: str) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def schema(self) -> tuple[int, int]:
        ((version, serves),) = await self.fetch("SELECT version, serves FROM watcher_schema")
        return version, serves

    async def expire(self, name: str) -> None:
        await self.fetch(
            f"UPDATE sessions SET expires_at = clock_timestamp() WHERE name = '{name}' RETURNING 1"
        )

    @asynccontextmanager
    async def transaction(self, statement: str) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f"BEGIN; {statement}")
            yield
        finally:
            await connection.close()


@pytest.fixture
async def site(postgresql_server: Server, tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as resources:
        yield Site(await postgresql_server.new_store(), tmp_path, resources)


async def renew(store: PostgresqlStore, name: str) -> Lease:
    return await store.renew(Member(name=name, version="1.2", started_at=7.0), GROUPS, 0.0)


async def work(store: PostgresqlStore, task_id: str) -> None:
    """Add a watch, record its end, deliver it, and read all of it."""
    added = await store.add([request(task_id)], NOW)
    await store.record([step(added.watches[0], "COMPLETED")])
    (due,) = await store.due("backend", NOW + 100, 10)
    await store.settle([settled(due.id, DeliveryState.DELIVERED)])
    watches, _ = await store.list_watches(WatchFilter(), 10, None)
    assert task_id in {watch.key.task_id for watch in watches}
    deliveries, _ = await store.list_deliveries(DeliveryState.DELIVERED, None, 10, None)
    assert len(deliveries) == len(watches)
    await store.ping()


async def test_the_minimum_of_programs_is_stored_and_a_new_database_has_it(site: Site) -> None:
    assert await site.schema() == (SHIPPED, 1)
    await site.start(site.contracted)
    assert await site.schema() == (SHIPPED + 2, SHIPPED + 1)


async def test_an_older_replica_goes_on_and_starts_again_beside_an_expanded_schema(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    old = await site.start()
    await renew(old, "old")
    await work(old, "before")
    await site.start(site.expanded)
    assert await site.schema() == (SHIPPED + 1, 1)
    await renew(old, "old")
    await work(old, "after")
    await old.leave()

    caplog.set_level(logging.INFO)
    again = await site.start()
    await renew(again, "again")
    await work(again, "later")
    (line,) = caplog.messages
    assert line.endswith(f"schema version {SHIPPED + 1} is of a newer watcher; this one can use it")
    assert await again.migrate()


async def test_a_contraction_waits_for_older_replicas_and_happens_when_they_have_ended(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    old = await site.start()
    await renew(old, "old")
    new = await site.start(site.contracted)
    assert await site.schema() == (SHIPPED + 1, 1)
    await renew(new, "new")
    assert not await new.migrate()
    assert not await new.migrate()
    await renew(old, "old")
    assert [line.partition(": ")[2] for line in caplog.messages] == [
        f"migration 000{SHIPPED + 1}_added is applied",
        f"migration 000{SHIPPED + 2}_added waits for the end of older replicas: old (watcher 1.2)",
    ]
    await old.leave()
    assert await new.migrate()
    assert await site.schema() == (SHIPPED + 2, SHIPPED + 1)
    await renew(new, "new")
    await work(new, "after")
    assert len(caplog.messages) == 3


async def test_at_most_three_of_the_older_replicas_are_named(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for name in "abcde":
        await renew(await site.start(), name)
    await site.start(site.contracted)
    assert caplog.messages[-1].endswith("a (watcher 1.2), b (watcher 1.2), c (watcher 1.2), 2 more")


async def test_an_older_replica_does_not_start_with_a_contracted_schema(site: Site) -> None:
    await site.start(site.contracted)
    error = await site.error()
    assert isinstance(error, StoreUnusableError)
    database = postgresql.shown(site.url)
    assert str(error) == (
        f"{database} has schema version {SHIPPED + 2}, which needs a watcher that knows version"
        f" {SHIPPED + 1} or later; this one knows {SHIPPED}: run a newer watcher"
    )


async def test_an_older_replica_that_was_stopped_writes_nothing_after_a_contraction(
    site: Site,
) -> None:
    old = await site.start()
    await renew(old, "old")
    added = await old.add([request("before")], NOW)
    await site.expire("old")  # as if it was stopped for longer than its lease
    new = await site.start(site.contracted)
    assert await site.schema() == (SHIPPED + 2, SHIPPED + 1)

    needed = f"knows version {SHIPPED + 1} or later"
    with pytest.raises(StoreUnusableError, match=needed):
        await old.add([request("late")], NOW)
    with pytest.raises(StoreUnusableError, match=needed):
        await old.record([step(added.watches[0], "COMPLETED")])
    with pytest.raises(StoreUnusableError, match=needed):
        await old.ping()
    with pytest.raises(StoreUnusableError, match=needed):
        await renew(old, "old")
    assert old.granted() == {}
    await old.leave()
    assert await site.fetch("SELECT task_id, sequence FROM watches") == [("before", 0)]
    assert await site.fetch("SELECT 1 FROM sessions WHERE expires_at > now()") == []
    await work(new, "before")


async def test_a_write_that_waits_while_the_schema_contracts_is_not_stored(site: Site) -> None:
    old = await site.start()
    contracted = f"UPDATE watcher_schema SET serves = {SHIPPED + 1}"
    locked = "SELECT pg_advisory_xact_lock(x'77747772'::bigint)"
    connection = await asyncpg.connect(site.url)
    await connection.execute(f"BEGIN; {locked}")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_commit_once_waited_for, connection, contracted)
        with pytest.raises(StoreUnusableError):
            await old.add([request("late")], NOW)
    await connection.close()
    assert await site.fetch("SELECT * FROM watches") == []


async def _commit_once_waited_for(connection: Any, statement: str) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    while True:
        if await connection.fetchval(waiting):
            break
        await anyio.sleep(0.01)
    await connection.execute(f"{statement}; COMMIT")


async def test_what_a_program_needs_behind_a_contraction_has_to_wait(site: Site) -> None:
    skipped = site.program((1, EXPANDS), (SHIPPED + 1, CONTRACTS), (SHIPPED + 1, "SELECT 1;"))
    old = await site.start()
    await renew(old, "old")
    error = await site.error(skipped)
    assert not isinstance(error, StoreUnusableError)
    assert "waits for the end of older replicas: old (watcher 1.2); stop them, or" in str(error)
    await renew(old, "old")
    await work(old, "on")
    await old.leave()
    await site.start(skipped)
    assert await site.schema() == (SHIPPED + 3, SHIPPED + 1)


async def test_what_the_program_before_does_not_use_is_removed_beside_it(site: Site) -> None:
    unused = site.program((1, EXPANDS), (1, "-- `added` is not used any more."))
    removed = site.program((1, EXPANDS), (1, "--"), (SHIPPED + 2, CONTRACTS))
    before = await site.start(unused)
    await renew(before, "before")
    await site.start(removed)
    assert await site.schema() == (SHIPPED + 3, SHIPPED + 2)
    await renew(before, "before")
    await work(before, "on")
    await site.start(unused)


async def test_replicas_that_start_together_migrate_once(site: Site) -> None:
    once = site.program((1, "CREATE TABLE once (); SELECT pg_sleep(0.3);"))
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(site.start, once)
    assert await site.schema() == (SHIPPED + 1, 1)


async def test_a_new_database_is_made_once(postgresql_server: Server) -> None:
    url = postgresql_server.url(await postgresql_server.create_database())
    async with AsyncExitStack() as resources, anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(resources.enter_async_context, postgresql.create(url))


async def test_a_migration_blocks_no_replica_behind_a_long_transaction(site: Site) -> None:
    old = await site.start()
    await renew(old, "old")
    async with site.transaction("SELECT * FROM deliveries"):
        error = await site.error(site.expanded)
        assert not isinstance(error, StoreUnusableError)
        assert f"migration 000{SHIPPED + 1}_added waits for a transaction" in str(error)
        assert await site.schema() == (SHIPPED, 1)
        await work(old, "meanwhile")
    await site.start(site.expanded)
    assert await site.schema() == (SHIPPED + 1, 1)


async def test_who_waits_for_another_migration_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "_WAIT_FOR_OTHERS", "SET LOCAL lock_timeout = '50ms'")
    async with site.transaction(f"SELECT pg_advisory_xact_lock({migrating._MIGRATING})"):
        error = await site.error(site.expanded)
    assert not isinstance(error, StoreUnusableError)
    assert str(error).endswith(": another process migrates the schema")


async def test_a_copy_is_made_by_a_program_that_knows_the_schema(
    site: Site, tmp_path: Path
) -> None:
    async with postgresql.create(site.url, migrations=site.expanded):
        pass
    file = f"sqlite:///{tmp_path}/copy.db"
    async with sqlite.create(file):
        pass
    for source, target in ((site.url, f"sqlite:///{tmp_path}/new.db"), (file, site.url)):
        with pytest.raises(StoreUnusableError, match=f"program knows up to {SHIPPED}: copy it"):
            await copy(source, target, lambda table, done, total: None)


@pytest.mark.parametrize("first_line", ["", "-- serves: 0", "-- serves: 99", "-- Serves 1"])
async def test_a_migration_has_to_state_what_it_serves(site: Site, first_line: str) -> None:
    folder = site.program((1, EXPANDS))
    file = folder / f"000{SHIPPED + 1}_added.sql"
    file.write_text(f"{first_line}\n{EXPANDS}")
    with pytest.raises(ValueError, match=f"{file.name} has to begin with '-- serves: N'"):
        migrations(folder)


async def test_what_is_served_never_gets_older(site: Site) -> None:
    folder = site.program((SHIPPED + 1, EXPANDS), (SHIPPED, CONTRACTS))
    with pytest.raises(ValueError, match=f"N from {SHIPPED + 1} to {SHIPPED + 2}"):
        migrations(folder)


def test_the_shipped_migrations_are_numbered_without_a_gap() -> None:
    names = [one.name for one in migrations()]
    assert [int(name.partition("_")[0]) for name in names] == [*range(1, SHIPPED + 1)]
