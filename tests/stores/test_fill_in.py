"""Watches of an earlier version get their batches from their last transitions, in steps."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.records import request
from watcher.core.tasks import WatchFilter
from watcher.stores.sqlite import schema
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.schema import migrations
from watcher.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

_BEFORE = next(
    number for number, script in enumerate(migrations()) if "TABLE batch_backfill" in script
)
"""How many migrations there were before a watch knew its batch."""


def body_of(batch: str) -> str:
    return f'{{"data":{{"additional_data":{{"batch_id":{batch}}}}}}}'


def store_before(file: Path, bodies: dict[str, list[tuple[str, str]]]) -> None:
    """Create a store of that version: by task ID the types and bodies of its events."""
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        for script in migrations()[:_BEFORE]:
            connection.executescript(script)
        connection.executescript(
            f"PRAGMA application_id = {schema.APPLICATION_ID}; PRAGMA user_version = {_BEFORE}"
        )
        for task_id, events in bodies.items():
            connection.execute(
                "INSERT INTO watches (source, task_id, added_at) VALUES ('mixpeek', ?, 1)",
                [task_id],
            )
            for number, (kind, body) in enumerate(events):
                connection.execute(
                    "INSERT INTO events (event_id, type, source, task_id, at, body, order_key,"
                    " channels) VALUES (?, ?, 'mixpeek', ?, 1, ?, '', '[]')",
                    [f"{task_id}_{number}", kind, task_id, body.encode()],
                )
        connection.commit()


async def filled(store: SqliteStore) -> tuple[dict[str, str | None], int]:
    """The batch of each task, and in how many steps they were filled in."""
    steps = 0
    while await store.fill_in():
        steps += 1
    found, _ = await store.list_watches(WatchFilter(), 1000, None)
    return {watch.key.task_id: watch.batch for watch in found}, steps


async def test_the_last_transition_says_which_batch_it_is(url: str, file: Path) -> None:
    transition, lost = "task.in_progress", "task.lost"
    nested = "[" * 3000 + "]" * 3000
    store_before(
        file,
        {
            "one": [(transition, body_of('"old"')), (transition, body_of('"b\\u00e4tch"'))],
            "lost": [(transition, body_of('"b2"')), (lost, '{"data":{"additional_data":null}}')],
            "number": [(transition, body_of("7"))],
            "empty": [(transition, body_of('""'))],
            "none": [(transition, '{"data":{"additional_data":null}}')],
            "text": [(transition, '{"data":{"additional_data":"b3"}}')],
            "deep": [(transition, body_of(nested))],
            "damaged": [(transition, '{"data":')],
            "unseen": [],
            "long": [(transition, body_of('"' + "x" * 1000 + '"'))],
        },
    )
    async with sqlite.create(url) as store:
        batches, steps = await filled(store)
        long = batches.pop("long")
    assert steps == 1
    assert long is not None and long.startswith("xxx") and len(long) <= 256
    assert {task_id: batch for task_id, batch in batches.items() if batch is not None} == {
        "one": "bätch",
        "lost": "b2",
    }


async def test_it_goes_in_steps_and_continues_after_a_restart(url: str, file: Path) -> None:
    names = [f"task_{number}" for number in range(450)]
    store_before(file, {name: [("task.failed", body_of(f'"of {name}"'))] for name in names})
    async with sqlite.create(url) as store:
        assert await store.fill_in()
        await store.add([request("new")], 2.0)
        found, _ = await store.list_watches(WatchFilter(), 1000, None)
        newest = [watch.key.task_id for watch in found if watch.batch is not None]
        assert newest == [f"task_{number}" for number in range(449, 249, -1)]
    async with sqlite.create(url) as store:
        batches, steps = await filled(store)
    assert steps == 2
    assert batches == {"new": None} | {name: f"of {name}" for name in names}
    async with sqlite.create(url) as store:
        assert not await store.fill_in()


async def test_a_new_store_has_nothing_to_fill_in(url: str) -> None:
    async with sqlite.create(url) as store:
        await store.add([request("new")], 2.0)
        assert not await store.fill_in()
