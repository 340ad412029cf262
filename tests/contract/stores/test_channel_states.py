"""What `ChannelStates` promises, for every store."""

import pytest

from tests.contract.stores.harness import NOW
from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.interfaces.store import Store
from watcher.core.outage import Outage

pytestmark = pytest.mark.anyio


async def test_a_suspension_is_stored_with_its_outage_until_it_is_lifted(store: Store) -> None:
    paused = Suspension(channel="backend", kind=SuspensionKind.PAUSED, reason="it moves", since=1.0)
    stopped = Suspension(
        channel="backend", kind=SuspensionKind.STOPPED, reason="HTTP 410", since=2.0
    )
    outage = Outage(subject="channel backend", since=2.0, alerted_at=2.0)
    await store.suspend(paused, None, None)
    assert await store.suspensions() == [paused]
    await store.suspend(stopped, None, outage)
    assert await store.suspensions() == [stopped]
    assert await store.outage("channel backend") == outage
    await store.lift_suspension("backend")
    await store.lift_suspension("unknown")
    assert await store.suspensions() == []


async def test_notes_belong_to_one_channel_and_are_pruned(store: Store) -> None:
    await store.write_note("backend", "batch_1", b"old", NOW)
    await store.write_note("backend", "batch_1", b"new", NOW + 1)
    await store.write_note("alerts", "batch_1", b"theirs", NOW + 500)
    assert await store.read_note("backend", "batch_1") == b"new"
    assert await store.read_note("backend", "batch_2") is None
    await store.prune(NOW + 100)
    assert await store.read_note("backend", "batch_1") is None
    assert await store.read_note("alerts", "batch_1") == b"theirs"
