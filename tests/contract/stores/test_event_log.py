"""What `EventLog` promises, for every store."""

import pytest

from tests.contract.stores.harness import NOW, add_watch, due_ids
from tests.support.records import KEY, event, request, step
from watcher.core.interfaces.store import Store
from watcher.core.outage import Outage

pytestmark = pytest.mark.anyio


async def test_a_change_stores_the_watch_its_event_and_a_delivery_for_each_channel(
    store: Store,
) -> None:
    watch = await add_watch(store)

    assert await store.record([step(watch, "IN_PROGRESS", channels=("backend", "alerts"))]) == [
        True
    ]

    after = (await store.watches([KEY]))[KEY]
    assert (after.status, after.sequence, after.first_seen_at) == ("IN_PROGRESS", 1, 100.0)
    assert [stored.sequence for stored in await store.transitions(KEY)] == [1]
    assert len(await due_ids(store, "backend")) == len(await due_ids(store, "alerts")) == 1


async def test_a_change_from_another_sequence_or_of_a_removed_watch_leaves_no_trace(
    store: Store,
) -> None:
    watch = await add_watch(store)
    first, second = step(watch, "IN_PROGRESS"), step(watch, "FAILED")
    assert await store.record([first]) == [True]

    assert await store.record([second]) == [False]
    assert await store.remove(KEY)
    assert await store.record([step(first.watch, "FAILED")]) == [False]

    assert len(await store.events_after(0, 100)) == 1


async def test_two_changes_of_one_watch_apply_in_order_in_one_call(store: Store) -> None:
    watch = await add_watch(store)
    first = step(watch, "IN_PROGRESS")
    second = step(first.watch, "COMPLETED")

    assert await store.record([first, second, step(second.watch, "FAILED")]) == [True, True, False]
    assert (await store.watches([KEY]))[KEY].status == "COMPLETED"


async def test_a_change_keeps_labels_that_were_merged_after_the_watch_was_read(
    store: Store,
) -> None:
    watch = await add_watch(store)
    await store.add([request(team="search")], NOW)

    await store.record([step(watch, "IN_PROGRESS")])

    assert (await store.watches([KEY]))[KEY].labels == {"team": "search"}


async def test_events_are_numbered_in_ascending_order_without_a_gap(store: Store) -> None:
    watch = await add_watch(store)
    assert await store.last_event_id() == 0
    first = step(watch, "IN_PROGRESS")
    await store.record([first, step(first.watch, "COMPLETED")])

    events = await store.events_after(0, 100)

    assert [stored.id for stored in events] == [1, 2]
    assert [stored.status for stored in await store.events_after(1, 100)] == ["COMPLETED"]
    assert await store.last_event_id() == 2


async def test_an_outage_is_stored_with_its_event_until_it_recovers(store: Store) -> None:
    alert = event(1, key=None, channels=("alerts",), order_key="channel backend")
    outage = Outage(subject="channel backend", since=50.0, alerted_at=350.0)

    assert await store.record_outage(alert, outage)
    assert await store.outage("channel backend") == outage
    assert await store.outage("source backend") is None
    assert len(await due_ids(store, "alerts")) == 1

    assert not await store.record_outage(None, None, recovered="channel backend")
    assert await store.outage("channel backend") is None
