"""What is stored in one statement for many rows: a hundred take as many statements as one."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import aiosqlite
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.stores.harness import NOW
from tests.support.records import request, settled, step
from watcher.core.deliveries import DeliveryState
from watcher.core.tasks import Watch
from watcher.stores.sqlite import batch_queries, rows
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.connection import open_file
from watcher.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

_CHANNELS = tuple(f"channel_{number}" for number in range(100))


async def counted(url: str, channels: tuple[str, ...]) -> tuple[int, int]:
    """Return the statements that store an event for `channels`, and those that settle these."""
    statements: list[str] = []

    async def traced(path: Path) -> aiosqlite.Connection:
        connection = await open_file(path)
        await connection.set_trace_callback(statements.append)
        return connection

    async with sqlite.create(url, opener=traced) as store:
        watch = (await store.add([request()], NOW)).watches[0]
        statements.clear()
        await store.record([step(watch, "COMPLETED", channels=channels)])
        recorded = len(statements)
        ids = [
            delivery.id for channel in channels for delivery in await store.due(channel, NOW, 10)
        ]
        assert len(ids) == len(channels)
        statements.clear()
        await store.settle([settled(one, DeliveryState.DELIVERED) for one in ids])
        assert not any(depth.pending for depth in await store.outbox())
    return recorded, len(statements)


async def test_channels_and_results_cost_no_statements(url: str) -> None:
    one = await counted(url, _CHANNELS[:1])
    assert await counted(f"{url}.many", _CHANNELS) == one


async def heads(store: SqliteStore, channel: str) -> list[bytes | None]:
    return [delivery.body for delivery in await store.due(channel, NOW, 10)]


async def test_of_several_steps_of_a_task_stored_at_once_the_first_is_the_head(url: str) -> None:
    async with sqlite.create(url) as store:
        watch = (await store.add([request()], NOW)).watches[0]
        steps = []
        for status in ("QUEUED", "IN_PROGRESS", "COMPLETED"):
            steps.append(step(watch, status, channels=_CHANNELS[:2]))
            watch = steps[-1].watch
        assert all(await store.record(steps))
        for channel in _CHANNELS[:2]:
            (first,) = await store.due(channel, NOW, 10)
            assert steps[0].event is not None
            assert first.event_id == steps[0].event.event_id
        (first,) = await store.due(_CHANNELS[0], NOW, 10)
        await store.settle([settled(first.id, DeliveryState.DELIVERED)])
        (second,) = await store.due(_CHANNELS[0], NOW, 10)
        assert steps[1].event is not None
        assert second.event_id == steps[1].event.event_id


async def test_a_later_step_waits_for_one_that_was_stored_before(url: str) -> None:
    async with sqlite.create(url) as store:
        watch: Watch = (await store.add([request()], NOW)).watches[0]
        first = step(watch, "QUEUED")
        await store.record([first])
        await store.record([step(first.watch, "COMPLETED", channels=("backend", "other"))])
        assert len(await heads(store, "backend")) == 1
        assert len(await heads(store, "other")) == 1


async def test_an_event_without_a_channel_has_no_delivery(url: str) -> None:
    async with sqlite.create(url) as store:
        watch = (await store.add([request()], NOW)).watches[0]
        await store.record([step(watch, "QUEUED", channels=())])
        assert not await store.outbox()


@example(at=1.6e9, text="a\0b")
@given(
    at=st.floats(1.5e9, 4e9),
    text=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_what_an_attempt_says_is_kept(at: float, text: str) -> None:
    result = replace(
        settled(1, DeliveryState.PENDING, at=at, next_attempt_at=at + 5, unblocks_at=at + 900),
        last_error=text,
        last_status=503,
        response=text,
    )
    row = rows.as_json([rows.settle_row(result, at)])
    query = "SELECT {} FROM json_each(?) AS wanted".format(
        ", ".join(f":{name}" for name in rows.SETTLE_PARAMETERS)
    )
    connection = sqlite3.connect(":memory:")
    found = connection.execute(batch_queries.of_rows(query, rows.SETTLE_PARAMETERS), (row,))
    read = dict(zip(rows.SETTLE_PARAMETERS, found.fetchone(), strict=True))
    connection.close()
    assert read["last_error"] == text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    assert read["state"] == "pending"
    assert read["attempted_at"] == pytest.approx(at, abs=1e-6)
    assert read["next_attempt_at"] > read["attempted_at"]
