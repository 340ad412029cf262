"""A suspension is stored, and shown in the metrics."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.delivery.harness import Harness
from watcher.core.channels import SuspensionKind
from watcher.core.errors import StoreError
from watcher.delivery.outage import ChannelOutage
from watcher.delivery.suspension import ChannelSuspension

pytestmark = pytest.mark.anyio

NONE = {"paused": 0, "stopped": 0, "off": 0}


@pytest.mark.parametrize("kind", [SuspensionKind.STOPPED, SuspensionKind.OFF])
async def test_a_stop_is_stored_with_its_event_and_its_outage(
    harness: Harness, kind: SuspensionKind
) -> None:
    context = harness.context()
    suspension = ChannelSuspension(context)
    async with ChannelOutage(context).stopping(None, None) as (outage, event):
        await suspension.stop(kind, "reason", outage, event)

    assert harness.suspended == {**NONE, kind.value: 1}
    assert await harness.types() == ["channel.stopped"]
    assert await harness.store.outage("channel backend") == outage
    assert await harness.store.suspensions() == [suspension.current]


async def test_a_pause_replaces_a_stop_and_sends_no_event(harness: Harness) -> None:
    context = harness.context()
    suspension = ChannelSuspension(context)
    async with ChannelOutage(context).stopping(None, None) as (outage, event):
        await suspension.stop(SuspensionKind.STOPPED, "HTTP 410", outage, event)
    await suspension.pause("maintenance")

    (stored,) = await harness.store.suspensions()
    assert (stored.kind, stored.reason) == (SuspensionKind.PAUSED, "maintenance")
    assert harness.suspended == {**NONE, "paused": 1}
    assert await harness.types() == ["channel.stopped"]


async def test_a_suspension_survives_a_restart_until_it_is_lifted(harness: Harness) -> None:
    await ChannelSuspension(harness.context()).pause("maintenance")
    restarted = ChannelSuspension(harness.context())
    await restarted.load()
    assert restarted.current is not None
    await restarted.lift()

    again = ChannelSuspension(harness.context())
    await again.load()
    assert again.current is None
    assert harness.suspended == NONE


class ReadsBefore:
    """The store; `after_read` runs between the reading of suspensions and its return."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.after_read: Callable[[], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def suspensions(self) -> Any:
        found = await self._store.suspensions()
        if self.after_read is not None:
            await self.after_read()
        return found


async def test_a_pause_that_is_stored_while_the_channel_starts_stays(harness: Harness) -> None:
    store = harness.store = ReadsBefore(harness.store)
    suspension = ChannelSuspension(harness.context())
    store.after_read = lambda: suspension.pause("maintenance")
    await suspension.load()

    assert suspension.current is not None
    assert harness.suspended == {**NONE, "paused": 1}


async def test_a_suspension_of_another_channel_does_not_apply(harness: Harness) -> None:
    await ChannelSuspension(harness.context("alerts")).pause("maintenance")
    suspension = ChannelSuspension(harness.context())
    await suspension.load()
    assert suspension.current is None


class FailingStore:
    def __init__(self, store: object) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def suspend(self, *arguments: object) -> None:
        raise StoreError("the disk is full")

    async def lift_suspension(self, channel: str) -> None:
        raise StoreError("the disk is full")


async def test_what_cannot_be_stored_changes_nothing(harness: Harness) -> None:
    harness.store = FailingStore(harness.store)
    suspension = ChannelSuspension(harness.context())
    with pytest.raises(StoreError):
        await suspension.pause("maintenance")
    assert suspension.current is None
