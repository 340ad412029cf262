"""What only a server can do to writes: end a connection, reject a character, serve two stores."""

from dataclasses import replace

import anyio
import anyio.lowlevel
import asyncpg
import pytest

from tests.support.postgresql import Server
from tests.support.records import KEY, event, request, step
from watcher.core.errors import StoreError
from watcher.core.events import Change
from watcher.core.tasks import TaskKey, WatchFilter
from watcher.stores import postgresql
from watcher.stores.postgresql.connection import WRITING
from watcher.stores.postgresql.store import PostgresqlStore

pytestmark = pytest.mark.anyio

NOW = 1000.0
WAITING = """
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

COUNTER = "SELECT ctid, xmin, xmax, last_id FROM event_counter"


async def test_texts_with_nul_are_stored_without_it(store: PostgresqlStore) -> None:
    labels = {"a\0": "b\0", 'quo"te\\': "{}", "": "'"}
    added = await store.add([replace(request("task\0"), labels=labels, namespace="n\0")], NOW)
    (watch,) = added.watches
    shown = {"a\ufffd": "b\ufffd", 'quo"te\\': "{}", "": "'"}
    assert (watch.key.task_id, watch.namespace, watch.labels) == ("task\ufffd", "n\ufffd", shown)

    change = step(watch, "IN_PROGRESS", channels=('a"b\\', "c,{d}"))
    original = replace(change.watch, key=TaskKey("mixpeek", "task\0"), error_message="bad\0")
    assert await store.record([replace(change, watch=original)]) == [True]

    assert (await store.find("task\0"))[0].error_message == "bad\ufffd"
    page, _ = await store.list_watches(WatchFilter(labels={"a\0": "b\0"}), 10, None)
    assert [one.key for one in page] == [watch.key]
    assert {depth.channel for depth in await store.outbox()} == {'a"b\\', "c,{d}"}


async def test_a_sequence_may_exceed_32_bits(store: PostgresqlStore) -> None:
    (watch,) = (await store.add([request()], NOW)).watches
    huge = replace(watch, sequence=2**62)
    await store.record([Change(watch=huge, expected_sequence=0)])

    assert await store.record([step(huge, "FAILED")]) == [True]
    assert [one.sequence for one in await store.transitions(KEY)] == [2**62 + 1]


async def test_stores_that_add_the_same_tasks_at_once_add_each_once(
    url: str, store: PostgresqlStore
) -> None:
    added = list[int]()

    async def add(one: PostgresqlStore, name: str) -> None:
        requests = [request(f"task_{number}", **{name: "1"}) for number in range(20)]
        added.append((await one.add(requests, NOW)).added)

    async with postgresql.create(url) as other, anyio.create_task_group() as tasks:
        tasks.start_soon(add, store, "first")
        tasks.start_soon(add, other, "second")

    assert sorted(added) == [0, 20]
    (watch,) = await store.find("task_7")
    assert watch.labels == {"first": "1", "second": "1"}


async def test_a_write_whose_connection_is_ended_fails_and_is_stored_once_when_repeated(
    url: str, store: PostgresqlStore, postgresql_server: Server
) -> None:
    (watch,) = (await store.add([request()], NOW)).watches
    change = step(watch, "IN_PROGRESS")
    admin = await postgresql_server.admin(url)
    try:
        await admin.execute(f"SELECT pg_advisory_lock({WRITING})")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_waiting, admin)
            with anyio.fail_after(10), pytest.raises(StoreError):
                await store.record([change])
    finally:
        await admin.close()

    assert await store.last_event_id() == 0
    assert await store.record([change]) == [True]
    assert await store.record([change]) == [False]
    assert [one.id for one in await store.events_after(0, 10)] == [1]


async def test_an_event_that_is_stored_already_is_not_stored_again(
    store: PostgresqlStore,
) -> None:
    (watch,) = (await store.add([request()], NOW)).watches
    lost = Change(watch=replace(watch, lost_at=NOW), expected_sequence=0, event=event(1))

    for _ in range(2):
        assert await store.record([lost]) == [True]
        await store.record_outage(event(2, key=None), None)

    assert [one.id for one in await store.events_after(0, 10)] == [1, 2]
    assert [depth.pending for depth in await store.outbox()] == [2]


async def test_recording_writes_no_row_that_all_recordings_share(
    url: str, store: PostgresqlStore
) -> None:
    (watch,) = (await store.add([request()], NOW)).watches
    admin = await asyncpg.connect(url)
    try:
        counter = await admin.fetchrow(COUNTER)
        await store.record([step(watch, "QUEUED")])
        assert await admin.fetchrow(COUNTER) == counter
    finally:
        await admin.close()
    assert (await store.signals(None)).last_event == await store.last_event_id() == 1


async def test_stores_that_record_at_once_number_their_events_in_turn(url: str) -> None:
    admin = await asyncpg.connect(url)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    await admin.close()

    async def record(store: PostgresqlStore, name: str) -> None:
        (watch,) = (await store.add([request(name)], NOW)).watches
        for _ in range(10):
            change = step(watch, "IN_PROGRESS")
            assert await store.record([change]) == [True]
            watch = change.watch

    async with postgresql.create(url) as one, postgresql.create(url) as other:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(record, one, f"first_{number}")
                tasks.start_soon(record, other, f"second_{number}")
        assert [stored.id for stored in await one.events_after(0, 100)] == [*range(1, 61)]


async def _end_waiting(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    while (waiting := await admin.fetchval(WAITING)) is None:
        await anyio.lowlevel.checkpoint()
    await admin.execute("SELECT pg_terminate_backend($1)", waiting)
