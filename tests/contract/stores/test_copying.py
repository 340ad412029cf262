"""A store that is copied to each kind of store, and back, is the same."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from anyio import run
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.contract.stores.harness import new_store, opened
from tests.support.postgresql import Server
from tests.support.records import event, request, settled, step
from watcher.configuration import plugins
from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.deliveries import DeliveryState
from watcher.core.errors import StoreError, StoreUnusableError
from watcher.core.interfaces.ownership import Ownership
from watcher.core.interfaces.store import Store
from watcher.core.outage import Outage
from watcher.core.ownership import Member
from watcher.core.tasks import DiscoveredTask, OperationScope, WatchFilter
from watcher.daemon.store_copy import copy
from watcher.stores import _tables
from watcher.stores.sqlite import create
from watcher.stores.sqlite.schema import migrations

NOW = 1_800_000_000.0
KINDS = [*plugins.names("stores")]
texts = st.text(alphabet='aB\0"\\ é\U0001f600', min_size=1, max_size=4)
actions = st.tuples(st.integers(0, 8), texts, st.integers(0, 5))


def ignore(table: str, done: int, total: int) -> None:
    """Progress is not shown."""


async def act(store: Store, kind: int, text: str, number: int) -> None:
    """Do something that is stored."""
    watches, _ = await store.list_watches(WatchFilter(), 3, None)
    match kind:
        case 0 | 1:
            await store.add([request(f"task_{number}", **{text: text, "a": "b"})], NOW)
        case 2 | 3:
            status = ("RUNNING", "FAILED", "COMPLETED")[number % 3]
            changes = [step(watch, status, channels=("backend", text)) for watch in watches]
            await store.record(changes)
        case 4:
            due = await store.due("backend", NOW, 2)
            state = list(DeliveryState)[number % 3]
            await store.settle([settled(one.id, state, next_attempt_at=NOW) for one in due])
        case 5:
            unseen = [watch.key for watch in watches if watch.sequence == 0]
            for key in unseen[:1]:
                await store.remove(key)
        case _:
            await act_on_others(store, kind, text, number)


async def act_on_others(store: Store, kind: int, text: str, number: int) -> None:
    match kind:
        case 6:
            announced = Outage(subject=text, since=NOW, alerted_at=0.1 * number)
            about = event(await store.last_event_id(), key=None)
            await store.record_outage(about, announced)
            await store.write_note("backend", text, text.encode(), NOW)
        case 7:
            paused = Suspension(channel=text, kind=SuspensionKind.PAUSED, reason=text, since=NOW)
            await store.suspend(paused, None, None)
            await store.store_target(text, text)
            await store.store_list_size(text, number)
        case 8:
            listed = [DiscoveredTask(f"task_{number}", "FAILED", None)]
            await store.discover(text, "mixpeek", listed, {}, NOW, silent=number % 2 == 0)
            await store.rule_finished(text, NOW, None)
            await store.claim_operations(OperationScope("mixpeek", text), [text, "x"], NOW)


def contents(file: Path) -> dict[str, list[Any]]:
    """What is in a SQLite file, with texts as each store can hold them, and labels as maps."""
    with closing(sqlite3.connect(file)) as connection:
        return {
            table: sorted(
                (
                    [comparable(value) for value in row]
                    for row in connection.execute(f"SELECT * FROM {table}")
                ),
                key=repr,
            )
            for table in (*_tables.TABLES, "sqlite_sequence")
        }


def comparable(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.replace("\\u0000", "\ufffd").replace("\0", "\ufffd")
    return json.dumps(json.loads(value), sort_keys=True) if value.startswith('{"') else value


async def fill(url: str, done: Sequence[tuple[int, str, int]]) -> None:
    async with create(url) as store:
        for action in done:
            await act(store, *action)


@settings(
    max_examples=8,
    phases=[Phase.generate],  # to make a failing case smaller would take minutes
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(done=st.lists(actions, min_size=5, max_size=30))
@pytest.mark.parametrize("kind", KINDS)
def test_a_store_is_the_same_after_it_was_copied_there_and_back(
    kind: str,
    done: Sequence[tuple[int, str, int]],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("copy")

    async def there_and_back() -> None:
        first, last = (f"sqlite:///{folder}/{name}.db" for name in ("first", "last"))
        await fill(first, [(0, "x", 9), (2, "x", 1), *done])
        between = await new_store(kind, folder, request)
        there = await copy(first, between, ignore)
        back = await copy(between, last, ignore)
        assert there == back
        assert sum(one.count for one in there.values()) > 0 or not done

    if kind == "postgresql":
        request.getfixturevalue("postgresql_server")
    run(there_and_back)
    first, last = contents(folder / "first.db"), contents(folder / "last.db")
    for table in first:
        assert last[table] == first[table], table


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_a_copied_store_continues_with_its_numbers(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first = f"sqlite:///{tmp_path}/first.db"
    await fill(first, [(0, "x", 1), (0, "x", 2), (2, "x", 0), (0, "x", 3), (5, "x", 0)])
    target = await new_store(kind, tmp_path, request)
    await copy(first, target, ignore)
    async with create(first) as before, opened(target) as after:
        assert await after.last_event_id() == await before.last_event_id() == 2
        for store in (before, after):
            watch = (await store.add([step_request("new")], NOW)).watches[0]
            await store.record([step(watch, "FAILED")])
        assert await after.last_event_id() == await before.last_event_id() == 3
        page = [await store.list_watches(WatchFilter(), 1, None) for store in (before, after)]
        assert page[0] == page[1]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def step_request(task_id: str) -> Any:
    return request(task_id)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_a_target_that_is_not_empty_stays_as_it_is(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first = f"sqlite:///{tmp_path}/first.db"
    await fill(first, [(0, "x", 1)])
    target = await new_store(kind, tmp_path, request)
    async with opened(target) as store:
        await store.add([step_request("task_7")], NOW)
    with pytest.raises(StoreUnusableError, match="is not empty"):
        await copy(first, target, ignore)
    async with opened(target) as store:
        assert [one.key.task_id for one in (await store.list_watches(WatchFilter(), 9, None))[0]]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("used", ["source", "target"])
async def test_a_store_in_use_is_not_copied(
    kind: str, used: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    await fill(other, [(0, "x", 1)])
    url = await new_store(kind, tmp_path, request)
    source, target = (url, f"{other}.new") if used == "source" else (other, url)
    async with opened(url) as store:
        if isinstance(store, Ownership):
            await store.renew(Member(name="one", version="1", started_at=0.0), [], 0.0)
        with pytest.raises(StoreUnusableError, match=r"(another watcher already|1 watcher) uses"):
            await copy(source, target, ignore)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_a_copy_that_fails_leaves_an_empty_target(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first = f"sqlite:///{tmp_path}/first.db"
    await fill(first, [(0, "x", 1), (2, "x", 0)])
    target = await new_store(kind, tmp_path, request)

    def fail(table: str, done: int, total: int) -> None:
        if table == "deliveries":
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="the disk is full"):
        await copy(first, target, fail)
    assert names_in(tmp_path) == {"first.db"}
    await copy(first, target, ignore)


@pytest.mark.anyio
async def test_what_is_no_store_is_not_copied(tmp_path: Path, postgresql_server: Server) -> None:
    missing, new = (f"sqlite:///{tmp_path}/{name}.db" for name in ("missing", "new"))
    with pytest.raises(StoreUnusableError, match="does not exist: there is no store to copy"):
        await copy(missing, new, ignore)
    with pytest.raises(StoreUnusableError, match="to itself"):
        await copy(new, new, ignore)
    empty = postgresql_server.url(await postgresql_server.create_database())
    with pytest.raises(StoreUnusableError, match="there is no store to copy"):
        await copy(empty, new, ignore)


def test_every_table_and_column_is_copied() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in migrations():
            connection.executescript(script)
        tables = {
            name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
    internal = {"sqlite_sequence", "readiness_probe", "batch_backfill"}
    assert {name: {*columns} for name, columns in _tables.TABLES.items()} == {
        name: columns for name, columns in tables.items() if name not in internal
    }
