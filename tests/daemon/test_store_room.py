"""Shares of a real store of sixteen megabytes, in virtual time: what each channel may take."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import generate_latest

from tests.daemon.rooms import room_of
from tests.delivery.harness import DOWN, Harness, ScriptedChannel, running
from tests.support.records import request, settled, step
from tests.support.stores import opened
from tests.support.virtual_time import VirtualLoop, wall
from watcher.core.deliveries import DeliveryState, Message, OutboxDepth, Receipt
from watcher.core.errors import StoreFullError
from watcher.core.tasks import WatchFilter
from watcher.daemon.store_room import BACKLOG_SHARE, FULL_SHARE, MIN_BACKLOG_SHARE
from watcher.delivery.dispatcher import Dispatcher
from watcher.delivery.overflow import GRACE

pytestmark = pytest.mark.anyio

LIMIT = 16 * 1024**2
MEGABYTE = 1_000_000
BOTH = ("backend", "alerts")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class Down(ScriptedChannel):
    """A receiver that answers 503, until `up`."""

    up = False

    def __init__(self) -> None:
        super().__init__(outcome=lambda message, now: None if self.up else DOWN)


class Small(Harness):
    """The store, with a room for it; `alerts` is announced what happens to `backend`."""

    async def depth(self, channel: str) -> OutboxDepth | None:
        depths = {depth.channel: depth for depth in await self.store.outbox()}
        return depths.get(channel)

    async def use(self, *dispatchers: tuple[str, Dispatcher]) -> None:
        self.room = room_of(self.store, dispatchers=dispatchers, metrics=self.metrics)
        await self.store.make_room_with(self.room.make)


class Healthy(ScriptedChannel):
    """Accepts everything, and keeps what it receives about channels."""

    def __init__(self) -> None:
        super().__init__()
        self.announcements: list[dict[str, Any]] = []

    async def send(self, message: Message) -> Receipt:
        if message.type.startswith("channel."):
            data = json.loads(message.body)["data"]
            self.announcements.append({**data, "type": message.type})
        return await super().send(message)

    def types(self) -> list[str]:
        return [data["type"] for data in self.announcements]


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Small]:
    async with opened(tmp_path, max_size=LIMIT) as store:
        yield Small(store)
    assert (tmp_path / "watcher.db").stat().st_size <= LIMIT


@asynccontextmanager
async def both(small: Small, dead: Any, healthy: Any, **settings: Any) -> AsyncIterator[None]:
    """Run a dispatcher for each of the channels."""
    backend = small.dispatcher(dead, **settings)
    alerts = small.dispatcher(healthy, "alerts")
    await small.use(("backend", backend), ("alerts", alerts))
    async with running(backend, alerts):
        yield


async def test_a_dead_channel_fills_its_share_while_the_other_receives_everything(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    dead, healthy, ids = Down(), Healthy(), []
    async with both(small, dead, healthy):
        for number in range(60):
            ids.append(await small.store_event(f"task_{number}", "FAILED", *BOTH, size=MEGABYTE))
            await anyio.sleep(0.1)
        await small.room.keep()
        await anyio.sleep(600)  # the outage itself would have been announced meanwhile
    (announcement,) = healthy.announcements
    delivered = [event_id for _, event_id in healthy.delivered]
    assert set(ids) <= set(delivered)
    assert len(delivered) == len(ids) + 1

    assert announcement["type"] == "channel.failing"
    assert announcement["reason"].startswith("backlog exceeds its share of the store (7.3 MiB): ")
    assert " oldest deliveries failed, from 2027-" in announcement["reason"]
    depth = await small.depth("backend")
    assert depth is not None
    limit = (await small.store.size()).limit
    assert 6 * MEGABYTE < depth.pending_bytes <= limit * BACKLOG_SHARE
    failed = small.metric("watcher_outbox_overflowed_total")
    assert failed == 60 - depth.pending
    assert small.metric("watcher_deliveries_total", outcome="failed") == failed
    assert sum("backlog exceeds" in record.message for record in caplog.records) == 1
    assert (await small.store.size()).used_share <= FULL_SHARE
    await small.store.ping()


async def test_an_overflow_ends_when_its_channel_works_and_may_be_announced_again(
    small: Small,
) -> None:
    dead, healthy = Down(), Healthy()

    async def fill() -> None:
        for _ in range(20):
            await small.store_event(f"task_{len(small.watches)}", "FAILED", size=MEGABYTE)
        await small.room.keep()
        await anyio.sleep(1)

    async with both(small, dead, healthy):
        await fill()
        await fill()
    async with both(small, dead, healthy):
        await fill()  # after a restart
        assert healthy.types() == ["channel.failing"]
        dead.up = True
        await anyio.sleep(300)
        await small.room.keep()
        await anyio.sleep(1)
        assert healthy.types() == ["channel.failing", "channel.recovered"]
        dead.up = False
        await fill()
        assert healthy.types() == ["channel.failing", "channel.recovered", "channel.failing"]


async def test_a_backlog_that_a_person_causes_is_announced_once_too(small: Small) -> None:
    healthy = Healthy()
    backend, alerts = small.dispatcher(ScriptedChannel()), small.dispatcher(healthy, "alerts")
    await small.use(("backend", backend), ("alerts", alerts))
    async with running(backend, alerts):
        await anyio.sleep(1)
        await backend.pause("for long")
        for number in range(30):
            await small.store_event(f"task_{number}", "FAILED", size=MEGABYTE)
        await small.room.keep()
        await backend.resume()
        await anyio.sleep(1)
        assert healthy.types() == ["channel.failing"]
        await small.room.keep()
        await anyio.sleep(1)
        assert healthy.types() == ["channel.failing", "channel.recovered"]


async def test_two_backlogs_share_and_one_that_is_not_configured_is_no_exception(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    await small.use()
    for number in range(40):
        name = ("backend", "alerts", "alerts", "alerts")[number % 4]
        await small.store_event(f"task_{number}", "FAILED", name, size=MEGABYTE // 2)
    await small.room.keep()
    backend, alerts = await small.depth("backend"), await small.depth("alerts")
    assert backend is not None and alerts is not None
    budget = (await small.store.size()).limit * BACKLOG_SHARE
    assert alerts.pending_bytes + backend.pending_bytes <= budget
    assert 0.8 < backend.pending_bytes / alerts.pending_bytes < 1.25
    assert any("'alerts', which is not configured" in record.message for record in caplog.records)
    scrape = generate_latest(small.metrics.registry).decode()
    assert sorted(re.findall(r'(\w+)\{channel="alerts"', scrape)) == [
        "watcher_deliveries_created",
        "watcher_deliveries_total",
        "watcher_outbox_overflowed_created",
        "watcher_outbox_overflowed_total",
    ]
    small.metrics.outbox({}, now=0.0)
    assert "alerts" not in generate_latest(small.metrics.registry).decode()


async def test_a_burst_of_a_working_channel_waits_but_a_slow_one_has_a_share(small: Small) -> None:
    slow = ScriptedChannel(duration=20.0)
    slow_dispatcher = small.dispatcher(slow, concurrency=1)
    await small.use(("backend", slow_dispatcher))
    stored = 0
    async with running(slow_dispatcher):
        await anyio.sleep(1)
        with pytest.raises(StoreFullError):
            for number in range(20):
                await small.store_event(f"task_{number}", "FAILED", size=MEGABYTE)
                stored += 1
        assert stored > 12
        assert await small.states() == [DeliveryState.PENDING] * stored
        await anyio.sleep(GRACE + 1)
        await small.room.keep()
        states = await small.states()
        assert states.count(DeliveryState.PENDING) <= 8
    assert len(slow.delivered) == 3


async def test_what_was_delivered_a_moment_ago_makes_room_too(small: Small) -> None:
    """Events of an active watch, which is kept: only its history gets shorter."""
    async with both(small, ScriptedChannel(), ScriptedChannel()):
        for _ in range(40):
            await small.store_event("task_1", "IN_PROGRESS", size=MEGABYTE)
            await anyio.sleep(0.01)
    watch = (await small.store.find("task_1"))[0]
    assert watch.sequence == 40
    assert 0 < len(await small.store.transitions(watch.key)) < 17


async def test_the_watchlist_comes_before_backlogs_and_a_full_store_rejects_more_of_it(
    small: Small,
) -> None:
    await small.use()
    for number in range(7):
        await small.store_event(f"task_{number}", "FAILED", size=MEGABYTE)
    with pytest.raises(StoreFullError):
        for start in range(0, 200_000, 100):
            requests = [request(f"{number:0200d}") for number in range(start, start + 100)]
            await small.store.add(requests, wall())
    depth = await small.depth("backend")
    size = await small.store.size()
    assert depth is not None
    assert 0 < depth.pending_bytes <= size.limit * MIN_BACKLOG_SHARE
    assert size.used_share > 0.95
    with pytest.raises(StoreFullError):
        await small.store.ping()

    watches, _ = await small.store.list_watches(WatchFilter(), 500, None)
    for watch in watches:
        await small.store.remove(watch.key)
    await small.store.ping()


async def test_a_page_of_half_the_store_is_stored_in_one_piece(small: Small) -> None:
    await small.use()
    changes = []
    for number in range(21):
        (watch,) = (await small.store.add([request(f"task_{number}")], wall())).watches
        change = step(watch, "FAILED", at=wall(), channels=())
        assert change.event is not None
        changes.append(replace(change, event=replace(change.event, body=b"x" * MEGABYTE)))
    for start in (0, 7, 14):
        assert await small.store.record(changes[start : start + 7]) == [True] * 7


async def test_failed_deliveries_stay_while_there_is_room_and_can_be_retried(small: Small) -> None:
    await small.use()
    for number in range(6):
        await small.store_event(f"task_{number}", "FAILED", size=MEGABYTE)
    await small.store.settle([settled(1, DeliveryState.FAILED, at=wall())])
    await small.room.keep()
    assert await small.store.retry(1, wall()) is not None
    for number in range(6, 40):
        await small.store_event(f"task_{number}", "FAILED", size=MEGABYTE)
    assert await small.store.retry(1, wall()) is None
    assert (await small.store.size()).used_share < 1
