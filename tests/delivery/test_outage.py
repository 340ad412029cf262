"""An outage is stored with its alert and its recovery, each once."""

from typing import Any

import anyio
import pytest

from tests.delivery.harness import Harness
from tests.support.virtual_time import wall
from watcher.core.errors import DeliveryError, DeliveryFailure, StoreError
from watcher.core.outage import Outage
from watcher.delivery.outage import ChannelOutage

pytestmark = pytest.mark.anyio

ALERT_AFTER = 300.0
ERROR = DeliveryError(DeliveryFailure.TIMEOUT, "no response")


def channel_outage(harness: Harness) -> ChannelOutage:
    return ChannelOutage(harness.context(alert_after=ALERT_AFTER))


async def stored(harness: Harness) -> Outage | None:
    outage: Outage | None = await harness.store.outage("channel backend")
    return outage


async def test_an_outage_is_stored_at_once_and_announced_when_the_alert_is_due(
    harness: Harness,
) -> None:
    outage, since = channel_outage(harness), wall()
    assert outage.alert_due_at(None) is None
    assert outage.alert_due_at(since) == since + ALERT_AFTER
    await outage.reconcile(since, ERROR)
    assert await stored(harness) == Outage(subject="channel backend", since=since)
    assert await harness.types() == []

    await anyio.sleep(ALERT_AFTER)
    await outage.reconcile(since, ERROR)
    await outage.reconcile(since, ERROR)
    assert await harness.types() == ["channel.failing"]
    assert outage.alert_due_at(since) is None

    await outage.reconcile(None, ERROR)
    await outage.reconcile(None, ERROR)
    assert await harness.types() == ["channel.failing", "channel.recovered"]
    assert await stored(harness) is None


async def test_an_outage_that_was_not_announced_ends_without_an_event(harness: Harness) -> None:
    outage = channel_outage(harness)
    await outage.reconcile(wall(), ERROR)
    await outage.reconcile(None, ERROR)
    assert await harness.types() == []
    assert await stored(harness) is None


async def test_an_exhausted_delivery_is_announced_at_once_even_if_the_channel_works(
    harness: Harness,
) -> None:
    outage = channel_outage(harness)
    outage.alert_now()
    await outage.reconcile(None, ERROR)
    assert await harness.types() == ["channel.failing"]
    await outage.reconcile(None, ERROR)
    assert await harness.types() == ["channel.failing", "channel.recovered"]


async def test_a_restart_continues_the_stored_outage(harness: Harness) -> None:
    since = wall()
    await channel_outage(harness).reconcile(since, ERROR)
    restarted = channel_outage(harness)
    assert await restarted.load() == since
    await restarted.reconcile(None, ERROR)
    assert await stored(harness) is None


async def test_after_a_restart_with_an_earlier_clock_the_alert_is_not_late(
    harness: Harness,
) -> None:
    await channel_outage(harness).reconcile(wall() + 3600.0, ERROR)
    restarted = channel_outage(harness)
    assert await restarted.load() == wall()
    assert restarted.alert_due_at(await restarted.load()) == wall() + ALERT_AFTER


async def test_after_a_stop_no_further_alert_is_sent(harness: Harness) -> None:
    outage = channel_outage(harness)
    since = wall()
    async with outage.stopping(since, ERROR) as (announced, event):
        assert (announced.since, event.type) == (since, "channel.stopped")
        assert outage.changing
    assert outage.alert_due_at(since) is None


async def test_what_another_replica_has_announced_is_not_counted_again(harness: Harness) -> None:
    def counted() -> list[float | None]:
        kinds = ("channel.failing", "channel.recovered")
        registry = harness.metrics.registry
        return [registry.get_sample_value("watcher_events_total", {"type": one}) for one in kinds]

    first, harness.store = harness.store, AnnouncedElsewhere(harness.store)
    outage, since = channel_outage(harness), wall() - ALERT_AFTER
    await outage.reconcile(since, ERROR)
    await outage.reconcile(None, ERROR)
    assert counted() == [0, 0]
    harness.store = first
    outage = channel_outage(harness)
    await outage.reconcile(since, ERROR)
    await outage.reconcile(None, ERROR)
    assert counted() == [1, 1]


class AnnouncedElsewhere:
    """The store, in which another replica has announced everything before."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def record_outage(self, *arguments: Any, **keywords: Any) -> bool:
        await self._store.record_outage(*arguments, **keywords)
        return False


class Interrupted:
    """The store; `interrupt` runs while an outage is being stored."""

    def __init__(self, store: Any, interrupt: Any) -> None:
        self._store = store
        self.interrupt = interrupt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def record_outage(self, *arguments: Any, **keywords: Any) -> bool:
        self.interrupt()
        stored: bool = await self._store.record_outage(*arguments, **keywords)
        return stored


@pytest.mark.parametrize("failing", [True, False])
async def test_an_alert_that_is_requested_during_a_write_is_not_lost(
    harness: Harness, failing: bool
) -> None:
    since = wall()
    await channel_outage(harness).reconcile(since, ERROR)
    harness.store = store = Interrupted(harness.store, lambda: None)
    outage = channel_outage(harness)
    store.interrupt = outage.alert_now
    if not failing:
        await outage.load()
    await outage.reconcile(since if failing else None, ERROR)
    store.interrupt = lambda: None
    await outage.reconcile(since if failing else None, ERROR)
    assert await harness.types() == ["channel.failing"]


async def test_an_alert_that_could_not_be_stored_is_sent_later(harness: Harness) -> None:
    def fail() -> None:
        raise StoreError("the disk is full")

    harness.store = store = Interrupted(harness.store, fail)
    outage = channel_outage(harness)
    outage.alert_now()
    with pytest.raises(StoreError):
        await outage.reconcile(wall(), ERROR)
    store.interrupt = lambda: None
    await outage.reconcile(wall(), ERROR)
    assert await harness.types() == ["channel.failing"]
